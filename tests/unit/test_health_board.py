"""What health reports mean, and what is due for them: without a cache, in a time of their own."""

import math
import threading
from typing import Any

import pytest

from routecache import HealthPolicy
from routecache.routing.health import HealthReport, Invalidation
from routecache.routing.health_board import MAX_PROVIDERS, HealthBoard, Step
from routecache.routing.known import MAX_SOURCES, Known
from routecache.testing import ManualTimer

POLICY = HealthPolicy(report_ttl=300, source_ttls={"slow": 1000.0}, half_life=60, max_hold=300)


@pytest.fixture
def timer() -> ManualTimer:
    return ManualTimer()


@pytest.fixture
def board(timer: ManualTimer) -> HealthBoard:
    return HealthBoard(POLICY, timer)


def steps(board: HealthBoard, provider: str = "p") -> list[str]:
    """Do what is due, and say what it was, but for what hooks are told."""
    done: list[str] = []
    while (step := board.next_step(provider)) is not None:
        with step:
            if step.kind != "tell":
                done.append(step.kind)
    return done


def say(board: HealthBoard, healthy: bool, source: str = "router") -> list[str]:
    board.report("p", healthy, source, "")
    return steps(board)


def test_a_turn_is_due_once_and_its_end_too(board: HealthBoard) -> None:
    assert say(board, True) == []
    assert say(board, False) == ["drop"]
    assert say(board, False) == []
    assert board.provider_health() == {"p": False}
    assert say(board, True) == ["restore"]
    assert say(board, True) == []
    assert board.provider_health() == {"p": True}


def test_health_is_the_worst_of_the_sources(board: HealthBoard) -> None:
    assert say(board, False, "probe") == ["drop"]
    assert say(board, True, "router") == []
    assert say(board, False, "router") == []
    assert say(board, True, "probe") == []
    assert board.provider_health() == {"p": False}
    assert say(board, True, "router") == ["restore"]


def test_a_source_that_falls_silent_holds_nothing_down_and_tells_nothing_more(
    board: HealthBoard, timer: ManualTimer
) -> None:
    say(board, False, "probe")
    timer.advance(200)
    say(board, True, "router")
    timer.advance(99)
    assert board.provider_health() == {"p": False}
    timer.advance(1)
    assert board.provider_health() == {"p": True}, "the router still speaks"
    timer.advance(200)
    assert board.provider_health() == {}
    assert board.reports("p") == ()


def test_what_a_silent_source_held_down_is_restored_by_the_next_good_report(
    board: HealthBoard, timer: ManualTimer
) -> None:
    say(board, False, "probe")
    timer.advance(300)
    assert say(board, True, "router") == ["restore"]


def test_unhealthy_again_after_silence_is_a_turn_of_its_own(
    board: HealthBoard, timer: ManualTimer
) -> None:
    assert say(board, False) == ["drop"]
    timer.advance(300)
    assert say(board, False) == ["drop"], "entries that name it may have come back meanwhile"


def test_sources_may_have_a_time_of_their_own_that_their_parts_share(
    board: HealthBoard, timer: ManualTimer
) -> None:
    say(board, False, "slow:one")
    timer.advance(999)
    assert board.provider_health() == {"p": False}
    timer.advance(1)
    assert board.provider_health() == {}


def test_flapping_is_dropped_for_twice_and_then_held_until_it_is_over(
    board: HealthBoard, timer: ManualTimer
) -> None:
    seen: list[str] = []
    for _ in range(100):
        seen += say(board, False)
        timer.advance(0.5)
        seen += say(board, True)
        timer.advance(0.5)
    assert seen == ["drop", "restore", "drop", "restore", "drop"]
    assert board.provider_health() == {"p": False}, "though its last report was good"
    assert board.stats() == {
        "providers": 1,
        "unhealthy": 1,
        "held": 1,
        "turns": 100,
        "damped": 97,
    }
    timer.advance(298)
    assert say(board, True) == []
    timer.advance(2)
    assert board.provider_health() == {"p": True}
    assert say(board, True) == ["restore"]


def test_of_many_who_report_at_once_one_has_something_to_do(board: HealthBoard) -> None:
    board.report("p", False, "router", "")
    step = board.next_step("p")
    assert step is not None
    for _ in range(500):
        board.report("p", False, "router", "")
        assert board.next_step("p") is None
    with step:
        pass
    assert steps(board) == []


