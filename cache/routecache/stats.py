"""What is counted for a cache and for an L2 endpoint, and the frozen snapshots that leave here.

Nothing in this package knows an exporter: counters flow out through `CacheStats.snapshot()` and
`EndpointStats.snapshot()` only. One field is the source of each number and the rest is derived
from the same snapshot, so that the books balance in every snapshot by construction:

    requests = l1_hits + l2_hits + sum(misses)        l1_misses = requests - l1_hits
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from routecache import forking, multiprocess
from routecache.cells import Cell, Cells, CounterKey, HistogramSnapshot
from routecache.exemplars import exemplar_of

# Upper bounds in seconds; each SLO threshold is one of them.
L1_HIT_BOUNDS = (1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 1e-5, 1e-4, 1e-3)
REQUEST_BOUNDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0)
L2_BOUNDS = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.5)
LOAD_BOUNDS = (1e-3, 5e-3, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# The longest is just below the ten seconds after which a heartbeat is lost.
LAG_BOUNDS = (1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 2.5, 9.5)
# Bytes.
SIZE_BOUNDS = (256.0, 1024.0, 4096.0, 65536.0, 1048576.0)


def empty(bounds: tuple[float, ...]) -> HistogramSnapshot:
    """A histogram without observations."""
    return HistogramSnapshot(bounds, (0,) * (len(bounds) + 1), 0.0)


def _group(counts: Mapping[CounterKey, int], family: str) -> dict[CounterKey, int]:
    return {key[1:]: n for key, n in counts.items() if key[0] == family}


def _single(counts: Mapping[CounterKey, int], family: str) -> Mapping[str, int]:
    return MappingProxyType({key[0]: n for key, n in _group(counts, family).items()})


@dataclass(frozen=True, slots=True)
class CacheSnapshot:
    """All counters of one cache name, read at one moment; the gauges sum over its live managers.

    Keys of the mappings are label values in the order of METRICS: `misses` and `l1_misses` by
    reason, `errors` by (tier, operation, error), `evictions` and `removals` by (tier, reason),
    `writes` and `deletes` by tier, `load_failures` by error, `request_duration` by outcome.
    Durations are seconds, sizes bytes. What was never counted is absent.

    `invalidations_published` are keys written or deleted and tags invalidated whose change L2 has
    taken, which tells every listener of it; `invalidations_received` what this process was told,
    its own changes included. What `load_seconds_avoided` and `overhead_seconds` hold is defined
    in books.py. `stale_reasons` and `refresh_kinds` are those that the policies of live managers
    allow. `whatif_misses` are those predicted for L1, by scale; see sizing.py.
    `last_invalidation` is when one was last made or heard, in seconds since the epoch.
    `warm_up_started` is when the last warm-up began, and `warm_up_completed` when one last
    completed in the manager where that is longest ago, 0 if it never has; None before the first.
    `warm_entries` are what the last ones have warmed.
    """

    name: str
    start_timestamp: float
    l1_hits: int
    l2_hits: int
    misses: Mapping[str, int]
    l1_misses: Mapping[str, int]
    errors: Mapping[tuple[str, ...], int]
    writes: Mapping[str, int]
    deletes: Mapping[str, int]
    evictions: Mapping[tuple[str, ...], int]
    removals: Mapping[tuple[str, ...], int]
    sets: int
    loads: int
    load_failures: Mapping[str, int]
    coalesced: int
    stale_hits: Mapping[str, int]
    refreshes: Mapping[str, int]
    duplicate_loads: int
    recovery_deletes: int
    recovery_overflows: int
    invalidations_published: int
    invalidations_received: int
    whatif_misses: Mapping[str, int]
    load_seconds_avoided: float
    overhead_seconds: float
    l1_hit_duration: HistogramSnapshot
    request_duration: Mapping[str, HistogramSnapshot]
    load_duration: HistogramSnapshot
    value_size: HistogramSnapshot
    l1_entries: int = 0
    l1_max_entries: int = 0
    l1_size_bytes: int = 0
    loads_in_flight: int = 0
    recovery_pending: int = 0
    l1_ttl: float = 0.0
    l2_ttl: float | None = None
    policy: str = ""
    serializer: str = ""
    l2: str | None = None
    stale_reasons: frozenset[str] = frozenset()
    refresh_kinds: frozenset[str] = frozenset()
    last_invalidation: float | None = None
    warm_entries: int = 0
    warm_up_started: float | None = None
    warm_up_completed: float | None = None

    @property
    def requests(self) -> int:
        """Look-ups asked; a batch of n counts n."""
        return self.l1_hits + self.l2_hits + sum(self.misses.values())


class CacheStats:
    """The counters of one cache name. They outlive the managers and the threads that count.

    `cells` holds them; None makes new ones, in the process's file if there is one.

    Safe for threads; a forked child starts at zero.
    """

    def __init__(self, name: str, cells: Cells | None = None) -> None:
        self.name = name
        self.start_timestamp = time.time()
        self.cells = cells or Cells(multiprocess.cell_maker("cache", name))
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Start anew in a forked child; the cells reset themselves."""
        self.start_timestamp = time.time()

    def snapshot(self) -> CacheSnapshot:
        """Sum over all threads; the gauges are left at their defaults."""
        total = self.cells.total()
        l1_hit_duration = _histogram(total, L1_HIT_BOUNDS, "l1_hit")
        return CacheSnapshot(
            name=self.name,
            start_timestamp=self.start_timestamp,
            l1_hits=total.l1_hits,
            l2_hits=total.counts.get(("l2_hits",), 0),
            misses=_single(total.counts, "misses"),
            l1_misses=_single(total.counts, "l1_misses"),
            errors=MappingProxyType(_group(total.counts, "errors")),
            writes=_single(total.counts, "writes"),
            deletes=_single(total.counts, "deletes"),
            evictions=MappingProxyType(_group(total.counts, "evictions")),
            removals=MappingProxyType(_group(total.counts, "removals")),
            sets=total.counts.get(("sets",), 0),
            loads=total.counts.get(("loads",), 0),
            load_failures=_single(total.counts, "load_failures"),
            coalesced=total.counts.get(("coalesced",), 0),
            stale_hits=_single(total.counts, "stale_hits"),
            refreshes=_single(total.counts, "refreshes"),
            duplicate_loads=total.counts.get(("duplicate_loads",), 0),
            recovery_deletes=total.counts.get(("recovery_deletes",), 0),
            recovery_overflows=total.counts.get(("recovery_overflows",), 0),
            invalidations_published=total.counts.get(("invalidations_published",), 0),
            invalidations_received=total.counts.get(("invalidations_received",), 0),
            whatif_misses=_single(total.counts, "whatif_misses"),
            load_seconds_avoided=_histogram(total, (), "avoided").sum,
            overhead_seconds=_histogram(total, (), "overhead").sum + l1_hit_duration.sum,
            l1_hit_duration=l1_hit_duration,
            request_duration=_histograms(total, "request"),
            load_duration=_histogram(total, LOAD_BOUNDS, "load"),
            value_size=_histogram(total, SIZE_BOUNDS, "value_size"),
        )


