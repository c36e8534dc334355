"""Status pages of numbers that do not move, for tests of what a browser makes of them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry

from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import L1_HIT_BOUNDS, L2_BOUNDS, LAG_BOUNDS, REQUEST_BOUNDS
from routecache_exporters.multiprocess import WorkersSnapshot
from routecache_exporters.performance_metrics import metrics_of
from routecache_exporters.performance_shapes import PerformanceMetrics
from routecache_exporters.reading import Reading
from routecache_exporters.web.core import Site
from routecache_exporters.web.listen import tcp_address
from routecache_exporters.web.server import serve
from tests import snapshots
from tests.browser import Page

_START: Final = 1_800_000_000.0


class FixedSite(Site):
    """A site that answers with `metrics` once `answering` is set, and fails while that is None."""

    def __init__(self, metrics: PerformanceMetrics) -> None:
        super().__init__(CollectorRegistry(), snapshot=snapshots.source())
        self.answering = threading.Event()
        self.answering.set()
        self.metrics: PerformanceMetrics | None = metrics

    def _metrics_now(self) -> PerformanceMetrics:
        self.answering.wait()
        if self.metrics is None:
            raise RuntimeError
        return deepcopy(self.metrics)


def _observed(bounds: tuple[float, ...], first: int) -> HistogramSnapshot:
    counts = tuple((first * (i + 3)) % 97 for i in range(len(bounds) + 1))
    return HistogramSnapshot(bounds, counts, first * 0.001)


def quiet() -> PerformanceMetrics:
    """A process that has just begun, with nothing to compare."""
    tool = snapshots.cache("tool", None, start_timestamp=_START)
    return metrics_of(Reading(60.0, _START + 60.0, ProcessSnapshot((tool,), ())))


def empty() -> PerformanceMetrics:
    """A process without a cache."""
    return metrics_of(Reading(60.0, _START + 60.0, ProcessSnapshot((), ())))


def troubled() -> PerformanceMetrics:
    """A router whose L2 is out, with numbers of every size in every cell."""
    provider = snapshots.cache(
        start_timestamp=_START,
        l1_hits=1_234_567,
        l2_hits=4_321,
        misses={"cold": 12, "l2_unavailable": 5_678, "evicted": 12},
        l1_misses={"cold": 10_023},
        errors={("l2", "get", "timeout"): 5_678, ("l1", "set", "oversize"): 3},
        evictions={("l1", "size"): 400, ("l1", "expired"): 7},
        removals={("l1", "health"): 2},
        loads=5_702,
        load_failures={"error": 2},
        coalesced=17,
        stale_hits={"blind": 4},
        l1_hit_duration=_observed(L1_HIT_BOUNDS, 11),
        request_duration={
            "l2_hit": _observed(REQUEST_BOUNDS, 5),
            "load": _observed(REQUEST_BOUNDS, 7),
        },
        l1_entries=33,
        l1_size_bytes=45_678,
        last_invalidation=_START + 86_000.0,
    )
    tool = snapshots.cache("tool", None, start_timestamp=_START, l1_hits=3, l1_entries=1)
    redis = snapshots.endpoint(
        circuit="open",
        circuit_transitions={"open": 7},
        listeners={"disconnected": 1},
        listener_reconnects=3,
        invalidation_probes={"ok": 99, "lost": 1},
        invalidation_lag=_observed(LAG_BOUNDS, 3),
        operation_duration={"get": _observed(L2_BOUNDS, 9), "set": _observed(L2_BOUNDS, 2)},
    )
    cluster = snapshots.endpoint(
        "redis-2",
        circuits={"closed": 2, "half_open": 1},
        listeners={"connected": 2, "disconnected": 1},
        connections_in_use=50,
    )
    now = Reading(90_061.0, _START + 90_061.0, ProcessSnapshot((provider, tool), (redis, cluster)))
    before = replace(
        provider, l1_hits=1_200_000, l2_hits=4_300, misses={"cold": 2}, request_duration={}
    )
    earlier = Reading(90_000.0, _START + 90_000.0, ProcessSnapshot((before, tool), ()))
    metrics = metrics_of(now, earlier=earlier, lately=earlier)
    metrics["process"]["uptime_seconds"] = 90_061.5
    return metrics


def several() -> PerformanceMetrics:
    """Four workers together, of which one has not found the way back to L2 yet."""
    cache = snapshots.cache(l1_hits=5, start_timestamp=_START + 50.0)
    redis = snapshots.endpoint(
        circuits={"closed": 3, "open": 1}, listeners={"connected": 4}, circuit_transitions={}
    )
    all_ = WorkersSnapshot((cache,), (redis,), processes=4, since=_START, problem="x in 1 files")
    return metrics_of(Reading(60.0, _START + 60.0, all_))


LOOKS: Final[tuple[Callable[[], PerformanceMetrics], ...]] = (quiet, empty, troubled, several)
"""What a page may have to show."""


@contextmanager
def serving(site: Site, page: Page) -> Iterator[str]:
    """The address of `site` on a free port; `page` leaves it before it closes, or else its next
    request would fail and be complained of."""
    with serve(site, [tcp_address("127.0.0.1", 0)], timeout=10.0) as server:
        try:
            yield server.url + "/"
        finally:
            page.leave()


def fixed_site(metrics: PerformanceMetrics) -> FixedSite:
    """A site of these numbers, which a test may exchange."""
    return FixedSite(metrics)
