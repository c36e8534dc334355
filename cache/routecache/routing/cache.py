"""`RoutingCache`: the four questions that an LLM router asks on every request, cached."""

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeAlias, Unpack

from routecache import forking, registry
from routecache.keys import check_text
from routecache.manager import BaseCacheManager
from routecache.routing._core import (
    REMOVAL,
    TOOL_MAXSIZE,
    Providers,
    Reason,
    RoutingCore,
    stats_of,
    tag_of,
    tags_for,
    tags_of,
)
from routecache.routing.health import HealthReport, Invalidation, InvalidationHook
from routecache.routing.health_board import Step
from routecache.routing.health_policy import HealthPolicy
from routecache.routing.request_context import key_of
from routecache.routing.settings import PREFIX, RoutingSettings
from routecache.routing.warming import (
    Items,
    Pairs,
    Requests,
    RoutingLoaders,
    RoutingWarmResult,
    plans,
)
from routecache.typing import MISS, Timer
from routecache.warming._sync import warm_up
from routecache.warming.options import Terms, WarmOptions

Loader: TypeAlias = Callable[[], Any]

L2_PREFIXES = tuple(PREFIX + name for name in ("provider", "model", "fallback"))
"""What the keys of its caches in Redis begin with, unless its settings say otherwise."""


