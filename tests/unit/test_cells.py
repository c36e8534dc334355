"""Counters in per-thread cells: exact, bounded, and from zero in a forked child."""

import signal
import threading

import pytest

from routecache.cells import Cells, Histogram, HistogramSnapshot
from routecache.stats import L1_HIT_BOUNDS


def in_threads(n: int, work: object) -> None:
    threads = [threading.Thread(target=work) for _ in range(n)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_no_increment_is_lost_under_threads_and_concurrent_readers() -> None:
    cells, each = Cells(), 20_000
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            seen.append(cells.total().l1_hits)

    def work() -> None:
        local = cells.local
        for i in range(each):
            cell = local.cell
            cell.l1_hits += 1
            if i % 10 == 0:
                with cells.recording() as slow:
                    slow.add("misses", "cold")
                    slow.observe((1.0,), 0.5, "h")

    reader = threading.Thread(target=read)
    reader.start()
    in_threads(8, work)
    done.set()
    reader.join(60)
    total = cells.total()
    assert total.l1_hits == 8 * each
    assert total.counts == {("misses", "cold"): 8 * each // 10}
    assert total.histograms[("h",)].counts == [8 * each // 10, 0]
    assert seen == sorted(seen), "what a reader sees never falls"


def test_the_cells_of_dead_threads_are_folded_in() -> None:
    cells = Cells()

    def work() -> None:
        cells.local.cell.l1_hits += 1

    for _ in range(50):
        in_threads(4, work)
    assert cells.thread_count() <= 1
    assert cells.total().l1_hits == 200


def test_two_numbers_of_one_event_appear_together() -> None:
    cells = Cells()
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            with cells.recording() as cell:
                cell.add("a")
                cell.add("b")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        counts = cells.total().counts
        assert counts.get(("a",), 0) == counts.get(("b",), 0)
    done.set()
    for thread in threads:
        thread.join(10)


def test_a_signal_handler_may_count_in_the_middle_of_counting() -> None:
    cells = Cells()

    def handler(number: int, frame: object) -> None:
        with cells.recording() as cell:
            cell.add("in handler")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with cells.recording() as cell:
            signal.raise_signal(signal.SIGUSR1)
            cell.add("outside")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert cells.total().counts == {("in handler",): 1, ("outside",): 1}


def test_samples_carry_the_weight_of_all_hits_since_the_previous_one() -> None:
    cells = Cells()
    cell = cells.local.cell
    for hits in range(1, 5001):
        cell.l1_hits = hits
        if hits >= cell.sample_at:
            cell.sample(L1_HIT_BOUNDS, 3e-7, "l1_hit")
            assert cell.histograms[("l1_hit",)].freeze().count == hits
            assert 64 <= cell.sample_at - hits <= 191
    sampled = cell.histograms[("l1_hit",)].freeze()
    assert 5000 - 191 <= sampled.count <= 5000
    assert sampled.counts[L1_HIT_BOUNDS.index(5e-7)] == sampled.count


def test_an_upper_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.freeze() == HistogramSnapshot((1.0, 2.0), (2, 2, 1), 7.5)


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        ((0, 0, 0), 0.5, None),
        ((10, 0, 0), 0.5, 0.5),
        ((5, 5, 0), 0.5, 1.0),
        ((5, 5, 0), 0.75, 1.5),
        ((0, 0, 4), 0.99, 2.0),
    ],
)
def test_a_quantile_is_estimated_as_promql_does(
    counts: tuple[int, ...], q: float, expected: float | None
) -> None:
    assert HistogramSnapshot((1.0, 2.0), counts, 0.0).quantile(q) == expected
