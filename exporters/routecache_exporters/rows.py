"""From a snapshot to catalogue rows: which label sets exist, and their values.

Pure functions that know no exporter. A counter is there with 0 before its first event, because
`increase()` cannot see the event that creates a series; but only where the event can happen at
all (`errors_total` initialised blindly would be 156 series per cache). What is reachable follows
from the configuration: a cache without L2 has no series of tier l2 and cannot miss because L2 is
unavailable. Whatever a snapshot holds beyond that is exported as it comes.

Histograms start at 0 only where a working cache must use them. Each costs 8 to 16 series, and
they feed quantiles and ratios whose two sides are born together, so a late birth costs nothing
but one scrape interval; the counters beside them are never late. Not initialised are therefore
what depends on how a program uses the cache: loads, sizes of stored values, look-ups without a
loader that miss, and the rarer L2 operations.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import TypeAlias

from routecache.cells import HistogramSnapshot
from routecache.stats import CacheSnapshot, EndpointSnapshot, empty
from routecache.typing import L1_MISS_REASONS, MISS_REASONS
from routecache_exporters import catalog
from routecache_exporters.metric import Metric

Value: TypeAlias = float | HistogramSnapshot
Row: TypeAlias = tuple[Metric, tuple[str, ...], Value]
"""A metric, the values of its labels in the catalogue's order, and the number."""

# Failures whose first event must be seen: values that a tier refuses, payloads that cannot be read,
# the start of an outage (connection, timeout, pool) and a full Redis (oom). The other kinds and
# operations come in numbers or not at all, and are born on demand.
_L1_ERRORS = tuple(product(("l1",), ("set",), ("encode", "oversize")))
_L2_ERRORS = (
    *product(("l2",), ("get", "set", "delete"), ("connection", "timeout", "pool")),
    ("l2", "get", "decode"),
    ("l2", "set", "oom"),
)
# What leaves L2 by itself or by a scan cannot be counted from here, so these are L1's. `health`
# needs somebody who reports a provider's health, and is born with the first report.
_EVICTIONS = tuple(product(("l1",), catalog.EVICTION_REASONS))
_REMOVALS = tuple(product(("l1",), ("invalidated", "cleared")))
_L2_OPERATIONS = ("get", "set")


def cache_rows(snapshot: CacheSnapshot, name: str) -> Iterator[Row]:
    """All rows of one cache, with `name` as the value of its `cache` label."""
    has_l2 = snapshot.l2 is not None
    tiers = catalog.TIERS if has_l2 else ("l1",)
    reasons = MISS_REASONS if has_l2 else L1_MISS_REASONS
    errors = (*_L1_ERRORS, *_L2_ERRORS) if has_l2 else _L1_ERRORS

    yield catalog.REQUESTS, (name,), snapshot.requests
    yield catalog.HITS, (name, "l1"), snapshot.l1_hits
    if has_l2 or snapshot.l2_hits:
        yield catalog.HITS, (name, "l2"), snapshot.l2_hits
    yield from _by_one(
        catalog.STALE_HITS, name, snapshot.stale_hits, sorted(snapshot.stale_reasons)
    )
    yield from _by_one(catalog.MISSES, name, snapshot.misses, reasons)
    yield from _by_one(catalog.L1_MISSES, name, snapshot.l1_misses, L1_MISS_REASONS)
    yield from _by_many(catalog.ERRORS, name, snapshot.errors, errors)
    yield catalog.L1_HIT_DURATION, (name,), snapshot.l1_hit_duration
    yield from _latencies(
        catalog.REQUEST_DURATION, name, snapshot.request_duration, ("l2_hit",) if has_l2 else ()
    )

    yield catalog.LOADS, (name,), snapshot.loads
    yield from _by_one(catalog.LOAD_FAILURES, name, snapshot.load_failures, catalog.LOAD_ERRORS)
    yield catalog.COALESCED, (name,), snapshot.coalesced
    yield from _by_one(catalog.REFRESHES, name, snapshot.refreshes, sorted(snapshot.refresh_kinds))
    yield catalog.LOAD_SECONDS_AVOIDED, (name,), snapshot.load_seconds_avoided
    yield catalog.OVERHEAD, (name,), snapshot.overhead_seconds
    # Born together, since a scale is read against the others and over long windows.
    scales = catalog.SCALES if snapshot.whatif_misses else ()
    yield from _by_one(catalog.WHATIF_MISSES, name, snapshot.whatif_misses, scales)
    if snapshot.loads or snapshot.load_duration.count:
        yield catalog.LOAD_DURATION, (name,), snapshot.load_duration

    yield from _by_one(catalog.WRITES, name, snapshot.writes, tiers)
    yield from _by_one(catalog.DELETES, name, snapshot.deletes, tiers)
    yield from _by_many(catalog.EVICTIONS, name, snapshot.evictions, _EVICTIONS)
    yield from _by_many(catalog.REMOVALS, name, snapshot.removals, _REMOVALS)
    if snapshot.value_size.count:
        yield catalog.VALUE_SIZE, (name,), snapshot.value_size

    for metric, n in (
        (catalog.DUPLICATE_LOADS, snapshot.duplicate_loads),
        (catalog.INVALIDATIONS_PUBLISHED, snapshot.invalidations_published),
        (catalog.INVALIDATIONS_RECEIVED, snapshot.invalidations_received),
        (catalog.RECOVERY_DELETES, snapshot.recovery_deletes),
        (catalog.RECOVERY_OVERFLOWS, snapshot.recovery_overflows),
    ):
        if has_l2 or n:
            yield metric, (name,), n

    if snapshot.start_timestamp:  # some living process counts for it
        yield catalog.START_TIMESTAMP, (name,), snapshot.start_timestamp
    if snapshot.warm_up_started is not None:
        yield catalog.WARMUP_ENTRIES, (name,), snapshot.warm_entries
        yield catalog.WARMUP_STARTED, (name,), snapshot.warm_up_started
        yield catalog.WARMUP_COMPLETED, (name,), snapshot.warm_up_completed or 0.0
    if snapshot.policy:  # a manager lives: without one there is no size, TTL or configuration
        yield from _gauges(snapshot, name)


