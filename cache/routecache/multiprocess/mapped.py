"""A cell whose numbers are in the process's file, so that they outlive the process.

`l1_hits` is read and written through ctypes' own descriptors, in C: an L1 hit's line
`cell.l1_hits = hits = cell.l1_hits + 1` stays as it is, and what it counted is in the file at once,
in the kernel's hands, whatever then becomes of the process.

Several numbers that change as one are written under the cell's lock, which also counts the file's
version of the cell up, before and after. Whoever reads the file takes the cell's numbers only if
the version was even and the same before and after, and so sees none of such a step or all.
"""

import ctypes
import mmap
import threading
from bisect import bisect_left
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, cast

from routecache.cells import Cell, CounterKey, Histogram
from routecache.exemplars import Exemplar
from routecache.multiprocess.layout import CELL, COUNTER, HISTOGRAM, Key, describe
from routecache.multiprocess.worker_file import WorkerFile


class MappedHistogram(Histogram):
    """Bucket counts and a sum in the file; everything else is as on the heap."""

    __slots__ = ("_sum",)

    def __init__(self, bounds: tuple[float, ...], buffer: mmap.mmap, at: int) -> None:
        end = at + 8 * (len(bounds) + 1)
        self.bounds = bounds
        self.exemplars = None  # on the heap: they are for a look at what is slow now
        # Item access is all that is done with it.
        self.counts = cast("list[int]", memoryview(buffer)[at:end].cast("q"))
        self._sum = ctypes.c_double.from_buffer(buffer, end)

    if not TYPE_CHECKING:  # the base class has an attribute in its place

        @property
        def sum(self) -> float:
            """The total of the observed values."""
            return self._sum.value

    def observe(self, value: float, weight: int = 1, exemplar: Exemplar | None = None) -> None:
        """Count `value` `weight` times; a value on a bound belongs to that bound's bucket."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += weight
        self._sum.value += value * weight
        if exemplar is not None:
            self._keep(bucket, exemplar)


class _Steps:
    """The lock of a cell, which marks in the file when a step begins and ends."""

    __slots__ = ("_depth", "_lock", "_version")

    def __init__(self, version: ctypes.c_int64) -> None:
        self._lock = threading.RLock()
        self._version = version
        self._depth = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:  # not in a signal handler in the middle of a step
            self._version.value += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._version.value += 1
        self._lock.release()


class MappedCell(ctypes.Structure):
    """To whoever counts, a `Cell`.

    What cannot be written to the file any more is counted on the heap, and `lost` is called.
    """

    __slots__ = ("_file", "_id", "_lost", "_words", "histograms", "lock", "sample_at", "sampled")
    _fields_ = (("version", ctypes.c_int64), ("l1_hits", ctypes.c_int64))

    outlives_threads: ClassVar[bool] = True

    if TYPE_CHECKING:
        l1_hits: int

    def _adopt(self, file: WorkerFile, number: int, lost: Callable[[OSError], None]) -> None:
        self._file = file
        self._id = number
        self._lost = lost
        self._words: dict[CounterKey, ctypes.c_int64] = {}
        self.lock: _Steps
        self.histograms: dict[CounterKey, Histogram] = {}
        self.sample_at = 1
        self.sampled = 0

    @property
    def counts(self) -> dict[CounterKey, int]:
        """Every counter but `l1_hits`."""
        return {key: word.value for key, word in self._words.items()}

    def add(self, *key: str, n: int = 1) -> None:
        """Add `n` to the counter `key`. The caller holds `lock`."""
        word = self._words.get(key)
        if word is None:
            # A signal handler in the middle may have made one.
            word = self._words.setdefault(key, self._counter(key))
        word.value += n

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
            histogram = self.histograms.setdefault(key, self._histogram(bounds, key))
        histogram.observe(value, weight, exemplar)

    sample = Cell.sample

    def _counter(self, key: Key) -> ctypes.c_int64:
        try:
            buffer, at = self._file.allocate(*describe(COUNTER, self._id, key))
        except OSError as error:
            self._lost(error)
            return ctypes.c_int64()
        return ctypes.c_int64.from_buffer(buffer, at)

    def _histogram(self, bounds: tuple[float, ...], key: Key) -> Histogram:
        try:
            buffer, at = self._file.allocate(*describe(HISTOGRAM, self._id, key, bounds))
        except OSError as error:
            self._lost(error)
            return Histogram(bounds)
        return MappedHistogram(bounds, buffer, at)


def new_cell(file: WorkerFile, owner: Key, lost: Callable[[OSError], None]) -> Cell:
    """A cell in `file` for what `owner` names. Raises OSError if there is no room for it."""
    number = next(file.cells)
    buffer, at = file.allocate(*describe(CELL, number, owner))
    cell = MappedCell.from_buffer(buffer, at)
    cell._adopt(file, number, lost)  # noqa: SLF001  # from_buffer calls no constructor
    cell.lock = _Steps(ctypes.c_int64.from_buffer(buffer, at))
    # ctypes lets a structure have no other base class than its own kind.
    return cast("Cell", cell)