@dataclass(frozen=True, slots=True)
class EndpointSnapshot:
    """The state of one L2 endpoint of this process, known by a bounded alias, never by its host.

    `circuit` is closed, open or half_open; a cluster has one for each primary, and then `circuits`
    counts them by state and `circuit` is the best of them. `circuit_transitions` counts the times
    that one entered a state, `circuit_failures` the calls that counted against one.
    `operation_duration` is by operation, in seconds, failed attempts included; `connection_wait`
    is the total seconds that calls waited for a connection.

    Of the listener: `listeners` counts primaries by state, connected or disconnected, and is empty
    while nobody listens; `invalidation_probes` its heartbeats by result, ok or lost, and
    `invalidation_lag` is how many seconds those that were heard took.
    """

    alias: str
    circuit: str
    operation_duration: Mapping[str, HistogramSnapshot]
    connections_in_use: int
    connections_idle: int
    max_connections: int
    connection_wait: float
    circuits: Mapping[str, int] = field(default_factory=dict[str, int])
    circuit_transitions: Mapping[str, int] = field(default_factory=dict[str, int])
    circuit_failures: int = 0
    listeners: Mapping[str, int] = field(default_factory=dict[str, int])
    listener_reconnects: int = 0
    invalidation_probes: Mapping[str, int] = field(default_factory=dict[str, int])
    invalidation_lag: HistogramSnapshot = field(default_factory=lambda: empty(LAG_BOUNDS))


