"""Worker processes' files, as tests make them: in this process, ended when they say so."""

from functools import partial
from pathlib import Path

from routecache.cells import Cells
from routecache.multiprocess.storage import Storage
from routecache.multiprocess.survey import Surveyor
from routecache.multiprocess.totals import Totals

OWNER = ("cache", "model")


class Worker:
    """A process's storage in `directory`; `end` does to its file what the end of a process does."""

    def __init__(self, directory: Path) -> None:
        self.storage = Storage(directory)
        self.cells = Cells(partial(self.storage.new_cell, OWNER))

    @property
    def name(self) -> str:
        file = self.storage.file
        assert file is not None
        return file.name

    def count(self, hits: int = 0, **counts: int) -> "Worker":
        """Count L1 hits and other things, and observe a second for each of them."""
        self.cells.local.cell.l1_hits += hits
        with self.cells.recording() as cell:
            for key, n in counts.items():
                cell.add(key, n=n)
                cell.observe((0.5, 2.0), 1.0, key, weight=n)
        return self

    def end(self) -> str:
        """The name of the file that is left."""
        name = self.name
        self.storage._files.pop().abandon()
        return name


def counted(totals: Totals) -> tuple[int, dict[str, int]]:
    """L1 hits and counters of `OWNER`."""
    cell = totals.of(OWNER)
    assert {k[0]: sum(h.counts) for k, h in cell.histograms.items()} == {
        k[0]: n for k, n in cell.counts.items()
    }
    return cell.l1_hits, {key[0]: n for key, n in cell.counts.items()}


def survey(directory: Path) -> tuple[int, dict[str, int]]:
    """What `counted` gives for all workers; fails if a file could not be read."""
    found = Surveyor(directory).survey()
    assert not found.problems
    return counted(found.totals)


def files(directory: Path) -> set[str]:
    """The names in `directory`, without that of the lock."""
    return {path.name for path in directory.iterdir()} - {"lock"}
