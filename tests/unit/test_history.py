"""The last minutes on the server: bounded, even over gaps, and without a thread left behind."""

import gc
import threading
from collections.abc import Callable
from functools import partial

import pytest

from routecache.registry import ProcessSnapshot
from routecache.testing import ManualTimer
from routecache_exporters.performance_metrics import metrics_of
from routecache_exporters.web.history import INTERVAL, LATELY, MINUTE, POINTS, History
from tests import snapshots
from tests.helpers import eventually


def history(
    source: Callable[[], ProcessSnapshot] | None = None, timer: ManualTimer | None = None
) -> History:
    """A history by a clock that the test moves."""
    timer = timer or ManualTimer()
    return History(source or snapshots.source(snapshots.router()), timer=timer, clock=timer)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "routecache-history"]


def test_a_minute_is_kept_whole_and_five_in_part() -> None:
    """However long it runs, there are 60 points, and the oldest whole reading is a minute old."""
    timer = ManualTimer(0.0)
    kept = history(timer=timer)
    for _ in range(3 * POINTS):
        kept.take()
        timer.advance(INTERVAL)
    columns = kept.columns()
    assert len(columns["times"]) == len(columns["caches"]["model"]["requests"]) == POINTS
    assert columns["times"] == sorted(columns["times"])
    now = kept.read()
    minute, moment = kept.before(now, MINUTE), kept.before(now, INTERVAL)
    assert minute is not None
    assert moment is not None
    assert (now.at - minute.at, now.at - moment.at) == (MINUTE, INTERVAL)
    oldest = kept.before(now, 10**6)
    assert oldest is not None
    assert now.at - oldest.at <= MINUTE + INTERVAL


def test_no_more_caches_than_have_labels_of_their_own_are_kept() -> None:
    """A program with a cache per tenant does not fill memory with history."""
    kept = history(snapshots.source([snapshots.cache(f"c{n}") for n in range(100)]))
    kept.take()
    assert len(kept.columns()["caches"]) == 64


def test_a_source_that_fails_leaves_a_gap_and_a_late_cache_nulls() -> None:
    """The readings before and after stand; what was not there yet is null."""
    parts = iter((["model"], None, ["model", "tool"]))

    def source() -> ProcessSnapshot:
        names = next(parts)
        if names is None:
            raise RuntimeError
        return ProcessSnapshot(
            tuple(snapshots.cache(name, l1_hits=7) for name in names), (snapshots.endpoint(),)
        )

    kept = history(source)
    for _ in range(3):
        kept.take()
    columns = kept.columns()
    assert columns["caches"]["model"]["requests"] == [7, 7]
    assert columns["caches"]["tool"]["l1_hits"] == [None, 7]
    assert columns["endpoints"]["redis"] == {
        "operations": [0, 0],
        "operation_seconds": [0.0, 0.0],
        "circuit": ["closed", "closed"],
    }


def test_one_thread_reads_and_ends_with_its_history() -> None:
    """Starting twice makes one thread; it takes a reading at once, and does not outlive its owner
    although nobody stops it."""
    before = threads()  # some of which may be ending
    kept = history()
    kept.start()
    kept.start()
    assert len([t for t in threads() if t not in before]) == 1
    (thread,) = [t for t in threads() if t is kept._thread]
    eventually(partial(_has_points, kept))
    del kept
    gc.collect()
    thread.join(INTERVAL + 5.0)
    assert not thread.is_alive()


def _has_points(kept: History) -> bool:
    return bool(kept.columns()["times"])


def test_a_stopped_history_forgets_and_may_start_again() -> None:
    """What is old must not pass for the minute before; to stop twice, or too early, is harmless."""
    kept = history()
    kept.stop()
    kept.start()
    thread = kept._thread
    eventually(partial(_has_points, kept))
    kept.stop()
    kept.stop()
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()
    assert not _has_points(kept)
    kept.start()
    eventually(partial(_has_points, kept))
    kept.stop()


def test_a_forked_child_starts_empty_and_can_start_again() -> None:
    """What the parent saw is not the child's, and its thread is not there."""
    kept = history()
    kept.start()
    eventually(lambda: kept.columns()["times"])
    parents = kept._thread
    kept.reset_after_fork()
    assert kept.columns()["times"] == []
    kept.start()
    assert kept._thread is not parents
    eventually(lambda: kept.columns()["times"])
    kept._ended.set()


def test_before_any_reading_there_is_none_to_compare_with() -> None:
    """The first answer of a site has nothing recent."""
    kept = history()
    assert kept.before(kept.read(), MINUTE) is None


def test_a_reading_is_never_compared_with_a_later_one() -> None:
    """The first request starts the thread, whose first reading may come after the request's own."""
    timer = ManualTimer()
    failures = iter((500, 501))

    def source() -> ProcessSnapshot:
        failed = {"error": next(failures)}
        return ProcessSnapshot((snapshots.cache(loads=1000, load_failures=failed),), ())

    kept = history(source, timer)
    now = kept.read()
    timer.advance(0.001)
    kept.take()
    assert kept.before(now, LATELY) is None
    assert metrics_of(now, lately=kept.before(now, LATELY))["status"] == "ok"


@pytest.mark.parametrize("missing", ["caches", "endpoints"])
def test_an_empty_process_has_an_empty_history(missing: str) -> None:
    """Before there is a cache there are times only."""
    kept = history(snapshots.source())
    kept.take()
    columns = kept.columns()
    assert (len(columns["times"]), columns[missing]) == (1, {})  # type: ignore[literal-required]
