"""What `RoutingCache` and `AsyncRoutingCache` decide alike, without I/O.

Keys, tags, sizes, hooks and what is known of providers' health are here; the two classes do the
look-ups, writes and deletes between.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias

from routecache.errors import KeyTypeError
from routecache.keys import check_text
from routecache.routing.health_board import HealthBoard
from routecache.routing.health_policy import HealthPolicy
from routecache.routing.hooks import Hooks
from routecache.typing import Removal, Timer

Providers: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]
Reason: TypeAlias = Literal["explicit", "health"]

REMOVAL: Final[Mapping[Reason, Removal]] = {"explicit": "invalidated", "health": "health"}
"""What the removals of a dropped provider are counted as."""

TOOL_MAXSIZE: Final = 200


class RoutingCore:
    """What is known of providers' health, and the hooks that hear of invalidations.

    Shared by a `RoutingCache` and the `AsyncRoutingCache`s made from it. Safe for threads.
    """

    def __init__(self, policy: HealthPolicy | None, timer: Timer) -> None:
        self.health = HealthBoard(policy, timer)
        self.hooks = Hooks(self.health.policy.hook_timeout)

    def stats(self) -> dict[str, int]:
        """`HealthBoard.stats`, and how often a hook failed as `hook_failures`."""
        return {**self.health.stats(), "hook_failures": self.hooks.failures}


class _Counted(Protocol):
    name: str

    def get_stats(self) -> dict[str, Any]: ...


def stats_of(caches: Iterable[_Counted], core: RoutingCore) -> dict[str, Any]:
    """`get_stats` of each cache by its name, the hit ratio over all as `hit_ratio`, and what
    became of health reports and hooks as `health`."""
    stats: dict[str, Any] = {cache.name: cache.get_stats() for cache in caches}
    requests = sum(s["requests"] for s in stats.values())
    hits = sum(s["l1_hits"] + s["l2_hits"] for s in stats.values())
    stats["hit_ratio"] = hits / requests if requests else 0.0
    stats["health"] = core.stats()
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