class RoutingCache:
    """Provider status, model selections, fallback chains and normalized tool names.

    | cache | prefix in Redis | entries in L1 | seconds to live |
    |---|---|---|---|
    | provider | `routing:provider` | 50 | 300 |
    | model | `routing:model` | 100 | 180 |
    | fallback | `routing:fallback` | 50 | 600 |
    | tool | none, memory only, LRU | 200 | as long as the process |

    `settings` may give other sizes, life times and another prefix than `routing:` to all but the
    tool cache.

    A getter with a `loader` computes and stores what no tier holds, once for all who ask
    meanwhile. `providers` names the providers that an entry depends on, or is a function of the
    value that gives them: a provider reported unhealthy takes these entries with it.

    Contexts are what a decision depends on: any nesting of dicts, lists and plain values, in any
    order (`routecache.keys.digest`), or a `RequestContext` of them, which is hashed once for all
    its look-ups; only a digest of them leaves the process.

    Args:
        settings: read from the environment now, if not given.
        health: how long health reports count, and how flapping is damped.
        timer: a monotonic clock in seconds, for tests and for replays in a log's own time.

    Raises:
        ConfigurationError: a setting that cannot work.
        SerializationError: `health.unhealthy_status` is no status that Redis would give back.

    Safe for threads.
    """

    _waits_for_nothing = False

    @classmethod
    def _unconnected(
        cls, settings: RoutingSettings | None, health: HealthPolicy | None
    ) -> "RoutingCache":
        """One whose construction does not wait for Redis: an event loop may be waiting."""
        return _Unconnected(settings, health=health)

    def __init__(
        self,
        settings: RoutingSettings | None = None,
        *,
        health: HealthPolicy | None = None,
        timer: Timer = time.monotonic,
    ) -> None:
        self.settings = chosen = RoutingSettings.from_env() if settings is None else settings
        self.core = RoutingCore(health, timer)
        self._timer = timer
        self._provider = self._manager("provider", chosen.provider_maxsize, chosen.provider_ttl)
        self._model = self._manager("model", chosen.model_maxsize, chosen.model_ttl)
        self._fallback = self._manager("fallback", chosen.fallback_maxsize, chosen.fallback_ttl)
        self._tool = BaseCacheManager(
            TOOL_MAXSIZE,
            math.inf,
            enable_redis=False,
            cache_prefix=chosen.prefix + "tool",
            name="tool",
            l1_policy="lru",
            timer=timer,
        )
        stated = self.core.health.policy.unhealthy_status
        if stated is not MISS:
            self._provider.core.serializer.dumps(stated)
        registry.register_health(self)

    def _manager(self, name: str, maxsize: int, ttl: float) -> BaseCacheManager:
        unconnected = BaseCacheManager._unconnected  # noqa: SLF001  # of this package
        make = unconnected if self._waits_for_nothing else BaseCacheManager
        return make(
            maxsize,
            ttl,
            ttl,
            self.settings.enable_redis,
            self.settings.prefix + name,
            name=name,
            redis_url=self.settings.redis_url,
            timer=self._timer,
        )

    # Look-ups

    def get_provider_status(
        self, provider: str, default: Any = None, *, loader: Loader | None = None
    ) -> Any:
        """The status last stored for `provider`, or loaded now; else `default`."""
        if loader is None:
            return self._provider.get(provider, default)
        value = self._provider.get_or_load(provider, loader)
        return default if value is MISS else value

    def get_model_selection(
        self,
        context: object,
        default: Any = None,
        *,
        loader: Loader | None = None,
        providers: Providers = (),
    ) -> Any:
        """The model chosen for a request like `context`, or chosen now; else `default`."""
        if loader is None:
            return self._model.get(key_of(context), default)
        value = self._model.get_or_load(key_of(context), loader, tags=tags_for(providers))
        return default if value is MISS else value

    def get_fallback_chain(
        self,
        context: object,
        default: Any = None,
        *,
        loader: Loader | None = None,
        providers: Providers = (),
    ) -> Any:
        """The fallback chain for a request like `context`, or built now; else `default`."""
        if loader is None:
            return self._fallback.get(key_of(context), default)
        value = self._fallback.get_or_load(key_of(context), loader, tags=tags_for(providers))
        return default if value is MISS else value

    def get_normalized_tool(
        self, tool: str, default: Any = None, *, loader: Loader | None = None
    ) -> Any:
        """The canonical name of `tool`, or found now; else `default`. In memory only."""
        if loader is None:
            return self._tool.get(tool, default)
        value = self._tool.get_or_load(tool, loader)
        return default if value is MISS else value

    # Statements of truth

    def set_provider_status(self, provider: str, status: Any, ttl: float | None = None) -> None:
        """Store what is known of `provider`, for `ttl` seconds if given."""
        self._provider.set(provider, status, ttl)

    def set_model_selection(
        self, context: object, model: Any, ttl: float | None = None, *, providers: Providers = ()
    ) -> None:
        """Store the model chosen for `context`, for `ttl` seconds if given."""
        self._model.set(key_of(context), model, ttl, tags=tags_of(providers, model))

    def set_fallback_chain(
        self, context: object, chain: Any, ttl: float | None = None, *, providers: Providers = ()
    ) -> None:
        """Store the fallback chain for `context`, for `ttl` seconds if given."""
        self._fallback.set(key_of(context), chain, ttl, tags=tags_of(providers, chain))

    def set_normalized_tool(self, tool: str, name: str) -> None:
        """Store the canonical name of `tool`, in memory only."""
        self._tool.set(tool, name)

    # Invalidations

    def invalidate_provider(self, provider: str) -> None:
        """Forget the status of `provider` and every model selection and chain that names it."""
        self._provider.delete(check_text(provider, "a provider"))
        self.core.health.statuses_gone(provider)
        self._drop_naming(provider, "explicit")
        self.core.hooks.tell(Invalidation("all", provider, "explicit"))

    def invalidate_model_selection(self, context: object) -> bool:
        """Forget the model chosen for `context`; True if a tier held one."""
        dropped = self._model.delete(key_of(context))
        self.core.hooks.tell(Invalidation("model", None, "explicit"))
        return dropped

    def invalidate_fallback_chain(self, context: object) -> bool:
        """Forget the fallback chain for `context`; True if a tier held one."""
        dropped = self._fallback.delete(key_of(context))
        self.core.hooks.tell(Invalidation("fallback", None, "explicit"))
        return dropped

    def report_provider_health(
        self, provider: str, healthy: bool, *, source: str = "router", reason: str = ""
    ) -> None:
        """Tell what `source` found out about `provider`.

        A provider is unhealthy while one of its sources says so, each until its report expires,
        or while it is held for flapping: see `HealthPolicy`. When it turns from healthy (or
        unknown) to unhealthy, its status and all that names it are forgotten, in every process,
        so that the next request decides anew. When it is well again its status is. Any other
        report costs no round trip to Redis, unless `unhealthy_status` is due to be stored anew.

        Of many who report the same at once one does it, and the others return without waiting.

        Args:
            source: who says so, such as "router", or "router:eu" for one of several.
            reason: for `provider_reports`, its first 200 characters; neither logged nor a label.

        Raises KeyTypeError for a provider or source that is no text, or is empty.
        """
        self.core.health.report(provider, healthy, source, reason)
        while (step := self.core.health.next_step(provider)) is not None:
            with step:
                if step.told is None:
                    self._do(provider, step)
                else:
                    self.core.hooks.tell(step.told)

    def provider_health(self) -> dict[str, bool]:
        """Whether each provider is healthy of which this process was told; for exporters.

        One whose last report has expired is not in it.
        """
        return self.core.health.provider_health()

    def provider_reports(self, provider: str) -> tuple[HealthReport, ...]:
        """What each source last said of `provider`, but for reports that have expired."""
        return self.core.health.reports(provider)

    def add_invalidation_hook(self, hook: InvalidationHook) -> Callable[[], None]:
        """Have `hook(invalidation)` called after every invalidation, in the invalidating thread.

        Hooks are called in the order in which they were added, outside of all locks, and in the
        process that invalidates only. One that raises is counted in `get_stats`, logged by its
        type, and skipped; it breaks neither the call nor other hooks.

        Of one provider's health they hear in the order in which things were done. What is done
        while one thread tells them is told by that thread afterwards, turns that repeat
        themselves once.

        Args:
            hook: takes an `Invalidation`; what it returns is ignored.

        Returns:
            A function that takes the hook off again. Harmless when repeated.

        Raises ConfigurationError for a coroutine function: see `AsyncRoutingCache`.
        """
        return self.core.hooks.add(hook)

    def clear_all(self) -> bool:
        """Empty all four caches in both tiers; False if L2 failed at one of them."""
        cleared = [cache.clear() for cache in self._caches()]
        self.core.health.statuses_gone()
        return all(cleared)

    # The whole

    def warm(
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
        """Fill the caches before the first request, within one deadline and one rate for all.

        Returns at the deadline whatever hangs, with what there is then, and never raises because
        of Redis or of what a loader raises. What a tier holds already is left as it is. See
        docs/warming.md.

        Args:
            requests: of the past, or a function that gives them: what they asked for most comes
                first. They are read for half of the deadline at most.
            loaders: compute what Redis lacks.
            providers, tools: values by name, or names.
            models, fallbacks: pairs of context and value.
            hottest: whether to go on with Redis' hottest keys of each cache while L1 has room.
            options: see `WarmOptions`.
        """
        terms = Terms(**options)
        made = plans(
            [cache.core for cache in self._caches()], terms, requests, loaders,
            providers=providers, models=models, fallbacks=fallbacks, tools=tools, hottest=hottest,
        )  # fmt: skip
        caches = zip(made, self._caches(), strict=True)
        wanted = [(plan, cache.tiers, cache.remote) for plan, cache in caches]
        return RoutingWarmResult(tuple(warm_up(wanted, terms)))

    def get_stats(self) -> dict[str, Any]:
        """`BaseCacheManager.get_stats` by cache name, the hit ratio over all as `hit_ratio`, and
        counts of providers, turns, damped turns and failed hooks as `health` (docs/health.md)."""
        return stats_of(self._caches(), self.core)

    def close(self) -> None:
        """Close all four caches; entries in Redis stay."""
        registry.unregister_health(self)
        for cache in self._caches():
            cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _caches(self) -> tuple[BaseCacheManager, ...]:
        return self._provider, self._model, self._fallback, self._tool

    def _do(self, provider: str, step: Step) -> None:
        if step.status is MISS:
            self._provider.delete_as(provider, REMOVAL["health"])
        else:
            self._provider.set(provider, step.status, step.ttl)
        if step.kind == "drop":
            self._drop_naming(provider, "health")

    def _drop_naming(self, provider: str, reason: Reason) -> None:
        self._model.invalidate_together((tag_of(provider),), (self._fallback,), REMOVAL[reason])


class _Unconnected(RoutingCache):
    _waits_for_nothing = True


_singleton: RoutingCache | None = None
_singleton_lock = forking.RenewedLock()


def get_routing_cache() -> RoutingCache:
    """The process's one RoutingCache, made from the environment on first use. Safe for threads."""
    global _singleton
    with _singleton_lock:
        if _singleton is None:
            _singleton = RoutingCache()
        return _singleton


def reset_routing_cache() -> None:
    """Close the process's RoutingCache, so that the next `get_routing_cache` makes a new one."""
    global _singleton
    with _singleton_lock:
        if _singleton is not None:
            _singleton.close()
            _singleton = None