def test_what_happens_during_a_step_is_done_after_it(board: HealthBoard) -> None:
    board.report("p", False, "router", "")
    step = board.next_step("p")
    assert step is not None
    with step:
        board.report("p", True, "router", "")
        assert board.next_step("p") is None
    assert steps(board) == ["restore"]
    board.report("p", False, "router", "")
    step = board.next_step("p")
    assert step is not None
    with step:
        board.report("p", True, "router", "")
        board.report("p", False, "router", "")
    assert steps(board) == ["drop"], "something may have been stored while it was well"


def test_good_reports_during_a_restore_ask_for_no_other(board: HealthBoard) -> None:
    say(board, False)
    board.report("p", True, "router", "")
    step = board.next_step("p")
    assert step is not None
    with step:
        board.report("p", True, "router", "")
    assert steps(board) == []


def test_a_step_that_was_interrupted_is_due_again(board: HealthBoard) -> None:
    board.report("p", False, "router", "")
    step = board.next_step("p")
    assert step is not None
    with pytest.raises(InterruptedError), step:
        raise InterruptedError
    assert say(board, False) == ["drop"]


def test_a_provider_that_is_well_again_before_it_was_dropped_needs_nothing(
    board: HealthBoard,
) -> None:
    board.report("p", False, "router", "")
    board.report("p", True, "router", "")
    assert steps(board) == []


def test_a_status_that_says_unhealthy_lives_as_long_as_that_and_is_renewed_in_time(
    timer: ManualTimer,
) -> None:
    board = HealthBoard(HealthPolicy(report_ttl=100, unhealthy_status="down"), timer)
    board.report("p", False, "router", "")
    step = board.next_step("p")
    assert step is not None
    with step:
        assert (step.kind, step.status, step.ttl) == ("drop", "down", 100)
    timer.advance(49)
    assert say(board, False) == []
    timer.advance(1)
    board.report("p", False, "router", "")
    step = board.next_step("p")
    assert step is not None
    with step:
        assert (step.kind, step.status, step.ttl) == ("renew", "down", 100)
        assert step.told is None
    assert say(board, True) == ["restore"]


def stating(timer: ManualTimer, **policy: Any) -> HealthBoard:
    """A board that stores what it holds of an unhealthy provider, for two hours at most."""
    return HealthBoard(
        HealthPolicy(**{"unhealthy_status": "down", "status_ttl": 7200, **policy}), timer
    )


def stated(board: HealthBoard) -> list[tuple[str, float]]:
    """Do what is due, and say what it was and for how many seconds the status is stored."""
    done: list[tuple[str, float]] = []
    while (step := board.next_step("p")) is not None:
        with step:
            if step.kind != "tell":
                done.append((step.kind, round(step.ttl)))
    return done


def test_a_status_does_not_outlast_the_hold_that_it_is_left_with(timer: ManualTimer) -> None:
    """The source that called it unhealthy for longer has taken that back."""
    board = stating(timer, report_ttl=3600)
    for _ in range(3):  # the third turn holds it
        board.report("p", False, "router", "")
        board.report("p", True, "router", "")
    assert board.provider_health() == {"p": False}
    hold = round(60 * math.log2(3 / 0.75))
    assert stated(board) == [("drop", hold)]
    board.report("p", False, "router", "")
    assert stated(board) == [("renew", 3600)]
    timer.advance(29)
    board.report("p", True, "router", "")
    assert stated(board) == [], "it may take that back again at once"
    timer.advance(1)
    board.report("p", True, "router", "")
    [(kind, ttl)] = stated(board)
    assert kind == "renew"
    assert ttl < 300
    board.report("p", True, "router", "")
    assert stated(board) == [], "it says the same"


