"""The lifespan and the dependency for FastAPI, with the real FastAPI."""

import asyncio
import logging

import httpx
import pytest
from fastapi import FastAPI

from routecache import AsyncRoutingCache, CacheClosedError, RoutingSettings, caches
from routecache.adapters.fastapi import Routing, open_routing_cache, routing_lifespan, warmed
from routecache.errors import ConfigurationError
from tests.helpers import in_loop

MEMORY = RoutingSettings(enable_redis=False)


def application(**arguments: object) -> FastAPI:
    app = FastAPI(**arguments)  # type: ignore[arg-type]

    @app.get("/{provider}")
    async def status(provider: str, cache: Routing) -> object:
        return await cache.get_provider_status(provider, "unknown")

    return app


def asked(app: FastAPI, *providers: str) -> list[object]:
    """What `app` answers while it lives; its lifespan is run as a server runs it."""

    async def ask() -> list[object]:
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: dict[str, object], receive: object, send: object) -> None:
                scope["state"] = dict(state or {})
                await app(scope, receive, send)  # type: ignore[arg-type]

            transport = httpx.ASGITransport(with_state)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
                return [(await http.get(f"/{provider}")).json() for provider in providers]

    return asyncio.run(ask())


def test_routes_are_given_the_cache_that_the_lifespan_opened_and_warmed() -> None:
    async def warm(cache: AsyncRoutingCache) -> None:
        await cache.set_provider_status("p", "up")

    app = application(lifespan=routing_lifespan(MEMORY, warm=warm))
    assert asked(app, "p", "q") == ["up", "unknown"]


def test_each_start_makes_a_cache_and_each_end_closes_it() -> None:
    seen: list[AsyncRoutingCache] = []

    async def warm(cache: AsyncRoutingCache) -> None:
        seen.append(cache)

    app = application(lifespan=routing_lifespan(MEMORY, warm=warm))
    before = len(caches())
    asked(app)
    asked(app)
    assert len(caches()) == before
    assert seen[0] is not seen[1]
    with pytest.raises(CacheClosedError):
        asyncio.run(seen[0].set_provider_status("p", "up"))


def test_a_warming_that_fails_or_takes_too_long_keeps_no_application_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(cache: AsyncRoutingCache) -> None:
        await cache.set_provider_status("p", "up")
        raise RuntimeError("a secret")

    async def hangs(cache: AsyncRoutingCache) -> None:
        await cache.set_provider_status("p", "up")
        await asyncio.Event().wait()

    for warm in (fails, hangs):
        app = application(lifespan=routing_lifespan(MEMORY, warm=warm, warm_timeout=0.01))
        assert asked(app, "p") == ["up"]
    assert "RuntimeError" in caplog.text
    assert "TimeoutError" in caplog.text
    assert "secret" not in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_warming_says_whether_it_was_all() -> None:
    async def done() -> None:
        pass

    async def fails() -> None:
        raise RuntimeError

    assert asyncio.run(warmed(done, seconds=1))
    assert not asyncio.run(warmed(fails, seconds=1))
    with pytest.raises((ConfigurationError, ValueError), match="seconds"):
        asyncio.run(warmed(done, seconds=0))


def test_an_application_without_a_cache_is_told_how_to_have_one() -> None:
    with pytest.raises(ConfigurationError, match=r"lifespan=routing_lifespan\(\)"):
        asked(application(), "p")


@in_loop
async def test_the_cache_is_closed_when_the_application_fails() -> None:
    opened: list[AsyncRoutingCache] = []

    async def fail() -> None:
        async with open_routing_cache(MEMORY) as cache:
            opened.append(cache)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    with pytest.raises(CacheClosedError):
        await opened[0].set_provider_status("p", "up")
