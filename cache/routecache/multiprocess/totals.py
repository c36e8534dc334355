"""Sums of cells by what they count for, and the one file that keeps those of ended processes.

That file holds the sums and the names of the files that went into them. It replaces the previous
one in a single step, and only then are the files removed. So at any moment a file is either in the
sums, and named there, or still to be added; whatever is killed in between, nothing is lost and
nothing counts twice.
"""

import json
import os
from bisect import bisect_left
from collections.abc import Collection
from pathlib import Path
from typing import Final, TypeAlias
from zlib import crc32

from routecache.cells import Cell, Histogram
from routecache.multiprocess.layout import FORMAT, Key, UnreadableError

BASE: Final = f"{FORMAT}-base"
_NEW_BASE: Final = ".new-base"

Owner: TypeAlias = Key
"""What a cell counts for, such as ("cache", "model")."""


class Totals:
    """One cell for each owner, into which others are added. For one thread."""

    def __init__(self) -> None:
        self.by_owner: dict[Owner, Cell] = {}

    def of(self, owner: Owner) -> Cell:
        """The sum of `owner`, to read or to add to."""
        cell = self.by_owner.get(owner)
        if cell is None:
            cell = self.by_owner[owner] = Cell()
        return cell

    def observe(self, owner: Owner, key: Key, histogram: Histogram) -> None:
        """Add `histogram` to that of the same key, whose bounds prevail."""
        histograms = self.of(owner).histograms
        mine = histograms.setdefault(key, Histogram(histogram.bounds))
        mine.merge(rebucketed(histogram, mine.bounds))

    def add(self, other: "Totals") -> None:
        """Add all that `other` holds."""
        for owner, cell in other.by_owner.items():
            mine = self.of(owner)
            mine.l1_hits += cell.l1_hits
            for key, n in cell.counts.items():
                mine.add(*key, n=n)
            for key, histogram in cell.histograms.items():
                self.observe(owner, key, histogram)


def rebucketed(histogram: Histogram, bounds: tuple[float, ...]) -> Histogram:
    """`histogram` with other bounds, as two releases may have them.

    Each bucket goes to the narrowest one that holds all of it, so a count of what was at most so
    long may be too low and never too high; the number of observations and their sum stay exact.
    """
    if histogram.bounds == bounds:
        return histogram
    other = Histogram(bounds)
    for bound, n in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        other.counts[bisect_left(bounds, bound)] += n
    other.sum = histogram.sum
    return other


def encode(totals: Totals, folded: Collection[str]) -> bytes:
    """The base file for these sums and the names of the files that are in them."""
    owners = [
        [
            owner,
            cell.l1_hits,
            list(cell.counts.items()),
            [[key, h.bounds, h.counts, h.sum] for key, h in cell.histograms.items()],
        ]
        for owner, cell in totals.by_owner.items()
    ]
    body = json.dumps([sorted(folded), owners], separators=(",", ":")).encode()
    return b"%08x\n" % crc32(body) + body


def decode(data: bytes) -> tuple[Totals, frozenset[str]]:
    """What `encode` was given; nothing of nothing. Raises UnreadableError."""
    totals = Totals()
    if not data:
        return totals, frozenset()
    crc, _, body = data.partition(b"\n")
    if crc != b"%08x" % crc32(body):
        raise UnreadableError
    folded, owners = json.loads(body)
    for owner, l1_hits, counts, histograms in owners:
        cell = totals.of(tuple(owner))
        cell.l1_hits = l1_hits
        cell.counts = {tuple(key): n for key, n in counts}
        for key, bounds, buckets, total in histograms:
            histogram = Histogram(tuple(bounds))
            histogram.counts, histogram.sum = buckets, total
            cell.histograms[tuple(key)] = histogram
    return totals, frozenset(folded)


def read_base(directory: Path) -> bytes:
    """The base file as it is, b"" if there is none. Raises OSError."""
    try:
        return (directory / BASE).read_bytes()
    except FileNotFoundError:
        return b""


def write_base(directory: Path, data: bytes) -> None:
    """Replace the base file in one step that a crash of the machine survives. Raises OSError.

    The caller holds the directory's lock.
    """
    unfinished = directory / _NEW_BASE
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    os.rename(unfinished, directory / BASE)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
