"""The performance of this process's caches as one JSON-ready dict, since their start and lately.

    from routecache_exporters import performance_metrics
    performance_metrics()["caches"][0]["latency_seconds"]["l2_hit"]["p99"]

`/stats.json` answers the same. Nothing is counted here: all of it is derived from one snapshot,
and what happened lately from the difference to an earlier one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from routecache import registry
from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, EndpointSnapshot
from routecache.typing import (
    L1_MISS_REASONS,
    MISS_REASONS,
    OUTCOMES,
    REFRESH_KINDS,
    STALE_REASONS,
)
from routecache_exporters import catalog, problems
from routecache_exporters.multiprocess import WorkersSnapshot
from routecache_exporters.performance_shapes import (
    SCHEMA,
    CacheMetrics,
    EndpointMetrics,
    Latency,
    Loads,
    Lookups,
    PerformanceMetrics,
    Ratios,
    RecentLookups,
    RecentOperations,
    RecentTotal,
    WorkersMetrics,
)
from routecache_exporters.process import process_metrics
from routecache_exporters.reading import Reading, endpoint_since, read, since, together

_SHORTEST: Final = 0.5  # seconds over which a rate means something
_SAMPLED: Final = "l1_hit"


def performance_metrics(
    snapshot: Callable[[], ProcessSnapshot] = registry.snapshot,
    *,
    earlier: Reading | None = None,
    lately: Reading | None = None,
) -> PerformanceMetrics:
    """Everything that the caches and L2 endpoints of this process count, as plain JSON types.

    snapshot: where the numbers come from; called once.
    earlier: what was read about a minute ago. What happened since is in `recent`, which is null
        without it.
    lately: what was read some seconds ago. A problem that shows in counters only, such as failing
        loads, is one if it happened since; without it none of these is reported.

    Returns the dict that docs/stats-json.md describes. Raises what `snapshot` raises. Safe for
    threads; costs some hundred microseconds with four caches, and the hit path nothing.
    """
    return metrics_of(read(snapshot), earlier=earlier, lately=lately)


def metrics_of(
    now: Reading, *, earlier: Reading | None = None, lately: Reading | None = None
) -> PerformanceMetrics:
    """`performance_metrics` of what was read already."""
    found = problems.find(now, lately)
    if earlier is not None and now.at - earlier.at < _SHORTEST:
        earlier = None
    return {
        "schema": SCHEMA,
        "time": now.time,
        "status": problems.status(found),
        "summary": problems.summary(found, now.snapshot),
        "problems": found,
        "process": process_metrics(now.time),
        "workers": _workers(now.workers),
        "recent": None if earlier is None else _recent_total(now, earlier),
        "caches": [_cache(each, now, earlier) for each in now.snapshot.caches],
        "endpoints": [_endpoint(each, now, earlier) for each in now.snapshot.endpoints],
    }


def _workers(all_: WorkersSnapshot | None) -> WorkersMetrics | None:
    if all_ is None:
        return None
    return {"processes": all_.processes, "since": all_.since, "complete": not all_.problem}


def _cache(each: CacheSnapshot, now: Reading, earlier: Reading | None) -> CacheMetrics:
    # What workers counted together is older than the youngest of them.
    started = each.start_timestamp
    if now.workers is not None:
        started = now.workers.since or now.time
    return {
        **_lookups(each),
        "name": each.name,
        "live": bool(each.policy),
        "started": started,
        "uptime_seconds": max(0.0, now.time - started),
        "policy": each.policy,
        "serializer": each.serializer,
        "l2": each.l2,
        "entries": each.l1_entries,
        "max_entries": each.l1_max_entries,
        "size_bytes": each.l1_size_bytes,
        "ttl_seconds": {"l1": each.l1_ttl, "l2": each.l2_ttl},
        "loads": _loads(each),
        "writes": _all(catalog.TIERS, each.writes),
        "deletes": _all(catalog.TIERS, each.deletes),
        "evictions": _by_tier(each.evictions, catalog.EVICTION_REASONS),
        "removals": _by_tier(each.removals, catalog.REMOVAL_REASONS),
        "size_rejections": sum(n for key, n in each.errors.items() if key[2] == "oversize"),
        "errors": [
            {"tier": tier, "operation": operation, "error": error, "count": n}
            for (tier, operation, error), n in sorted(each.errors.items())
        ],
        "recovery": {
            "pending": each.recovery_pending,
            "deletes": each.recovery_deletes,
            "overflows": each.recovery_overflows,
        },
        "invalidations": {
            "published": each.invalidations_published,
            "received": each.invalidations_received,
            "last": each.last_invalidation,
        },
        "warm_up": {
            "started": each.warm_up_started,
            "completed": each.warm_up_completed or None,
            "entries": each.warm_entries,
        },
        "load_seconds_avoided": each.load_seconds_avoided,
        "overhead_seconds": each.overhead_seconds,
        "recent": None if earlier is None else _recent(each, now, earlier),
    }


def _lookups(each: CacheSnapshot) -> Lookups:
    durations = {_SAMPLED: each.l1_hit_duration, **each.request_duration}
    return {
        "requests": each.requests,
        "hits": {"l1": each.l1_hits, "l2": each.l2_hits},
        "misses": _all(MISS_REASONS, each.misses),
        "l1_misses": _all(L1_MISS_REASONS, each.l1_misses),
        "stale_hits": _all(STALE_REASONS, each.stale_hits),
        "ratios": _ratios(each.requests, each.l1_hits, each.l2_hits),
        "latency_seconds": {
            outcome: _latency(durations.get(outcome), sampled=outcome == _SAMPLED)
            for outcome in dict.fromkeys((_SAMPLED, *OUTCOMES, *durations))
        },
    }


def _loads(each: CacheSnapshot) -> Loads:
    return {
        "calls": each.loads,
        "failures": _all(catalog.LOAD_ERRORS, each.load_failures),
        "in_flight": each.loads_in_flight,
        "coalesced": each.coalesced,
        "duplicate": each.duplicate_loads,
        "refreshes": _all(REFRESH_KINDS, each.refreshes),
        "latency_seconds": _latency(each.load_duration),
    }


def _recent(each: CacheSnapshot, now: Reading, earlier: Reading) -> RecentLookups:
    lookups = _lookups(since(each, earlier.cache(each.name)))
    seconds = now.at - earlier.at
    return {**lookups, "seconds": seconds, "requests_per_second": lookups["requests"] / seconds}


def _recent_total(now: Reading, earlier: Reading) -> RecentTotal:
    parts = [since(each, earlier.cache(each.name)) for each in now.snapshot.caches]
    requests = sum(part.requests for part in parts)
    seconds = now.at - earlier.at
    return {
        "seconds": seconds,
        "requests": requests,
        "requests_per_second": requests / seconds,
        "ratios": _ratios(
            requests, sum(part.l1_hits for part in parts), sum(part.l2_hits for part in parts)
        ),
    }


def _endpoint(each: EndpointSnapshot, now: Reading, earlier: Reading | None) -> EndpointMetrics:
    operations = each.operation_duration
    return {
        "l2": each.alias,
        "circuit": each.circuit,
        "circuits": _all(catalog.CIRCUIT_STATES, each.circuits or {each.circuit: 1}),
        "circuit_transitions": _all(catalog.CIRCUIT_STATES, each.circuit_transitions),
        "circuit_failures": each.circuit_failures,
        "listener": {
            "connected": each.listeners.get("connected", 0),
            "disconnected": each.listeners.get("disconnected", 0),
            "reconnects": each.listener_reconnects,
            "probes": _all(catalog.PROBE_RESULTS, each.invalidation_probes),
            "lag_seconds": _latency(each.invalidation_lag),
        },
        "latency_seconds": {
            operation: _latency(operations.get(operation))
            for operation in dict.fromkeys((*catalog.OPERATIONS, *operations))
        },
        "connections": {
            "in_use": each.connections_in_use,
            "idle": each.connections_idle,
            "max": each.max_connections,
            "wait_seconds": each.connection_wait,
        },
        "recent": None if earlier is None else _recent_operations(each, now, earlier),
    }


def _recent_operations(each: EndpointSnapshot, now: Reading, earlier: Reading) -> RecentOperations:
    histogram = together(endpoint_since(each, earlier.endpoint(each.alias)).values())
    seconds = now.at - earlier.at
    return {
        "seconds": seconds,
        "operations_per_second": histogram.count / seconds,
        "latency_seconds": _latency(histogram),
    }


def _latency(histogram: HistogramSnapshot | None, *, sampled: bool = False) -> Latency:
    count = histogram.count if histogram else 0
    if histogram is None or not count:
        return {"count": 0, "sampled": sampled, "mean": None, "p50": None, "p95": None, "p99": None}
    return {
        "count": count,
        "sampled": sampled,
        "mean": histogram.sum / count,
        "p50": histogram.quantile(0.5),
        "p95": histogram.quantile(0.95),
        "p99": histogram.quantile(0.99),
    }


def _ratios(requests: int, l1_hits: int, l2_hits: int) -> Ratios:
    return {
        "hit": _ratio(l1_hits + l2_hits, requests),
        "l1": _ratio(l1_hits, requests),
        "l2": _ratio(l2_hits, requests - l1_hits),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _all(vocabulary: Iterable[str], counts: Mapping[str, int]) -> dict[str, int]:
    return {key: counts.get(key, 0) for key in dict.fromkeys((*vocabulary, *counts))}


def _by_tier(
    counts: Mapping[tuple[str, ...], int], reasons: Iterable[str]
) -> dict[str, dict[str, int]]:
    # L2's own evictions cannot be counted from here: it is there only if a snapshot holds some.
    tiers = dict.fromkeys(("l1", *(tier for tier, _ in counts)))
    return {
        tier: _all(reasons, {reason: n for (of, reason), n in counts.items() if of == tier})
        for tier in tiers
    }