class EndpointStats:
    """What one L2 endpoint's operations took and its circuits did, over all managers of it.

    `cells` holds the counters; `of` makes those of an alias, in the process's file if there is one.
    """

    def __init__(self, cells: Cells | None = None) -> None:
        self.cells = cells or Cells()

    @classmethod
    def of(cls, alias: str) -> Self:
        """The counters of the endpoint called `alias`."""
        return cls(Cells(multiprocess.cell_maker("l2", alias)))

    def observe(self, operation: str, seconds: float) -> None:
        """Record one attempt of `operation`, failed or not."""
        exemplar = exemplar_of(seconds)
        cell = self.cells.local.cell
        with cell.lock:
            cell.observe(L2_BOUNDS, seconds, "l2", operation, exemplar=exemplar)

    def waited(self, seconds: float) -> None:
        """Record that a call waited `seconds` for a connection."""
        with self.cells.recording() as cell:
            cell.observe((), seconds, "wait")

    def circuit_failed(self) -> None:
        """Record that a call counted against a circuit."""
        with self.cells.recording() as cell:
            cell.add("failures")

    def circuit_entered(self, state: str) -> None:
        """Record that a circuit entered `state`."""
        with self.cells.recording() as cell:
            cell.add("transitions", state)

    def snapshot(self, alias: str, circuit: str = "") -> EndpointSnapshot:
        """All counters, over all threads, of the endpoint called `alias`.

        The gauges are left at their defaults, and there are no connections.
        """
        total = self.cells.total()
        return EndpointSnapshot(
            alias=alias,
            circuit=circuit,
            operation_duration=_histograms(total, "l2"),
            connections_in_use=0,
            connections_idle=0,
            max_connections=0,
            connection_wait=_histogram(total, (), "wait").sum,
            circuit_transitions=_single(total.counts, "transitions"),
            circuit_failures=total.counts.get(("failures",), 0),
        )

    def operation_duration(self) -> Mapping[str, HistogramSnapshot]:
        """Latency by operation, over all threads."""
        return _histograms(self.cells.total(), "l2")

    def connection_wait(self) -> float:
        """Total seconds that calls waited for a connection."""
        return _histogram(self.cells.total(), (), "wait").sum


def _histogram(total: Cell, bounds: tuple[float, ...], *key: str) -> HistogramSnapshot:
    histogram = total.histograms.get(key)
    return empty(bounds) if histogram is None else histogram.freeze()


def _histograms(total: Cell, family: str) -> Mapping[str, HistogramSnapshot]:
    return MappingProxyType(
        {key[1]: h.freeze() for key, h in total.histograms.items() if key[0] == family}
    )


_stats: dict[str, CacheStats] = {}


def stats_for(name: str) -> CacheStats:
    """The process-wide counters of the cache called `name`, made on first use."""
    return _stats.get(name) or _stats.setdefault(name, CacheStats(name))


def all_stats() -> tuple[CacheStats, ...]:
    """The counters of every cache name that this process ever used, in order of first use."""
    return tuple(_stats.values())
