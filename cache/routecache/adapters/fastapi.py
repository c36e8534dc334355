"""`AsyncRoutingCache` in a FastAPI application: a lifespan, and a dependency that gives it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Annotated, Any, Final, TypeAlias

try:
    from fastapi import Depends, FastAPI
    from starlette.requests import HTTPConnection
except ImportError as missing:
    raise ImportError(
        "routecache.adapters.fastapi needs FastAPI: pip install 'routecache[fastapi]'"
    ) from missing

from routecache.errors import ConfigurationError
from routecache.policy import check_ttl
from routecache.routing.async_cache import AsyncRoutingCache
from routecache.routing.health_policy import HealthPolicy
from routecache.routing.settings import RoutingSettings

Warm: TypeAlias = Callable[[AsyncRoutingCache], Awaitable[object]]
Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]

STATE: Final = "routing_cache"
"""The name under which the lifespan's state holds the cache."""

_log = logging.getLogger("routecache")


@asynccontextmanager
async def open_routing_cache(
    settings: RoutingSettings | None = None, *, health: HealthPolicy | None = None
) -> AsyncIterator[AsyncRoutingCache]:
    """An `AsyncRoutingCache` that is closed at the end, for a lifespan of one's own.

    That lifespan yields it under `STATE`; `routing_lifespan` is enough for applications that need
    nothing else. Takes and raises what `AsyncRoutingCache` does.
    """
    cache = AsyncRoutingCache(settings, health=health)
    try:
        yield cache
    finally:
        await cache.close()


async def warmed(warm: Callable[[], Awaitable[object]], *, seconds: float) -> bool:
    """Await `warm()` before the application is ready, but for no longer than `seconds`.

    What it raises is logged by type. The application starts either way, with what was warmed until
    then; False says that it was not all.

    Raises:
        ConfigurationError: a time that is not a number of seconds greater than 0.
    """
    check_ttl(seconds, "seconds")
    try:
        async with asyncio.timeout(seconds):
            await warm()
    except Exception as error:  # noqa: BLE001  # whoever warms may raise anything
        # The text of an exception may hold keys or secrets; its type does not.
        _log.warning("warming the routing cache ended with %s", type(error).__name__)
        return False
    return True


def routing_lifespan(
    settings: RoutingSettings | None = None,
    *,
    health: HealthPolicy | None = None,
    warm: Warm | None = None,
    warm_timeout: float = 5.0,
) -> Lifespan:
    """A lifespan for `FastAPI(lifespan=...)` that opens, warms and closes the cache.

    Args:
        settings, health: as `AsyncRoutingCache` takes them.
        warm: fills the cache before the application is ready, see `warmed`.
        warm_timeout: seconds after which the application starts without the rest.

    Each start of the application makes a new cache.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with open_routing_cache(settings, health=health) as cache:
            if warm is not None:
                await warmed(partial(warm, cache), seconds=warm_timeout)
            yield {STATE: cache}

    return lifespan


def routing_cache(connection: HTTPConnection) -> AsyncRoutingCache:
    """The application's cache, as a dependency: `Depends(routing_cache)`.

    Raises:
        ConfigurationError: the lifespan did not open one.
    """
    cache = getattr(connection.state, STATE, None)
    if not isinstance(cache, AsyncRoutingCache):
        raise ConfigurationError(
            "the application has no routing cache: give FastAPI lifespan=routing_lifespan(), or "
            f"yield {{{STATE!r}: cache}} from the lifespan that it has"
        )
    return cache


Routing: TypeAlias = Annotated[AsyncRoutingCache, Depends(routing_cache)]
"""The type of a parameter that FastAPI fills with the application's cache."""
