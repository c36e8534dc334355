"""Reads the file of another process, while that process counts or after it has ended."""

import fcntl
import os
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from routecache.cells import Histogram
from routecache.multiprocess.layout import (
    CELL,
    COUNTER,
    GAUGES_AT,
    GAUGES_HEAD,
    HEADER,
    MAX_GAUGES,
    SEGMENT,
    SEGMENTS_AT,
    WORD,
    Header,
    Key,
    Record,
    UnreadableError,
    read_header,
    records,
    unwrap_gauges,
)
from routecache.multiprocess.totals import Totals

# How often a cell that is just being written to is looked at again. After the first few, each time
# comes after a pause, in which a thread that was interrupted in the middle of a step goes on. What
# is unsteady for longer is taken as it is: its process may have been stopped.
_LOOKS: Final = 40
_PAUSE_AFTER: Final = 8
_PAUSE: Final = 0.001


@dataclass(slots=True)
class _Cell:
    owner: Key
    at: int
    counters: list[tuple[Key, int]] = field(default_factory=list[tuple[Key, int]])
    histograms: list[tuple[Key, tuple[float, ...], int]] = field(
        default_factory=list[tuple[Key, tuple[float, ...], int]]
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file holds. `gauges` are None of a process that has ended."""

    header: Header
    totals: Totals
    gauges: bytes | None

    @property
    def alive(self) -> bool:
        """Whether the process was there when it was read."""
        return self.gauges is not None


class WorkerReader:
    """Reads one file again and again. For one thread.

    Records never move, so each is read once; later only the numbers are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cells: dict[int, _Cell] = {}
        self._orphans: list[Record] = []
        self._parsed: list[int] = []

    def read(self) -> Reading:
        """The sums and, if the process lives, its gauges.

        Raises FileNotFoundError if the file is gone, UnreadableError if it is damaged, OSError.
        """
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            alive = _locked_by_another(fd)
            header = read_header(os.pread(fd, HEADER.size, 0))
            totals = self._totals(fd, alive=alive)
            return Reading(header, totals, _gauges(fd) if alive else None)
        finally:
            os.close(fd)

    def _totals(self, fd: int, *, alive: bool) -> Totals:
        totals = Totals()
        data = self._numbers(fd)
        pending = dict(self._cells)
        for look in range(_LOOKS if alive else 0):
            if look >= _PAUSE_AFTER:
                time.sleep(_PAUSE)
            again = self._numbers(fd)
            for number, cell in list(pending.items()):
                (version,) = WORD.unpack_from(data, cell.at)
                if version % 2 == 0 and version == WORD.unpack_from(again, cell.at)[0]:
                    _settle(totals, pending.pop(number), data)
            if not pending:
                break
            data = again
        if self._orphans and not alive:
            raise UnreadableError
        for cell in pending.values():
            _settle(totals, cell, data)
        return totals

    def _numbers(self, fd: int) -> bytes:
        # Not through a map of our own: a page that somebody cut off would kill this process.
        size = os.fstat(fd).st_size - SEGMENTS_AT
        if size < SEGMENT:
            raise UnreadableError
        data = os.pread(fd, size, SEGMENTS_AT)
        view = memoryview(data)
        for i in range(len(data) // SEGMENT):
            start = i * SEGMENT
            (used,) = WORD.unpack_from(data, start)
            if i == len(self._parsed):
                self._parsed.append(WORD.size)
            if used > self._parsed[i]:
                segment = view[start : start + SEGMENT]
                for record in records(segment, self._parsed[i], used, start):
                    self._take(record)
                self._parsed[i] = used
            elif used and used < self._parsed[i]:
                raise UnreadableError
        rest = data[len(self._parsed) * SEGMENT :][: WORD.size]
        if len(data) < SEGMENT * len(self._parsed) or any(rest):
            raise UnreadableError  # it was cut off
        orphans, self._orphans = self._orphans, []
        for record in orphans:
            self._take(record)
        return data

    def _take(self, record: Record) -> None:
        if record.kind == CELL:
            self._cells[record.cell] = _Cell(record.key, record.at)
            return
        cell = self._cells.get(record.cell)
        if cell is None:
            self._orphans.append(record)  # its cell is in a later segment
        elif record.kind == COUNTER:
            cell.counters.append((record.key, record.at))
        else:
            cell.histograms.append((record.key, record.bounds, record.at))


def _settle(totals: Totals, cell: _Cell, data: bytes) -> None:
    """Add the numbers of `cell` as they are in `data`."""
    total = totals.of(cell.owner)
    hits = WORD.unpack_from(data, cell.at + WORD.size)[0]
    counts = [(key, WORD.unpack_from(data, at)[0]) for key, at in cell.counters if at < len(data)]
    total.l1_hits += hits
    lowest = hits
    for key, n in counts:
        total.add(*key, n=n)
        lowest = min(lowest, n)
    for name, bounds, at in cell.histograms:
        if at >= len(data):
            continue
        *buckets, value = struct.unpack_from(f"={len(bounds) + 1}qd", data, at)
        histogram = Histogram(bounds)
        histogram.counts, histogram.sum = buckets, value
        totals.observe(cell.owner, name, histogram)
        lowest = min(lowest, *buckets)
    if lowest < 0:
        raise UnreadableError


def _gauges(fd: int) -> bytes:
    for _ in range(_LOOKS):
        length, _ = GAUGES_HEAD.unpack(os.pread(fd, GAUGES_HEAD.size, GAUGES_AT))
        if length > MAX_GAUGES:
            raise UnreadableError
        payload = unwrap_gauges(os.pread(fd, GAUGES_HEAD.size + length, GAUGES_AT))
        if payload is not None:
            return payload
        time.sleep(_PAUSE)
    raise UnreadableError


def _locked_by_another(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
