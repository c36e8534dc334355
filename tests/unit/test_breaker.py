"""The circuit breaker: what opens it, what a refusal costs nobody, and how it closes again."""

import threading

import pytest

from routecache.breaker import CircuitBreaker, State
from routecache.testing import ManualTimer


@pytest.fixture
def timer() -> ManualTimer:
    return ManualTimer()


def opened(timer: ManualTimer) -> CircuitBreaker:
    breaker = CircuitBreaker(timer, reset=1.0, max_reset=8.0)
    for _ in range(5):
        assert breaker.allow()
        breaker.failed()
    assert breaker.state == "open"
    return breaker


def test_it_opens_after_five_failures_in_a_row_and_not_before(timer: ManualTimer) -> None:
    breaker = CircuitBreaker(timer)
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    assert breaker.allow()
    breaker.failed()
    assert not breaker.allow()


def test_it_opens_when_half_of_the_last_twenty_calls_failed(timer: ManualTimer) -> None:
    breaker = CircuitBreaker(timer)
    for i in range(20):
        assert breaker.state == "closed", i
        if i % 2:
            breaker.succeeded()
        else:
            breaker.failed()
    breaker.failed()
    assert breaker.state == "open"


def test_a_failure_now_and_then_leaves_it_closed(timer: ManualTimer) -> None:
    breaker = CircuitBreaker(timer)
    for i in range(1000):
        if i % 5:
            breaker.succeeded()
        else:
            breaker.failed()
    assert breaker.state == "closed"


def test_open_refuses_until_the_reset_time_and_then_lets_one_probe_through(
    timer: ManualTimer,
) -> None:
    breaker = opened(timer)
    timer.advance(0.49)
    assert not breaker.allow(), "jitter shortens by half at most"
    timer.advance(0.51)
    allowed: list[bool] = []
    barrier = threading.Barrier(16)

    def ask() -> None:
        barrier.wait(10)
        allowed.append(breaker.allow())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(allowed) == [False] * 15 + [True]
    assert breaker.state == "half_open"


def test_the_probes_outcome_closes_it_or_opens_it_for_longer(timer: ManualTimer) -> None:
    breaker = opened(timer)
    for wait in (1.0, 2.0, 4.0, 8.0, 8.0):
        timer.advance(wait * 0.499)
        assert not breaker.allow()
        timer.advance(wait * 0.501)
        assert breaker.allow()
        breaker.failed()
        assert breaker.state == "open"
    timer.advance(8.0)
    assert breaker.allow()
    breaker.succeeded()
    assert breaker.state == "closed"
    for _ in range(4):
        breaker.failed()
    assert breaker.state == "closed", "it starts anew"


def test_a_probe_that_never_ends_frees_its_place(timer: ManualTimer) -> None:
    breaker = opened(timer)
    timer.advance(1.0)
    assert breaker.allow()
    timer.advance(7.9)
    assert not breaker.allow()
    timer.advance(0.1)
    assert breaker.allow()


def test_a_probe_that_tells_nothing_hands_its_place_on(timer: ManualTimer) -> None:
    breaker = opened(timer)
    timer.advance(1.0)
    assert breaker.allow()
    breaker.abandoned()
    assert breaker.allow()
    closed = CircuitBreaker(timer)
    closed.abandoned()
    assert closed.state == "closed"


def test_late_failures_of_calls_from_before_do_not_prolong_an_open_circuit(
    timer: ManualTimer,
) -> None:
    breaker = opened(timer)
    for _ in range(50):
        breaker.failed()
    timer.advance(1.0)
    assert breaker.allow()


def test_each_outage_is_told_once_when_it_begins_and_when_it_ends(timer: ManualTimer) -> None:
    told: list[State] = []
    breaker = CircuitBreaker(timer, on_change=told.append)
    for _ in range(5):
        breaker.failed()
    for _ in range(3):
        timer.advance(10)
        assert breaker.allow()
        breaker.failed()
    timer.advance(10)
    assert breaker.allow()
    breaker.succeeded()
    assert told == ["open", "closed"]


def test_every_state_that_it_enters_is_told_and_probes_are_among_them(timer: ManualTimer) -> None:
    entered: list[State] = []
    breaker = CircuitBreaker(timer, reset=1.0, max_reset=8.0, on_enter=entered.append)
    for _ in range(5):
        breaker.failed()
    timer.advance(1.0)
    assert breaker.allow()
    breaker.abandoned()
    assert breaker.allow()
    breaker.failed()
    timer.advance(8.0)
    assert breaker.allow()
    breaker.succeeded()
    breaker.succeeded()
    assert entered == ["open", "half_open", "open", "half_open", "open", "half_open", "closed"]
