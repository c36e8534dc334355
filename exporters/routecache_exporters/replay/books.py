"""What happened between two snapshots of one cache: counters and latencies of a replay alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class CacheBooks:
    """The books of one cache over a span. Durations are in seconds.

    `latency` is by outcome: `l1_hit` (sampled) and the outcomes of look-ups that left L1.
    """

    name: str
    l1_hits: int
    l2_hits: int
    misses: Mapping[str, int]
    latency: Mapping[str, HistogramSnapshot]
    load_duration: HistogramSnapshot
    entries: int

    @property
    def requests(self) -> int:
        """Look-ups asked."""
        return self.l1_hits + self.l2_hits + sum(self.misses.values())

    @property
    def hits(self) -> int:
        """Look-ups that either tier answered."""
        return self.l1_hits + self.l2_hits

    @property
    def hit_ratio(self) -> float | None:
        """Hits per look-up, or None without look-ups."""
        return self.hits / self.requests if self.requests else None


def between(before: ProcessSnapshot, after: ProcessSnapshot, name: str) -> CacheBooks:
    """The books of the cache called `name` from `before` to `after`."""
    new, old = _find(after, name), _find(before, name)
    if new is None:
        nothing = HistogramSnapshot((), (0,), 0.0)
        return CacheBooks(name, 0, 0, {}, {}, nothing, 0)
    latency = dict(new.request_duration)
    if old is not None:
        latency = {
            outcome: _histogram(old.request_duration.get(outcome), histogram)
            for outcome, histogram in latency.items()
        }
    l1_hit = _histogram(old.l1_hit_duration if old else None, new.l1_hit_duration)
    return CacheBooks(
        name,
        new.l1_hits - (old.l1_hits if old else 0),
        new.l2_hits - (old.l2_hits if old else 0),
        _counts(old.misses if old else {}, new.misses),
        {k: h for k, h in {"l1_hit": l1_hit, **latency}.items() if h.count},
        _histogram(old.load_duration if old else None, new.load_duration),
        new.l1_entries,
    )


def _find(snapshot: ProcessSnapshot, name: str) -> CacheSnapshot | None:
    return next((cache for cache in snapshot.caches if cache.name == name), None)


def _counts(old: Mapping[K, int], new: Mapping[K, int]) -> dict[K, int]:
    change = {key: n - old.get(key, 0) for key, n in new.items()}
    return {key: n for key, n in change.items() if n}


def _histogram(old: HistogramSnapshot | None, new: HistogramSnapshot) -> HistogramSnapshot:
    if old is None:
        return new
    counts = tuple(n - o for n, o in zip(new.counts, old.counts, strict=True))
    return HistogramSnapshot(new.bounds, counts, new.sum - old.sum)
