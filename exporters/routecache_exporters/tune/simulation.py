"""A log's look-ups against L1s of every life time and size at once, in the log's own time.

L1 is the real one: `routecache.local.LocalTier`, with its eviction, expiry and miss reasons. What
is asked of it is what a manager asks whose policy is the default one and whose loads take no time.
L2 is a dict in the place of Redis, that holds a key from its load until its TTL ends.

Which look-ups load depends on life times alone where there is an L2, because a copy in L1 ends
with the one it came from. Without L2 every process loads what its own L1 lacks.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from routecache.local import Entry, LocalTier

MOST_SHARED = 100_000
"""Keys that one life time's L2 holds at most; beyond, the oldest goes."""


@dataclass(slots=True)
class Ages:
    """How old the answers were. An answer is as old as its load is long ago; a load's own is 0.

    period: seconds between two changes of a key's true answer, on average; None if unknown.
    outdated: how many answers are expected to be older than the last change, if changes come at
        random moments (a Poisson process) and nobody tells the cache: of an answer of age a,
        1 - exp(-a / period). None without a period.
    """

    period: float | None
    total: float = 0.0
    longest: float = 0.0
    _outdated: float = 0.0

    def add(self, age: float) -> None:
        """One more answer, `age` seconds old."""
        self.total += age
        self.longest = max(self.longest, age)
        if self.period is not None:
            self._outdated -= math.expm1(-age / self.period)

    @property
    def outdated(self) -> float | None:
        """Answers; see above."""
        return None if self.period is None else self._outdated


@dataclass(slots=True)
class Cell:
    """What one life time and one size made of the look-ups so far.

    ttl: seconds. size: entries of each process's L1. `misses` are L1's, by reason.
    """

    ttl: float
    size: int
    tiers: Sequence[LocalTier]
    ages: Ages
    l1_hits: int = 0
    loads: int = 0
    misses: Counter[str] = field(default_factory=Counter)


class Column:
    """All sizes at one life time; with `has_l2` they are in front of one L2."""

    def __init__(
        self, ttl: float, sizes: Iterable[int], workers: int, period: float | None, *, has_l2: bool
    ) -> None:
        self.ttl = ttl
        self.shared_evictions = 0
        ages = Ages(period)
        self.cells = [
            Cell(
                ttl,
                size,
                [LocalTier(size, "sieve", _ignore) for _ in range(workers)],
                ages if has_l2 else Ages(period),
            )
            for size in sizes
        ]
        self._ages = ages
        self._loaded: dict[str, float] | None = {} if has_l2 else None

    def ask(self, key: str, now: float, worker: int) -> None:
        """Look `key` up at `now` in the process numbered `worker`."""
        if self._loaded is None:
            for cell in self.cells:
                held = _in_l1(cell, cell.tiers[worker], key, now, now + self.ttl)
                if held is None:
                    cell.loads += 1
                cell.ages.add(0.0 if held is None else now - held.filled_at)
            return
        loaded_at = self._loaded.get(key)
        loads = loaded_at is None or loaded_at + self.ttl <= now
        if loaded_at is None or loads:
            loaded_at = now
            self._load(self._loaded, key, now)
        self._ages.add(now - loaded_at)
        for cell in self.cells:
            cell.loads += loads
            _in_l1(cell, cell.tiers[worker], key, now, loaded_at + self.ttl)

    def _load(self, loaded: dict[str, float], key: str, now: float) -> None:
        loaded.pop(key, None)  # so that the dict's order is that of the loads
        loaded[key] = now
        while loaded:
            oldest = next(iter(loaded))
            if loaded[oldest] + self.ttl > now:
                if len(loaded) <= MOST_SHARED:
                    return
                self.shared_evictions += 1
            del loaded[oldest]


class CacheGrid:
    """One cache at every life time and size. For one thread.

    Args:
        ttls, sizes: in seconds and in entries.
        workers: processes, each with an L1 of its own.
        has_l2: whether they share an L2.
        period: see `Ages`.
    """

    def __init__(
        self,
        ttls: Iterable[float],
        sizes: Sequence[int],
        *,
        workers: int = 1,
        has_l2: bool = True,
        period: float | None = None,
    ) -> None:
        self.look_ups = 0
        self.columns = [Column(ttl, sizes, workers, period, has_l2=has_l2) for ttl in ttls]

    def ask(self, key: str, now: float, worker: int = 0) -> None:
        """Look `key` up at `now`, in seconds that never fall."""
        self.look_ups += 1
        for column in self.columns:
            column.ask(key, now, worker)


def _in_l1(cell: Cell, tier: LocalTier, key: str, now: float, expires_at: float) -> Entry | None:
    """The copy that L1 answers with; else None, and it gets one that ends at `expires_at`."""
    entry = tier.entries.get(key)
    if entry is not None and now < entry.fresh_until:
        entry.visited = True
        cell.l1_hits += 1
        return entry
    cell.misses[tier.miss_reason(key, now)] += 1
    tier.put(Entry(key, None, expires_at, filled_at=now), now)
    return None


def _ignore(_reason: str) -> None:
    """Evictions are told by the misses that they cause."""
