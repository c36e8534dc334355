"""A snapshot with its time, and what happened between two of them."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import add, sub

from routecache import registry
from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, EndpointSnapshot
from routecache.typing import Timer
from routecache_exporters.multiprocess import WorkersSnapshot


@dataclass(frozen=True)
class Reading:
    """What `snapshot` held at `at`, seconds of a monotonic clock, and `time`, since the epoch."""

    at: float
    time: float
    snapshot: ProcessSnapshot

    @property
    def workers(self) -> WorkersSnapshot | None:
        """The snapshot, if it is of several workers."""
        return self.snapshot if isinstance(self.snapshot, WorkersSnapshot) else None

    def cache(self, name: str) -> CacheSnapshot | None:
        """The cache called `name`, if it was there."""
        return self._caches.get(name)

    def endpoint(self, alias: str) -> EndpointSnapshot | None:
        """The endpoint called `alias`, if it was there."""
        return next((each for each in self.snapshot.endpoints if each.alias == alias), None)

    @cached_property
    def _caches(self) -> Mapping[str, CacheSnapshot]:
        return {each.name: each for each in self.snapshot.caches}


def read(
    source: Callable[[], ProcessSnapshot] = registry.snapshot,
    timer: Timer = time.monotonic,
    clock: Callable[[], float] = time.time,
) -> Reading:
    """Read `source` now; raises what it raises."""
    return Reading(timer(), clock(), source())


def since(now: CacheSnapshot, before: CacheSnapshot | None) -> CacheSnapshot:
    """`now` with its look-ups, loads and their durations counted from `before` on.

    Without `before` that is all of them: the cache is newer. A counter that fell began anew, and
    what it holds now is what it grew. Everything else stays as it is in `now`.
    """
    if before is None:
        return now
    return replace(
        now,
        l1_hits=_growth(now.l1_hits, before.l1_hits),
        l2_hits=_growth(now.l2_hits, before.l2_hits),
        misses=_growths(now.misses, before.misses),
        l1_misses=_growths(now.l1_misses, before.l1_misses),
        stale_hits=_growths(now.stale_hits, before.stale_hits),
        loads=_growth(now.loads, before.loads),
        load_failures=_growths(now.load_failures, before.load_failures),
        l1_hit_duration=_observed(now.l1_hit_duration, before.l1_hit_duration),
        request_duration=_all_observed(now.request_duration, before.request_duration),
    )


def endpoint_since(
    now: EndpointSnapshot, before: EndpointSnapshot | None
) -> Mapping[str, HistogramSnapshot]:
    """The operations of `now`, by name, that ended after `before`."""
    return _all_observed(now.operation_duration, before.operation_duration if before else {})


def together(histograms: Iterable[HistogramSnapshot]) -> HistogramSnapshot:
    """Histograms of the same buckets as one; without any, one of nothing."""
    total = HistogramSnapshot((), (0,), 0.0)
    for each in histograms:
        if not total.bounds:
            total = each
        elif each.bounds == total.bounds:
            counts = tuple(map(add, total.counts, each.counts))
            total = HistogramSnapshot(total.bounds, counts, total.sum + each.sum)
    return total


def _growth(now: int, before: int) -> int:
    return now - before if now >= before else now


def _growths(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {key: _growth(n, before.get(key, 0)) for key, n in now.items()}


def _all_observed(
    now: Mapping[str, HistogramSnapshot], before: Mapping[str, HistogramSnapshot]
) -> dict[str, HistogramSnapshot]:
    return {key: _observed(each, before.get(key)) for key, each in now.items()}


def _observed(now: HistogramSnapshot, before: HistogramSnapshot | None) -> HistogramSnapshot:
    if before is None or before.bounds != now.bounds:
        return now
    counts = tuple(map(sub, now.counts, before.counts))
    if min(counts) < 0:
        return now
    return HistogramSnapshot(now.bounds, counts, now.sum - before.sum)
