"""`RoutingCache`: the four questions that an LLM router asks on every request, cached."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from routecache import forking, registry
from routecache.errors import KeyTypeError
from routecache.keys import check_text, digest
from routecache.manager import BaseCacheManager
from routecache.routing.health import HealthReport, Invalidation, InvalidationHook
from routecache.routing.settings import RoutingSettings
from routecache.typing import MISS, Removal

Loader: TypeAlias = Callable[[], Any]
Providers: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]

_log = logging.getLogger("routecache")

_REMOVAL: dict[str, Removal] = {"explicit": "invalidated", "health": "health"}

PROVIDER_MAXSIZE = 50
MODEL_MAXSIZE = 100
FALLBACK_MAXSIZE = 50
TOOL_MAXSIZE = 200

_PREFIX = "routing:"
L2_PREFIXES = tuple(_PREFIX + name for name in ("provider", "model", "fallback"))
"""What the keys of its caches in Redis begin with."""

# Whose health is remembered; of a provider pushed out the next bad report drops entries again.
_MAX_PROVIDERS = 10_000


class RoutingCache:
    """Provider status, model selections, fallback chains and normalized tool names.

    | cache | prefix in Redis | entries in L1 | seconds to live |
    |---|---|---|---|
    | provider | `routing:provider` | 50 | 300 |
    | model | `routing:model` | 100 | 180 |
    | fallback | `routing:fallback` | 50 | 600 |
    | tool | none, memory only, LRU | 200 | as long as the process |

    A getter with a `loader` computes and stores what no tier holds, once for all who ask
    meanwhile. `providers` names the providers that an entry depends on, or is a function of the
    value that gives them: a provider reported unhealthy takes these entries with it.

    Contexts are what a decision depends on: any nesting of dicts, lists and plain values, in any
    order (`routecache.keys.digest`); only a digest of them leaves the process.

    Args:
        settings: read from the environment now, if not given.

    Raises:
        ConfigurationError: a setting that cannot work.

    Safe for threads.
    """

    def __init__(self, settings: RoutingSettings | None = None) -> None:
        self.settings = RoutingSettings.from_env() if settings is None else settings
        self._provider = self._manager("provider", PROVIDER_MAXSIZE, self.settings.provider_ttl)
        self._model = self._manager("model", MODEL_MAXSIZE, self.settings.model_ttl)
        self._fallback = self._manager("fallback", FALLBACK_MAXSIZE, self.settings.fallback_ttl)
        self._tool = BaseCacheManager(
            TOOL_MAXSIZE,
            math.inf,
            enable_redis=False,
            cache_prefix=_PREFIX + "tool",
            name="tool",
            l1_policy="lru",
        )
        self._lock = forking.RenewedLock()
        self._health: dict[str, HealthReport] = {}
        self._hooks: list[InvalidationHook] = []
        registry.register_health(self)

    def _manager(self, name: str, maxsize: int, ttl: float) -> BaseCacheManager:
        return BaseCacheManager(
            maxsize,
            ttl,
            ttl,
            self.settings.enable_redis,
            _PREFIX + name,
            name=name,
            redis_url=self.settings.redis_url,
        )

    # Look-ups

    def get_provider_status(
        self, provider: str, default: Any = None, *, loader: Loader | None = None
    ) -> Any:
        """The status last stored for `provider`, or loaded now; else `default`."""
        return _get(self._provider, provider, default, loader, ())

    def get_model_selection(
        self,
        context: object,
        default: Any = None,
        *,
        loader: Loader | None = None,
        providers: Providers = (),
    ) -> Any:
        """The model chosen for a request like `context`, or chosen now; else `default`."""
        return _get(self._model, digest(context), default, loader, _tags(providers))

    def get_fallback_chain(
        self,
        context: object,
        default: Any = None,
        *,
        loader: Loader | None = None,
        providers: Providers = (),
    ) -> Any:
        """The fallback chain for a request like `context`, or built now; else `default`."""
        return _get(self._fallback, digest(context), default, loader, _tags(providers))

    def get_normalized_tool(
        self, tool: str, default: Any = None, *, loader: Loader | None = None
    ) -> Any:
        """The canonical name of `tool`, or found now; else `default`. In memory only."""
        return _get(self._tool, tool, default, loader, ())

    # Statements of truth

    def set_provider_status(self, provider: str, status: Any, ttl: float | None = None) -> None:
        """Store what is known of `provider`, for `ttl` seconds if given."""
        self._provider.set(provider, status, ttl)

    def set_model_selection(
        self, context: object, model: Any, ttl: float | None = None, *, providers: Providers = ()
    ) -> None:
        """Store the model chosen for `context`, for `ttl` seconds if given."""
        self._model.set(digest(context), model, ttl, tags=_tags_of(providers, model))

    def set_fallback_chain(
        self, context: object, chain: Any, ttl: float | None = None, *, providers: Providers = ()
    ) -> None:
        """Store the fallback chain for `context`, for `ttl` seconds if given."""
        self._fallback.set(digest(context), chain, ttl, tags=_tags_of(providers, chain))

    def set_normalized_tool(self, tool: str, name: str) -> None:
        """Store the canonical name of `tool`, in memory only."""
        self._tool.set(tool, name)

    # Invalidations

    def invalidate_provider(self, provider: str) -> None:
        """Forget the status of `provider` and every model selection and chain that names it."""
        check_text(provider, "a provider")
        self._drop_provider(provider, "explicit")

    def invalidate_model_selection(self, context: object) -> bool:
        """Forget the model chosen for `context`; True if a tier held one."""
        dropped = self._model.delete(digest(context))
        self._tell(Invalidation("model", None, "explicit"))
        return dropped

    def invalidate_fallback_chain(self, context: object) -> bool:
        """Forget the fallback chain for `context`; True if a tier held one."""
        dropped = self._fallback.delete(digest(context))
        self._tell(Invalidation("fallback", None, "explicit"))
        return dropped

    def report_provider_health(
        self, provider: str, healthy: bool, *, source: str = "router", reason: str = ""
    ) -> None:
        """Tell what `source` found out about `provider`.

        When a provider turns from healthy (or unknown) to unhealthy, its status and all that
        names it are forgotten, so that the next request decides anew. `reason` is for hooks and
        people; it is neither logged nor used as a label.
        """
        check_text(provider, "a provider")
        with self._lock:
            before = self._health.get(provider)
        if not healthy and (before is None or before.healthy):
            self._drop_provider(provider, "health")
        with self._lock:
            # Only now, so that a drop that was interrupted is done again by the next report.
            self._health.pop(provider, None)
            self._health[provider] = HealthReport(healthy, source, reason)
            if len(self._health) > _MAX_PROVIDERS:
                del self._health[next(iter(self._health))]

    def provider_health(self) -> dict[str, bool]:
        """Whether each provider that was reported was last reported healthy; for exporters."""
        with self._lock:
            return {provider: report.healthy for provider, report in self._health.items()}

    def add_invalidation_hook(self, hook: InvalidationHook) -> None:
        """Have `hook(invalidation)` called after every invalidation, in the invalidating thread.

        A hook that raises is logged and skipped; it breaks neither the call nor other hooks.
        """
        with self._lock:
            self._hooks.append(hook)

    def clear_all(self) -> None:
        """Empty all four caches in both tiers."""
        for cache in self._caches():
            cache.clear()

    # The whole

    def warm(
        self,
        *,
        providers: Mapping[str, Any] | None = None,
        models: Iterable[tuple[object, Any]] = (),
        fallbacks: Iterable[tuple[object, Any]] = (),
        tools: Mapping[str, str] | None = None,
    ) -> int:
        """Store what is known before the first request; returns how many entries were stored.

        Args:
            providers: status by provider.
            models: pairs of context and model.
            fallbacks: pairs of context and chain.
            tools: canonical name by tool.
        """
        statuses = dict(providers or {})
        for provider, status in statuses.items():
            self.set_provider_status(provider, status)
        chosen = {digest(context): model for context, model in models}
        chains = {digest(context): chain for context, chain in fallbacks}
        names = dict(tools or {})
        self._model.set_many(chosen)
        self._fallback.set_many(chains)
        self._tool.set_many(names)
        return len(statuses) + len(chosen) + len(chains) + len(names)

    def get_stats(self) -> dict[str, Any]:
        """`BaseCacheManager.get_stats` by cache name, and the hit ratio over all as `hit_ratio`."""
        stats: dict[str, Any] = {cache.name: cache.get_stats() for cache in self._caches()}
        requests = sum(s["requests"] for s in stats.values())
        hits = sum(s["l1_hits"] + s["l2_hits"] for s in stats.values())
        stats["hit_ratio"] = hits / requests if requests else 0.0
        return stats

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

    def _drop_provider(self, provider: str, reason: Literal["explicit", "health"]) -> None:
        self._provider.delete(provider)
        self._model.invalidate_together((_tag(provider),), (self._fallback,), _REMOVAL[reason])
        self._tell(Invalidation("all", provider, reason))

    def _tell(self, invalidation: Invalidation) -> None:
        with self._lock:
            hooks = tuple(self._hooks)
        for hook in hooks:
            try:
                hook(invalidation)
            except Exception as error:  # noqa: BLE001  # a hook may raise anything
                # The text of an exception may hold keys or secrets; its type does not.
                _log.warning("an invalidation hook raised %s", type(error).__name__)


def _get(
    cache: BaseCacheManager,
    key: str,
    default: Any,
    loader: Loader | None,
    tags: Iterable[str] | Callable[[Any], Iterable[str]],
) -> Any:
    if loader is None:
        return cache.get(key, default)
    value = cache.get_or_load(key, loader, tags=tags)
    return default if value is MISS else value


def _tag(provider: str) -> str:
    return f"provider:{provider}"


def _tags(providers: Providers) -> Iterable[str] | Callable[[Any], Iterable[str]]:
    if callable(providers):
        return lambda value: _named(providers(value))
    return _named(providers)


def _tags_of(providers: Providers, value: Any) -> tuple[str, ...]:
    return _named(providers(value) if callable(providers) else providers)


def _named(providers: Iterable[str]) -> tuple[str, ...]:
    if not providers:
        return ()
    if isinstance(providers, str):
        raise KeyTypeError(f"providers={providers!r}: give an iterable of names, such as a tuple")
    return tuple(_tag(check_text(provider, "a provider")) for provider in providers)


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
