"""`AsyncRoutingCache`: the four questions of an LLM router, cached, for asyncio."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeAlias, Unpack

from routecache.async_manager import AsyncCacheManager
from routecache.errors import CacheClosedError
from routecache.keys import check_text
from routecache.routing._core import (
    REMOVAL,
    Providers,
    Reason,
    stats_of,
    tag_of,
    tags_for,
    tags_of,
)
from routecache.routing.cache import RoutingCache
from routecache.routing.health import AsyncInvalidationHook, HealthReport, Invalidation
from routecache.routing.health_board import Step
from routecache.routing.health_policy import HealthPolicy
from routecache.routing.request_context import key_of
from routecache.routing.settings import RoutingSettings
from routecache.routing.warming import (
    Items,
    Pairs,
    Requests,
    RoutingLoaders,
    RoutingWarmResult,
    plans,
)
from routecache.typing import MISS
from routecache.warming._async import warm_up
from routecache.warming.options import Terms, WarmOptions

Loader: TypeAlias = Callable[[], Any]
"""Gives a value or an awaitable of one."""


class AsyncRoutingCache:
    """`RoutingCache` for asyncio: the same names and promises, awaited.

    Loaders may be coroutine functions or plain ones. What is known at once is not awaited:
    `get_stats`, `provider_health`, `add_invalidation_hook`.

    Constructing it does not wait for Redis. A program that asks from threads and from tasks makes
    one `RoutingCache` and a face of it for its tasks, which share memory, health and hooks:

        routing = AsyncRoutingCache.from_sync(get_routing_cache())

    Takes and raises what `RoutingCache` does. Safe for tasks of any number of event loops. A
    cancelled task leaves nothing behind, see `AsyncCacheManager`; an invalidation that was
    cancelled may have been done for a part.
    """

    def __init__(
        self, settings: RoutingSettings | None = None, *, health: HealthPolicy | None = None
    ) -> None:
        self._share(RoutingCache._unconnected(settings, health))  # noqa: SLF001  # its sync half
        self._owns_sync = True

    @classmethod
    def from_sync(cls, routing: RoutingCache) -> Self:
        """An AsyncRoutingCache over the memory, counters, health and hooks of `routing`.

        Closing it closes its own connections and leaves `routing` open.
        """
        made = cls.__new__(cls)
        made._share(routing)  # noqa: SLF001  # of this very class
        made._owns_sync = False  # noqa: SLF001
        return made

    def _share(self, routing: RoutingCache) -> None:
        self.sync = routing
        self.settings = routing.settings
        self.core = routing.core
        managers = map(AsyncCacheManager.from_sync, routing._caches())  # noqa: SLF001  # its half
        self._provider, self._model, self._fallback, self._tool = managers
        self._closed = False

    # Look-ups

    async def get_provider_status(
        self, provider: str, default: Any = None, *, loader: Loader | None = None
    ) -> Any:
        """See `RoutingCache.get_provider_status`."""
        if loader is None:
            return await self._provider.get(provider, default)
        value = await self._provider.get_or_load(provider, loader)
        return default if value is MISS else value

    async def get_model_selection(
        self,
        context: object,
        default: Any = None,
        *,
        loader: Loader | None = None,
        providers: Providers = (),
    ) -> Any:
        """See `RoutingCache.get_model_selection`."""
        if loader is None:
            return await self._model.get(key_of(context), default)
        value = await self._model.get_or_load(key_of(context), loader, tags=tags_for(providers))
        return default if value is MISS else value

    async def get_fallback_chain(
        self,
        context: object,
        default: Any = None,
        *,
        loader: Loader | None = None,
        providers: Providers = (),
    ) -> Any:
        """See `RoutingCache.get_fallback_chain`."""
        if loader is None:
            return await self._fallback.get(key_of(context), default)
        value = await self._fallback.get_or_load(key_of(context), loader, tags=tags_for(providers))
        return default if value is MISS else value

    async def get_normalized_tool(
        self, tool: str, default: Any = None, *, loader: Loader | None = None
    ) -> Any:
        """See `RoutingCache.get_normalized_tool`."""
        if loader is None:
            return await self._tool.get(tool, default)
        value = await self._tool.get_or_load(tool, loader)
        return default if value is MISS else value

    # Statements of truth

    async def set_provider_status(
        self, provider: str, status: Any, ttl: float | None = None
    ) -> None:
        """See `RoutingCache.set_provider_status`."""
        await self._provider.set(provider, status, ttl)

    async def set_model_selection(
        self, context: object, model: Any, ttl: float | None = None, *, providers: Providers = ()
    ) -> None:
        """See `RoutingCache.set_model_selection`."""
        await self._model.set(key_of(context), model, ttl, tags=tags_of(providers, model))

    async def set_fallback_chain(
        self, context: object, chain: Any, ttl: float | None = None, *, providers: Providers = ()
    ) -> None:
        """See `RoutingCache.set_fallback_chain`."""
        await self._fallback.set(key_of(context), chain, ttl, tags=tags_of(providers, chain))

    async def set_normalized_tool(self, tool: str, name: str) -> None:
        """See `RoutingCache.set_normalized_tool`."""
        await self._tool.set(tool, name)

    # Invalidations

    async def invalidate_provider(self, provider: str) -> None:
        """See `RoutingCache.invalidate_provider`."""
        await self._provider.delete(check_text(provider, "a provider"))
        self.core.health.statuses_gone(provider)
        await self._drop_naming(provider, "explicit")
        await self.core.hooks.tell_awaited(Invalidation("all", provider, "explicit"))

    async def invalidate_model_selection(self, context: object) -> bool:
        """See `RoutingCache.invalidate_model_selection`."""
        dropped = await self._model.delete(key_of(context))
        await self.core.hooks.tell_awaited(Invalidation("model", None, "explicit"))
        return dropped

    async def invalidate_fallback_chain(self, context: object) -> bool:
        """See `RoutingCache.invalidate_fallback_chain`."""
        dropped = await self._fallback.delete(key_of(context))
        await self.core.hooks.tell_awaited(Invalidation("fallback", None, "explicit"))
        return dropped

    async def report_provider_health(
        self, provider: str, healthy: bool, *, source: str = "router", reason: str = ""
    ) -> None:
        """See `RoutingCache.report_provider_health`."""
        self.core.health.report(provider, healthy, source, reason)
        while (step := self.core.health.next_step(provider)) is not None:
            with step:
                if step.told is None:
                    await self._do(provider, step)
                else:
                    await self.core.hooks.tell_awaited(step.told)

    def provider_health(self) -> dict[str, bool]:
        """See `RoutingCache.provider_health`."""
        return self.core.health.provider_health()

    def provider_reports(self, provider: str) -> tuple[HealthReport, ...]:
        """See `RoutingCache.provider_reports`."""
        return self.core.health.reports(provider)

    def add_invalidation_hook(self, hook: AsyncInvalidationHook) -> Callable[[], None]:
        """See `RoutingCache.add_invalidation_hook`; `hook` may also be a coroutine function.

        That runs in the event loop in which it was added. Who invalidates in this loop awaits it,
        at most `HealthPolicy.hook_timeout` seconds; who does in a thread or in another loop starts
        it there and does not wait. Taking longer, like raising, counts as a failure.

        Raises ConfigurationError for a coroutine function outside of any event loop.
        """
        return self.core.hooks.add_awaited(hook)

    async def clear_all(self) -> bool:
        """See `RoutingCache.clear_all`."""
        cleared = [await cache.clear() for cache in self._caches()]
        self.core.health.statuses_gone()
        return all(cleared)

    # The whole

    async def warm(
        self,
        requests: Requests = None,
        *,
        loaders: RoutingLoaders = RoutingLoaders(),  # noqa: B008  # frozen
        providers: Items | None = None,
        models: Pairs = (),
        fallbacks: Pairs = (),
        tools: Items | None = None,
        hottest: bool = True,
        **options: Unpack[WarmOptions],
    ) -> RoutingWarmResult:
        """See `RoutingCache.warm`; loaders and `requests` may be asynchronous."""
        terms = Terms(**options)
        made = plans(
            [cache.core for cache in self._caches()], terms, requests, loaders,
            providers=providers, models=models, fallbacks=fallbacks, tools=tools, hottest=hottest,
        )  # fmt: skip
        caches = zip(made, self._caches(), strict=True)
        wanted = [(plan, cache.tiers, cache.remote) for plan, cache in caches]
        return RoutingWarmResult(tuple(await warm_up(wanted, terms)))

    def get_stats(self) -> dict[str, Any]:
        """See `RoutingCache.get_stats`."""
        return stats_of(self._caches(), self.core)

    async def close(self) -> None:
        """Let go of the connections; entries in Redis stay. Closing twice does nothing."""
        self._closed = True
        for cache in self._caches():
            await cache.close()
        if self._owns_sync:
            self.sync.close()

    async def __aenter__(self) -> Self:
        if self._closed:
            raise CacheClosedError("this routing cache is closed: make a new one")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _caches(self) -> tuple[AsyncCacheManager, ...]:
        return self._provider, self._model, self._fallback, self._tool

    async def _do(self, provider: str, step: Step) -> None:
        if step.status is MISS:
            await self._provider.delete_as(provider, REMOVAL["health"])
        else:
            await self._provider.set(provider, step.status, step.ttl)
        if step.kind == "drop":
            await self._drop_naming(provider, "health")

    async def _drop_naming(self, provider: str, reason: Reason) -> None:
        await self._model.invalidate_together(
            (tag_of(provider),), (self._fallback,), REMOVAL[reason]
        )
