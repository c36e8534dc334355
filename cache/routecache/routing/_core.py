"""What `RoutingCache` and `AsyncRoutingCache` decide alike, without I/O.

Keys, tags, sizes, hooks and what is known of providers' health are here; the two classes do the
look-ups, writes and deletes between.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias

from routecache import forking
from routecache.errors import KeyTypeError
from routecache.keys import check_text
from routecache.routing.health import HealthReport, Invalidation, InvalidationHook
from routecache.typing import Removal

Providers: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]
Reason: TypeAlias = Literal["explicit", "health"]

REMOVAL: Final[Mapping[Reason, Removal]] = {"explicit": "invalidated", "health": "health"}
"""What the removals of a dropped provider are counted as."""

PREFIX: Final = "routing:"
TOOL_MAXSIZE: Final = 200

# Whose health is remembered; of a provider pushed out the next bad report drops entries again.
_MAX_PROVIDERS: Final = 10_000

_log = logging.getLogger("routecache")


class RoutingCore:
    """The health of providers as reported, and the hooks that hear of invalidations.

    Shared by a `RoutingCache` and the `AsyncRoutingCache`s made from it. Safe for threads.
    """

    def __init__(self) -> None:
        self._lock = forking.RenewedLock()
        self._health: dict[str, HealthReport] = {}
        self._hooks: list[InvalidationHook] = []

    def turns_unhealthy(self, provider: str, healthy: bool) -> bool:
        """Whether this report takes with it what names `provider`."""
        check_text(provider, "a provider")
        with self._lock:
            before = self._health.get(provider)
        return not healthy and (before is None or before.healthy)

    def reported(self, provider: str, report: HealthReport) -> None:
        """Remember `report`, once what it takes with it has been dropped."""
        with self._lock:
            self._health.pop(provider, None)
            self._health[provider] = report
            if len(self._health) > _MAX_PROVIDERS:
                del self._health[next(iter(self._health))]

    def provider_health(self) -> dict[str, bool]:
        """Whether each provider that was reported was last reported healthy."""
        with self._lock:
            return {provider: report.healthy for provider, report in self._health.items()}

    def add_hook(self, hook: InvalidationHook) -> None:
        """Have `tell` call `hook` as well."""
        with self._lock:
            self._hooks.append(hook)

    def tell(self, invalidation: Invalidation) -> None:
        """Call every hook; one that raises is logged and skipped."""
        with self._lock:
            hooks = tuple(self._hooks)
        for hook in hooks:
            try:
                hook(invalidation)
            except Exception as error:  # noqa: BLE001  # a hook may raise anything
                # The text of an exception may hold keys or secrets; its type does not.
                _log.warning("an invalidation hook raised %s", type(error).__name__)


class _Counted(Protocol):
    name: str

    def get_stats(self) -> dict[str, Any]: ...


def stats_of(caches: Iterable[_Counted]) -> dict[str, Any]:
    """`get_stats` of each cache by its name, and the hit ratio over all as `hit_ratio`."""
    stats: dict[str, Any] = {cache.name: cache.get_stats() for cache in caches}
    requests = sum(s["requests"] for s in stats.values())
    hits = sum(s["l1_hits"] + s["l2_hits"] for s in stats.values())
    stats["hit_ratio"] = hits / requests if requests else 0.0
    return stats


def tag_of(provider: str) -> str:
    """The tag of the entries that name `provider`."""
    return f"provider:{provider}"


def tags_for(providers: Providers) -> Iterable[str] | Callable[[Any], Iterable[str]]:
    """`get_or_load`'s `tags` for an entry that names `providers`, or those that its value names."""
    if callable(providers):
        return lambda value: _named(providers(value))
    return _named(providers)


def tags_of(providers: Providers, value: Any) -> tuple[str, ...]:
    """The tags of an entry with this value."""
    return _named(providers(value) if callable(providers) else providers)


def _named(providers: Iterable[str]) -> tuple[str, ...]:
    if not providers:
        return ()
    if isinstance(providers, str):
        raise KeyTypeError(f"providers={providers!r}: give an iterable of names, such as a tuple")
    return tuple(tag_of(check_text(provider, "a provider")) for provider in providers)
