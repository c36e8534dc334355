"""Exact counters that cost nanoseconds: one cell per thread, summed when somebody reads.

A counter shared by threads needs a lock around `+= 1`, and CPython threads convoy behind any lock
that the hit path takes. Here every thread adds to a cell that only it writes, so that an L1 hit
needs neither a lock nor an atomic instruction and still no increment is lost, also without a GIL.

Everything off the hit path (misses, errors, histograms) touches several numbers that must agree
in one snapshot. Those are written under the cell's own lock, which nobody contends for but the
reader of a snapshot. It is reentrant because a signal handler or a finalizer may look something
up in the middle.

The cells of dead threads are folded into one base cell: their thread-local token dies with the
thread, its weak reference calls back, and the next reader or the next new thread folds. The
callback itself only appends to a deque, since it can run inside a garbage collection that was
triggered while this module holds its lock. So there are never more cells than threads alive at
once, and no count is ever lost.
"""

import random
import threading
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from routecache import forking
from routecache.exemplars import Exemplar

CounterKey = tuple[str, ...]

# Gaps between latency samples are drawn from [64, 191], so that no period in the caller's keys
# can hide from the sampler; at 128 on average a sample costs a hit about 4 ns.
_SAMPLE_GAP_MIN = 64
_SAMPLE_GAP_BITS = 7


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """A histogram read at one moment.

    `counts[i]` observations fell into bucket `i`, whose inclusive upper bound is `bounds[i]`
    seconds (or bytes); the last count, one more than there are bounds, has no upper bound. The
    counts are not cumulative. `sum` is the total of the observed values. `exemplars` has the
    latest exemplar of a bucket by its index, where there is one.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict[int, Exemplar], hash=False)

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """Estimate the `q` quantile (0 to 1) by linear interpolation inside its bucket.

        The same estimate as PromQL's `histogram_quantile`: the last bucket answers with its
        lower bound. Returns None without observations.
        """
        total = self.count
        if total == 0:
            return None
        rank = q * total
        below = 0
        for i, n in enumerate(self.counts[:-1]):
            if n and below + n >= rank:
                low = self.bounds[i - 1] if i else 0.0
                return low + (self.bounds[i] - low) * (rank - below) / n
            below += n
        return self.bounds[-1]


class Histogram:
    """Bucket counts and a sum, written by one thread under its cell's lock."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] | None = None

    def observe(self, value: float, weight: int = 1, exemplar: Exemplar | None = None) -> None:
        """Count `value` `weight` times; a value on a bound belongs to that bound's bucket."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += weight
        self.sum += value * weight
        if exemplar is not None:
            self._keep(bucket, exemplar)

    def _keep(self, bucket: int, exemplar: Exemplar) -> None:
        if self.exemplars is None:
            self.exemplars = {}
        kept = self.exemplars.get(bucket)
        if kept is None or kept.timestamp <= exemplar.timestamp:
            self.exemplars[bucket] = exemplar

    def merge(self, other: "Histogram") -> None:
        """Add the counts of `other`, which has the same bounds."""
        for i, n in enumerate(other.counts):
            self.counts[i] += n
        self.sum += other.sum
        for bucket, exemplar in (other.exemplars or {}).items():
            self._keep(bucket, exemplar)

    def freeze(self) -> HistogramSnapshot:
        """An immutable copy."""
        exemplars = dict(self.exemplars or {})
        return HistogramSnapshot(self.bounds, tuple(self.counts), self.sum, exemplars)


class Cell:
    """The counters of one thread for one cache or endpoint.

    `l1_hits` and `sample_at` are written by the owning thread alone and without the lock; all
    else is written under `lock`.
    """

    __slots__ = ("counts", "histograms", "l1_hits", "lock", "sample_at", "sampled")

    outlives_threads: ClassVar[bool] = False
    """Whether another thread goes on with it when its own has ended, instead of folding it."""

    def __init__(self) -> None:
        self.l1_hits = 0
        self.sample_at = 1
        self.sampled = 0
        self.lock = threading.RLock()
        self.counts: dict[CounterKey, int] = {}
        self.histograms: dict[CounterKey, Histogram] = {}

    def add(self, *key: str, n: int = 1) -> None:
        """Add `n` to the counter `key`. The caller holds `lock`."""
        self.counts[key] = self.counts.get(key, 0) + n

    def observe(
        self,
        bounds: tuple[float, ...],
        value: float,
        *key: str,
        weight: int = 1,
        exemplar: Exemplar | None = None,
    ) -> None:
        """Observe `value` in the histogram `key`. The caller holds `lock`."""
        histogram = self.histograms.get(key)
        if histogram is None:
            histogram = self.histograms[key] = Histogram(bounds)
        histogram.observe(value, weight, exemplar)

    def sample(
        self, bounds: tuple[float, ...], value: float, *key: str, avoided: float = 0.0
    ) -> None:
        """Observe a sampled L1 hit with the weight of all hits since the previous sample.

        `avoided` is how many seconds loading its value took.
        """
        with self.lock:
            weight, self.sampled = self.l1_hits - self.sampled, self.l1_hits
            self.sample_at = self.l1_hits + _SAMPLE_GAP_MIN + random.getrandbits(_SAMPLE_GAP_BITS)
            if weight > 0:  # a handler that interrupted this thread may have sampled already
                self.observe(bounds, value, *key, weight=weight)
                if avoided > 0:
                    self.observe((), avoided, "avoided", weight=weight)

    def merge(self, other: "Cell") -> None:
        """Add all that `other` holds. Nobody writes to this cell meanwhile."""
        with other.lock:
            self.l1_hits += other.l1_hits
            for key, n in other.counts.items():
                self.add(*key, n=n)
            for name, histogram in other.histograms.items():
                mine = self.histograms.get(name)
                if mine is None:
                    mine = self.histograms[name] = Histogram(histogram.bounds)
                mine.merge(histogram)


class _Token:
    """Dies with the thread (or with the counters) that it belongs to."""

    __slots__ = ("__weakref__",)


class _ThreadCell(threading.local):
    """`.cell` is the calling thread's cell, made on the thread's first access."""

    def __init__(self, make: Callable[[_Token], Cell]) -> None:
        self._token = _Token()
        self.cell = make(self._token)

    def renew(self, make: Callable[[_Token], Cell]) -> None:
        self._token = _Token()
        self.cell = make(self._token)


class Cells:
    """The cells of all threads for one cache or endpoint.

    `new` makes a cell; those of `routecache.multiprocess` are in a file that other processes read.

    Safe for threads; a forked child starts at zero, since its parent goes on reporting what was
    counted before the fork.
    """

    def __init__(self, new: Callable[[], Cell] = Cell) -> None:
        self._new = new
        self._lock = threading.RLock()
        self._base = Cell()
        self._live: dict[Hashable, Cell] = {}
        self._spare: list[Cell] = []
        self._dead: deque[Hashable] = deque()
        self.local = _ThreadCell(self._make)
        forking.reset_in_child(self)

    @contextmanager
    def recording(self) -> Iterator[Cell]:
        """The calling thread's cell, locked, so that what is written appears as one step."""
        cell = self.local.cell
        with cell.lock:
            yield cell

    def total(self) -> Cell:
        """A new cell with the sum over all threads, living and dead."""
        total = Cell()
        with self._lock:
            self._fold()
            total.merge(self._base)
            for cell in (*self._live.values(), *self._spare):
                total.merge(cell)
        return total

    def l1_hits(self) -> int:
        """The hits of all threads, without the cost of `total`."""
        with self._lock:
            self._fold()
            cells = (self._base, *self._live.values(), *self._spare)
            return sum(cell.l1_hits for cell in cells)

    def thread_count(self) -> int:
        """How many cells there are now, for a test of the bound."""
        with self._lock:
            self._fold()
            return len(self._live)

    def _make(self, token: _Token) -> Cell:
        with self._lock:
            self._fold()
            cell = self._spare.pop() if self._spare else self._new()
            self._live[weakref.ref(token, self._dead.append)] = cell
        return cell

    def _fold(self) -> None:
        while self._dead:
            cell = self._live.pop(self._dead.popleft(), None)
            if cell is None:
                continue
            if cell.outlives_threads:
                self._spare.append(cell)
            else:
                self._base.merge(cell)

    def reset_after_fork(self) -> None:
        """Forget what the parent counted."""
        # The only thread of the child runs this. Locks may have been held by threads that do
        # not exist here, so they are replaced, never waited for.
        self._lock = threading.RLock()
        self._base = Cell()
        self._live.clear()
        self._spare.clear()
        self._dead.clear()
        self.local.renew(self._make)
