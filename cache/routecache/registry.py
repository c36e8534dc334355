"""Which caches and endpoints live in this process: what exporters enumerate."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from routecache.stats import CacheSnapshot, EndpointSnapshot, all_stats


class Observable(Protocol):
    """A live manager, as far as a snapshot needs it."""

    @property
    def name(self) -> str:
        """The cache name under which it counts."""
        ...

    def describe(self, snapshot: CacheSnapshot) -> CacheSnapshot:
        """`snapshot` with this manager's gauges added to it."""
        ...


class Warmed(Protocol):
    """A manager's last warm-up: when one started and last completed, and what it warmed."""

    @property
    def started(self) -> float | None:
        """Seconds since the epoch; None before the first."""
        ...

    @property
    def completed(self) -> float | None:
        """Seconds since the epoch; None if none ever completed."""
        ...

    @property
    def entries(self) -> int:
        """Entries that it warmed."""
        ...


class KnowsHealth(Protocol):
    """A router's caches, as far as the health of its providers is concerned."""

    def provider_health(self) -> Mapping[str, bool]:
        """Whether each provider that was reported was last reported healthy."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """All caches and L2 endpoints of this process at one moment.

    `providers` tells of every provider whose health was reported whether it is healthy. `broken`
    are the caches that are left out because a manager could not tell its state, with the type of
    its error: half a cache would be a wrong sum.
    """

    caches: tuple[CacheSnapshot, ...]
    endpoints: tuple[EndpointSnapshot, ...]
    providers: Mapping[str, bool] = field(default_factory=dict[str, bool])
    broken: Mapping[str, str] = field(default_factory=dict[str, str])


_managers: "weakref.WeakValueDictionary[int, Observable]" = weakref.WeakValueDictionary()
_routers: "weakref.WeakValueDictionary[int, KnowsHealth]" = weakref.WeakValueDictionary()
_endpoint_sources: list[Callable[[], Iterable[EndpointSnapshot]]] = []


def register(manager: Observable) -> None:
    """List `manager` for as long as it lives and is not unregistered."""
    _managers[id(manager)] = manager


def unregister(manager: Observable) -> None:
    """Take a closed manager off the list; its counters stay."""
    _managers.pop(id(manager), None)


def register_health(router: KnowsHealth) -> None:
    """Ask `router` for the health of its providers for as long as it lives."""
    _routers[id(router)] = router


def unregister_health(router: KnowsHealth) -> None:
    """Ask a closed router no more."""
    _routers.pop(id(router), None)


def register_endpoints(source: Callable[[], Iterable[EndpointSnapshot]]) -> None:
    """Add a source of endpoint snapshots, read at every `snapshot()`."""
    if source not in _endpoint_sources:
        _endpoint_sources.append(source)


def caches() -> tuple[Observable, ...]:
    """The live managers, weakly held, by name."""
    # valuerefs() copies the references in one step, so that a manager made meanwhile in another
    # thread cannot break the iteration.
    alive = [manager for ref in _managers.valuerefs() if (manager := ref()) is not None]
    return tuple(sorted(alive, key=lambda manager: manager.name))


def snapshot() -> ProcessSnapshot:
    """Read every counter and gauge of this process; safe in any thread, never blocks a look-up.

    A manager that raises costs its own cache and no other.

    Counters belong to the cache name and outlive its managers; the gauges of live managers of
    one name add up.
    """
    found = {stats.name: stats.snapshot() for stats in all_stats()}
    broken: dict[str, str] = {}
    for manager in caches():
        if manager.name in found:  # else it was made a moment ago
            try:
                found[manager.name] = manager.describe(found[manager.name])
            except Exception as error:  # noqa: BLE001  # a serializer of the program's own, say
                broken[manager.name] = type(error).__name__
    for name in broken:
        del found[name]
    endpoints = tuple(e for source in _endpoint_sources for e in source())
    providers: dict[str, bool] = {}
    for ref in _routers.valuerefs():
        if (router := ref()) is not None:
            for provider, healthy in router.provider_health().items():
                providers[provider] = healthy and providers.get(provider, True)
    return ProcessSnapshot(tuple(found.values()), endpoints, providers, broken)


def add_gauges(
    snapshot: CacheSnapshot,
    *,
    l1_entries: int,
    l1_max_entries: int,
    l1_size_bytes: int,
    loads_in_flight: int,
    recovery_pending: int,
    l1_ttl: float,
    l2_ttl: float | None,
    policy: str,
    serializer: str,
    l2: str | None,
    stale_reasons: Iterable[str],
    refresh_kinds: Iterable[str],
    last_invalidation: float | None,
    warm_up: "Warmed",
) -> CacheSnapshot:
    """`snapshot` with one manager's gauges added: sizes sum, TTLs take the larger."""
    completed = warm_up.completed
    if warm_up.started is not None and completed is None:
        completed = 0.0  # one that never completed is older than any that did
    return replace(
        snapshot,
        l1_entries=snapshot.l1_entries + l1_entries,
        l1_max_entries=snapshot.l1_max_entries + l1_max_entries,
        l1_size_bytes=snapshot.l1_size_bytes + l1_size_bytes,
        loads_in_flight=snapshot.loads_in_flight + loads_in_flight,
        recovery_pending=snapshot.recovery_pending + recovery_pending,
        l1_ttl=max(snapshot.l1_ttl, l1_ttl),
        l2_ttl=_known(max, snapshot.l2_ttl, l2_ttl),
        policy=policy,
        serializer=serializer,
        l2=l2 or snapshot.l2,
        stale_reasons=snapshot.stale_reasons.union(stale_reasons),
        refresh_kinds=snapshot.refresh_kinds.union(refresh_kinds),
        last_invalidation=_known(max, snapshot.last_invalidation, last_invalidation),
        warm_entries=snapshot.warm_entries + warm_up.entries,
        warm_up_started=_known(max, snapshot.warm_up_started, warm_up.started),
        warm_up_completed=_known(min, snapshot.warm_up_completed, completed),
    )


def _known(
    choose: Callable[[float, float], float], one: float | None, other: float | None
) -> float | None:
    return other if one is None else one if other is None else choose(one, other)
