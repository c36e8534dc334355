"""Counting in a file: as exact as on the heap, visible to others at once, and bounded."""

import errno
import logging
import os
import signal
import threading
from pathlib import Path

import pytest

from routecache.cells import Cells
from routecache.multiprocess import worker_file
from routecache.multiprocess.layout import SEGMENT, SEGMENTS_AT
from routecache.multiprocess.reading import WorkerReader
from routecache.multiprocess.survey import Surveyor
from routecache.stats import L1_HIT_BOUNDS
from tests.workers import OWNER, Worker, survey


def in_threads(n: int, work: object) -> None:
    threads = [threading.Thread(target=work) for _ in range(n)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_what_threads_count_is_in_the_file_and_no_reader_sees_half_a_step(tmp_path: Path) -> None:
    """Totals never fall, two numbers of one event appear together, and in the end all is there."""
    worker, each = Worker(tmp_path), 5_000
    surveyor = Surveyor(tmp_path)
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            total = surveyor.survey().totals.of(OWNER)
            seen.append(total.l1_hits)
            misses = total.counts.get(("misses", "cold"), 0)
            assert misses == total.counts.get(("l1_misses", "cold"), 0)
            assert misses == sum(total.histograms[("h",)].counts) if misses else True

    def work() -> None:
        for i in range(each):
            worker.cells.local.cell.l1_hits += 1
            if i % 10 == 0:
                with worker.cells.recording() as cell:
                    cell.add("misses", "cold")
                    cell.add("l1_misses", "cold")
                    cell.observe((1.0,), 0.5, "h")

    errors: list[object] = []
    before, threading.excepthook = threading.excepthook, errors.append
    try:
        reader = threading.Thread(target=read)
        reader.start()
        in_threads(8, work)
        done.set()
        reader.join(60)
    finally:
        threading.excepthook = before
    assert not errors
    assert seen == sorted(seen)
    total = surveyor.survey().totals.of(OWNER)
    own = worker.cells.total()
    assert total.l1_hits == own.l1_hits == 8 * each
    assert (
        total.counts
        == own.counts
        == dict.fromkeys((("misses", "cold"), ("l1_misses", "cold")), 8 * each // 10)
    )
    assert total.histograms[("h",)].freeze() == own.histograms[("h",)].freeze()
    assert own.histograms[("h",)].sum == 8 * each // 10 * 0.5


def test_a_reader_waits_for_the_end_of_a_step_that_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(tmp_path).count(1, misses=1, l1_misses=1)
    begun, looked = threading.Event(), threading.Event()
    looks = 0
    numbers = WorkerReader._numbers

    def look(self: WorkerReader, fd: int) -> bytes:
        nonlocal looks
        looks += 1
        if looks == 3:
            looked.set()
        return numbers(self, fd)

    def step() -> None:
        with worker.cells.recording() as cell:
            cell.add("misses")
            begun.set()
            looked.wait(10)
            cell.add("l1_misses")

    # Another thread's cell, so that it has nothing to do with those of this one.
    thread = threading.Thread(target=step)
    thread.start()
    assert begun.wait(10)
    monkeypatch.setattr(WorkerReader, "_numbers", look)
    counts = Surveyor(tmp_path).survey().totals.of(OWNER).counts
    thread.join(10)
    assert counts == {("misses",): 2, ("l1_misses",): 2}


def test_threads_that_end_leave_their_place_to_others(tmp_path: Path) -> None:
    """A thousand short-lived threads need no more room than those alive at once."""
    worker = Worker(tmp_path)

    def work() -> None:
        worker.count(1, misses=1)

    for _ in range(250):
        in_threads(4, work)
    assert worker.cells.thread_count() <= 1
    assert survey(tmp_path) == (1000, {"misses": 1000})
    assert worker.cells.total().l1_hits == worker.cells.l1_hits() == 1000
    # Four threads may each have found the other arenas in use.
    assert (tmp_path / worker.name).stat().st_size <= SEGMENTS_AT + 4 * SEGMENT


def test_a_signal_handler_may_count_in_the_middle_of_counting(tmp_path: Path) -> None:
    worker = Worker(tmp_path)

    def handler(number: int, frame: object) -> None:
        worker.count(0, in_handler=1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with worker.cells.recording() as cell:
            signal.raise_signal(signal.SIGUSR1)
            cell.add("outside")
            cell.observe((0.5, 2.0), 1.0, "outside")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert survey(tmp_path) == (0, {"in_handler": 1, "outside": 1})


def test_an_allocation_in_the_middle_of_another_gets_a_place_of_its_own(tmp_path: Path) -> None:
    """Whoever finds the arena taken makes one, so nobody waits and nothing overlaps."""
    worker = Worker(tmp_path)
    file = worker.storage.file
    assert file is not None
    taken = file._arenas.pop()  # as by somebody who was interrupted there
    worker.count(3, b=2)
    file._arenas.append(taken)
    worker.count(4, c=5)
    assert survey(tmp_path) == (7, {"b": 2, "c": 5})


def test_more_names_than_a_segment_holds(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    names = [f"counter{i}" for i in range(1_000)]
    for name in names:
        worker.count(0, **{name: 2})
    assert survey(tmp_path) == (0, dict.fromkeys(names, 2))
    size = (tmp_path / worker.name).stat().st_size
    assert size > SEGMENTS_AT + SEGMENT
    for name in names:
        worker.count(0, **{name: 1})
    assert (tmp_path / worker.name).stat().st_size == size


def test_samples_carry_the_weight_of_all_hits_since_the_previous_one(tmp_path: Path) -> None:
    """Also over the threads that a cell had one after the other."""
    worker = Worker(tmp_path)

    def work() -> None:
        cell = worker.cells.local.cell
        for _ in range(1000):
            cell.l1_hits = hits = cell.l1_hits + 1
            if hits >= cell.sample_at:
                cell.sample(L1_HIT_BOUNDS, 3e-7, "l1_hit")
                assert cell.histograms[("l1_hit",)].freeze().count == hits

    for _ in range(5):
        in_threads(1, work)
    total = Surveyor(tmp_path).survey().totals.of(OWNER)
    sampled = total.histograms[("l1_hit",)].freeze()
    assert 5000 - 191 <= sampled.count <= total.l1_hits == 5000
    assert sampled.counts[L1_HIT_BOUNDS.index(5e-7)] == sampled.count


def full(fd: int, offset: int, length: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_costs_counts_and_never_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in the file goes on, the rest is counted on the heap, and both sides are told."""
    worker = Worker(tmp_path)
    worker.count(1, before=1)
    monkeypatch.setattr(worker_file, "_reserve", full)
    with caplog.at_level(logging.WARNING, "routecache"):
        for i in range(1_000):
            worker.count(1, before=1, **{f"counter{i}": 1})
        late = Worker(tmp_path)
        late.count(5, misses=1)
    total = worker.cells.total()
    assert total.l1_hits == 1001
    assert len(total.counts) == 1001
    found = Surveyor(tmp_path).survey()
    assert found.problems == {worker.name: "incomplete"}
    assert found.totals.of(OWNER).l1_hits == 1001
    assert found.totals.of(OWNER).counts[("before",)] == 1001
    assert late.storage.file is None
    assert late.cells.total().counts == {("misses",): 1}
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2  # one for each process
    assert all("No space left" in warning for warning in warnings)


def test_a_name_too_long_to_be_stored_is_counted_on_the_heap(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.count(1, **{"x" * 5000: 3})
    assert worker.cells.total().counts == {("x" * 5000,): 3}
    assert Surveyor(tmp_path).survey().problems == {worker.name: "incomplete"}


def test_cells_of_no_file_are_as_before() -> None:
    cells = Cells()
    cells.local.cell.l1_hits += 2
    assert not cells.local.cell.outlives_threads
    assert cells.total().l1_hits == 2