def test_a_status_lasts_as_long_as_the_source_that_is_patient_longest(timer: ManualTimer) -> None:
    board = stating(timer, report_ttl=100, source_ttls={"alertmanager": 7200.0})
    board.report("p", False, "router", "")
    assert stated(board) == [("drop", 100)]
    board.report("p", False, "alertmanager:1", "")
    assert stated(board) == [("renew", 7200)]
    timer.advance(30)
    board.report("p", True, "alertmanager:1", "")
    assert stated(board) == [("renew", 70)]


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"report_ttl": 1200},
        {"report_ttl": 3600},
        {"half_life": 120},
        {"half_life": 15, "max_hold": 60},
    ],
    ids=str,
)
@pytest.mark.parametrize("seconds", [0.3, 5, 10, 20])
def test_a_provider_that_flaps_is_stated_anew_twice_in_half_a_minute_at_most(
    timer: ManualTimer, policy: dict[str, Any], seconds: float
) -> None:
    """Good and bad reports that take turns each end what is told at another time."""
    board = stating(timer, **policy)
    renewed: list[float] = []
    for n in range(round(1200 / seconds)):
        board.report("p", n % 2 == 1, "router", "")
        renewed += [timer()] * [kind for kind, _ in stated(board)].count("renew")
        timer.advance(seconds)
    assert all(after - before >= 30 for before, after in zip(renewed, renewed[2:], strict=False))


def test_a_status_is_stored_for_no_longer_than_it_may_be_left_behind(timer: ManualTimer) -> None:
    """An alert counts for two hours; the process may end before, and be the only one who knew."""
    board = stating(timer, status_ttl=900)
    board.report("p", False, "alertmanager:1", "")
    assert stated(board) == [("drop", 900)]
    expires, renewed = timer() + 900, 0
    for _ in range(40):  # more than three hours of it, repeated each five minutes
        timer.advance(300)
        assert timer() < expires, "it never lapses in between"
        board.report("p", False, "alertmanager:1", "")
        for kind, ttl in stated(board):
            assert (kind, ttl) == ("renew", 900)
            expires, renewed = timer() + ttl, renewed + 1
    assert renewed == 20
    assert HealthPolicy().status_ttl == 900


@pytest.mark.parametrize("gone", [("p",), ()], ids=["one", "all"])
def test_a_status_that_somebody_forgot_is_stored_anew_by_the_next_bad_report(
    timer: ManualTimer, gone: tuple[str, ...]
) -> None:
    board = stating(timer)
    board.report("p", False, "router", "")
    assert stated(board) == [("drop", 300)]
    board.statuses_gone("another")
    board.report("p", False, "router", "")
    assert stated(board) == []
    board.statuses_gone(*gone)
    board.report("p", False, "router", "")
    assert stated(board) == [("renew", 300)]


def test_sources_that_disagree_state_it_anew_no_more_often(timer: ManualTimer) -> None:
    """One says bad all the time, so that nothing turns and nothing is held."""
    board = stating(timer, report_ttl=300, source_ttls={"slow": 7200.0})
    renewed: list[str] = []
    for n in range(600):
        board.report("p", False, "router", "")
        board.report("p", n % 2 == 0, "slow", "")
        renewed += [kind for kind, _ in stated(board) if kind == "renew"]
        timer.advance(0.5)
    assert board.stats()["held"] == 0
    assert 10 <= len(renewed) <= 22


def test_sources_and_providers_are_bounded_and_what_holds_down_stays_longest(
    board: HealthBoard, timer: ManualTimer
) -> None:
    say(board, False, "slow")
    for n in range(2 * MAX_SOURCES):
        timer.advance(1)
        say(board, n % 2 == 0, f"s{n}")
    reports = board.reports("p")
    assert len(reports) == MAX_SOURCES
    assert HealthReport(False, "slow", "") in reports
    for n in range(MAX_PROVIDERS):
        board.report(f"p{n}", False, "router", "")
    health = board.provider_health()
    assert len(health) == MAX_PROVIDERS
    assert "p" not in health, "it was reported longest ago"


