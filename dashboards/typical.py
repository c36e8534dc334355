"""A typical router as snapshots show it, from which what a metric costs in series is counted.

Four caches, of which one has no L2, over one endpoint that is listened to, under the default
policy. When idle nothing has happened yet. When working, the caches were warmed, values are loaded
and stored, keys deleted, tags invalidated, and two providers' health was reported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import (
    L2_BOUNDS,
    LOAD_BOUNDS,
    REQUEST_BOUNDS,
    SIZE_BOUNDS,
    CacheSnapshot,
    CacheStats,
    EndpointSnapshot,
)
from routecache_exporters import RoutecacheCollector
from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import Metric

WITH_L2: Final = ("provider", "model", "fallback")
OPERATIONS: Final = ("get", "set", "delete", "tags")


def idle() -> ProcessSnapshot:
    """The router before its first request."""
    caches = [_cache(name, l2="redis", l2_ttl=300.0) for name in WITH_L2]
    caches = [replace(cache, stale_reasons=frozenset({"blind"})) for cache in caches]
    return ProcessSnapshot((*caches, _cache("tool")), (_endpoint({}),))


def working() -> ProcessSnapshot:
    """The router after a while."""
    filled: dict[str, Any] = {
        "loads": 1,
        "load_duration": _once(LOAD_BOUNDS),
        "request_duration": {"l2_hit": _once(REQUEST_BOUNDS), "load": _once(REQUEST_BOUNDS)},
        "value_size": _once(SIZE_BOUNDS),
        "whatif_misses": {"0.25": 1},
        "warm_up_started": 1.0,
    }
    *caches, tool = (replace(cache, **filled) for cache in idle().caches)
    tool = replace(tool, request_duration={"load": _once(REQUEST_BOUNDS)})
    operations = {operation: _once(L2_BOUNDS) for operation in OPERATIONS}
    health = {"anthropic": True, "openai": True}
    return ProcessSnapshot((*caches, tool), (_endpoint(operations),), health)


def series(snapshot: ProcessSnapshot) -> Mapping[Metric, int]:
    """How many series each metric of the catalogue has on the page of `snapshot`."""
    families = RoutecacheCollector(lambda: snapshot).collect()
    counts: Iterator[int] = (len(family.samples) for family in families)
    return dict(zip(METRICS, counts, strict=True))


def _cache(name: str, **changes: Any) -> CacheSnapshot:
    return replace(
        CacheStats(name).snapshot(),
        l1_max_entries=100,
        l1_ttl=300.0,
        policy="sieve",
        serializer="json",
        **changes,
    )


def _endpoint(operations: Mapping[str, HistogramSnapshot]) -> EndpointSnapshot:
    return EndpointSnapshot("redis", "closed", operations, 1, 2, 50, 0.0)


def _once(bounds: tuple[float, ...]) -> HistogramSnapshot:
    return HistogramSnapshot(bounds, (1, *(0,) * len(bounds)), 1e-5)