def _gauges(snapshot: CacheSnapshot, name: str) -> Iterator[Row]:
    yield catalog.ENTRIES, (name, "l1"), snapshot.l1_entries
    yield catalog.MAX_ENTRIES, (name, "l1"), snapshot.l1_max_entries
    yield catalog.L1_SIZE, (name,), snapshot.l1_size_bytes
    yield catalog.LOADS_IN_FLIGHT, (name,), snapshot.loads_in_flight
    if snapshot.l2 is not None:
        yield catalog.RECOVERY_PENDING, (name,), snapshot.recovery_pending
    yield catalog.TTL, (name, "l1"), snapshot.l1_ttl
    if snapshot.l2_ttl is not None:
        yield catalog.TTL, (name, "l2"), snapshot.l2_ttl
    yield catalog.CONFIG_INFO, (name, snapshot.policy, snapshot.serializer), 1


def endpoint_rows(snapshot: EndpointSnapshot, alias: str) -> Iterator[Row]:
    """All rows of one L2 endpoint, with `alias` as the value of its `l2` label."""
    yield from _by_one(
        catalog.L2_CIRCUIT_TRANSITIONS, alias, snapshot.circuit_transitions, catalog.CIRCUIT_STATES
    )
    yield catalog.L2_CIRCUIT_FAILURES, (alias,), snapshot.circuit_failures
    yield catalog.L2_CONNECTION_WAIT, (alias,), snapshot.connection_wait
    yield from _latencies(
        catalog.L2_OPERATION_DURATION, alias, snapshot.operation_duration, _L2_OPERATIONS
    )
    yield catalog.LISTENER_RECONNECTS, (alias,), snapshot.listener_reconnects
    yield from _by_one(
        catalog.INVALIDATION_PROBES, alias, snapshot.invalidation_probes, catalog.PROBE_RESULTS
    )
    yield catalog.INVALIDATION_LAG, (alias,), snapshot.invalidation_lag
    if snapshot.circuit:  # some living process uses it
        yield from _endpoint_gauges(snapshot, alias)


def _endpoint_gauges(snapshot: EndpointSnapshot, alias: str) -> Iterator[Row]:
    circuits = snapshot.circuits or {snapshot.circuit: 1}
    yield from _by_one(catalog.L2_CIRCUITS, alias, circuits, catalog.CIRCUIT_STATES)
    yield catalog.L2_CONNECTIONS, (alias, "in_use"), snapshot.connections_in_use
    yield catalog.L2_CONNECTIONS, (alias, "idle"), snapshot.connections_idle
    yield catalog.L2_MAX_CONNECTIONS, (alias,), snapshot.max_connections
    yield from _by_one(catalog.LISTENERS, alias, snapshot.listeners, catalog.LISTENER_STATES)


def provider_rows(providers: Mapping[str, bool]) -> Iterator[Row]:
    """A row for each provider of whose health this process was told."""
    for provider, healthy in providers.items():
        yield catalog.PROVIDER_HEALTHY, (provider,), int(healthy)


def _by_one(
    metric: Metric, owner: str, counts: Mapping[str, int], initial: Iterable[str]
) -> Iterator[Row]:
    for value in dict.fromkeys((*initial, *counts)):
        yield metric, (owner, value), counts.get(value, 0)


def _by_many(
    metric: Metric,
    owner: str,
    counts: Mapping[tuple[str, ...], int],
    initial: Iterable[tuple[str, ...]],
) -> Iterator[Row]:
    for values in dict.fromkeys((*initial, *counts)):
        yield metric, (owner, *values), counts.get(values, 0)


def _latencies(
    metric: Metric,
    owner: str,
    histograms: Mapping[str, HistogramSnapshot],
    initial: Iterable[str],
) -> Iterator[Row]:
    nothing = empty(metric.buckets or ())
    for value in dict.fromkeys((*initial, *histograms)):
        yield metric, (owner, value), histograms.get(value, nothing)