def test_reports_do_not_wait_for_ten_thousand_verdicts(
    board: HealthBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that reports waits in its event loop, for as long as the lock is held."""
    for n in range(1000):
        board.report(f"p{n}", n % 2 == 0, "router", "")
    held: list[int] = []
    ill = Known.ill

    class Lock:
        def __enter__(self) -> None:
            held.append(0)

        def __exit__(self, *_: object) -> None:
            pass

    def counted(known: Known, now: float) -> bool:
        held[-1] += 1
        return ill(known, now)

    monkeypatch.setattr(Known, "ill", counted)
    board._lock = Lock()  # type: ignore[assignment]
    stats = board.stats()
    assert (stats["providers"], stats["unhealthy"]) == (1000, 500)
    assert sum(held) == 1000
    assert max(held) == 100


def test_a_reason_is_kept_cut_and_told(board: HealthBoard) -> None:
    board.report("p", False, "probe", "x" * 1000)
    assert board.reports("p") == (HealthReport(False, "probe", "x" * 200),)
    assert board.reports("unknown") == ()


def test_threads_that_report_at_once_leave_nothing_half_done(board: HealthBoard) -> None:
    done: list[str] = []
    gate = threading.Barrier(8)

    def work() -> None:
        gate.wait()
        for n in range(200):
            done.extend(say(board, n % 2 == 0))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done.count("drop") <= 3
    assert board.next_step("p") is None
    assert board.provider_health() == {"p": False}, "held, for it flapped"


def begin(board: HealthBoard, kind: str) -> Step:
    """The step that is due now, which is to be `kind`."""
    step = board.next_step("p")
    assert step is not None
    assert step.kind == kind
    return step


def hear(board: HealthBoard) -> list[str]:
    """Do all that is due, and say what hooks are told."""
    told: list[str] = []
    while (step := board.next_step("p")) is not None:
        with step:
            if step.told is not None:
                assert (step.told.provider, step.told.reason) == ("p", "health")
                told.append(step.told.cache)
    return told


def test_hooks_are_told_of_drops_and_restores_in_their_order_by_one_at_a_time(
    board: HealthBoard,
) -> None:
    board.report("p", False, "router", "")
    with begin(board, "drop"):
        assert board.next_step("p") is None
    with begin(board, "tell") as slow:
        assert slow.told == Invalidation("all", "p", "health")
        board.report("p", True, "router", "")
        with begin(board, "restore"):
            pass
        assert board.next_step("p") is None, "a restore is not heard before its drop"
    assert hear(board) == ["provider"]


def test_a_slow_hook_holds_up_no_drop_and_hears_of_many_turns_once(
    timer: ManualTimer,
) -> None:
    board = HealthBoard(HealthPolicy(suppress_over=100, reuse_under=99, max_hold=60), timer)
    board.report("p", False, "router", "")
    with begin(board, "drop"):
        pass
    with begin(board, "tell"):
        for _ in range(20):
            assert say(board, True) == ["restore"]
            assert say(board, False) == ["drop"]
    assert hear(board) == ["provider", "all"], "in the end it is down"


def test_what_hooks_did_not_all_hear_is_told_again_before_what_came_after(
    board: HealthBoard,
) -> None:
    board.report("p", False, "router", "")
    with begin(board, "drop"):
        pass
    telling = begin(board, "tell")
    say(board, True)
    board.done(telling, whole=False)
    assert hear(board) == ["all", "provider"]
    board.report("p", False, "router", "")
    with begin(board, "drop"):
        pass
    telling = begin(board, "tell")
    say(board, True)
    say(board, False)
    board.done(telling, whole=False)
    assert hear(board) == ["provider", "all"], "it heard of a drop after all"


def test_a_good_report_after_a_drop_that_was_cut_short_restores(board: HealthBoard) -> None:
    """Its status may be stored already, and stays in all processes until somebody ends it."""
    board.report("p", False, "router", "")
    with pytest.raises(InterruptedError), begin(board, "drop"):
        raise InterruptedError
    assert say(board, True) == ["restore"]
    assert say(board, True) == []


def test_a_restore_that_was_cut_short_is_done_by_the_next_good_report(board: HealthBoard) -> None:
    say(board, False)
    board.report("p", True, "router", "")
    with pytest.raises(InterruptedError), begin(board, "restore"):
        raise InterruptedError
    assert say(board, True) == ["restore"]


def test_good_news_of_one_source_too_many_pushes_no_bad_news_out(board: HealthBoard) -> None:
    for n in range(MAX_SOURCES):
        say(board, False, f"s{n}")
    say(board, True, "monitor")
    assert [report.healthy for report in board.reports("p")] == [False] * MAX_SOURCES


def test_a_forked_child_counts_from_zero_and_does_what_its_parent_was_at(
    board: HealthBoard,
) -> None:
    board.report("p", False, "router", "")
    assert board.next_step("p") is not None
    board.reset_after_fork()
    assert begin(board, "drop").kind == "drop"
    board.reset_after_fork()
    with begin(board, "drop"):
        pass
    assert begin(board, "tell").kind == "tell"
    board.reset_after_fork()
    assert hear(board) == ["all"]
    assert board.stats()["turns"] == 0
