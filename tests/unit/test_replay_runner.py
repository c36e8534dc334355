"""Replaying: what is asked, when, and what is counted; against a router made of dicts."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from routecache_exporters.replay import policy
from routecache_exporters.replay.firsts import Seen
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.policy import Asked, Context
from routecache_exporters.replay.runner import CACHES, Replayer


class DictRouter:
    """A router that holds everything for ever; `held` is its shared second tier."""

    def __init__(self, held: dict[str, object] | None = None) -> None:
        self.held = {} if held is None else held
        self.local: dict[str, object] = {}

    def _get(self, key: str, loader: Callable[[], object], *, shared: bool = True) -> object:
        if key not in self.local:
            if shared and key in self.held:
                self.local[key] = self.held[key]
            else:
                self.local[key] = loader()
                if shared:
                    self.held[key] = self.local[key]
        return self.local[key]

    def get_provider_status(self, provider: str, *, loader: Callable[[], object]) -> object:
        return self._get(f"provider {provider}", loader)

    def get_model_selection(
        self,
        context: Context,
        *,
        loader: Callable[[], object],
        providers: Callable[[object], Sequence[str]],
    ) -> object:
        return self._get(f"model {context}", loader)

    def get_fallback_chain(
        self,
        context: Context,
        *,
        loader: Callable[[], object],
        providers: Callable[[object], Sequence[str]],
    ) -> object:
        return self._get(f"fallback {context}", loader)

    def get_normalized_tool(self, tool: str, *, loader: Callable[[], object]) -> object:
        return self._get(f"tool {tool}", loader, shared=False)


class WrongRouter(DictRouter):
    """Answers every model selection with the first one."""

    def get_model_selection(
        self,
        context: Context,
        *,
        loader: Callable[[], object],
        providers: Callable[[object], Sequence[str]],
    ) -> object:
        return self._get("model", loader)


class RaisingRouter(DictRouter):
    """Raises on every tool name."""

    def get_normalized_tool(self, tool: str, *, loader: Callable[[], object]) -> object:
        raise RuntimeError(tool)


class Clock:
    """A clock that passes only while somebody waits on its event."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now


class ClockEvent(threading.Event):
    """An event on which waiting takes no time but moves its clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.waits.append(timeout)
        self._clock.now += timeout
        return self.is_set()


def requests(n: int, distinct: int = 10) -> Iterator[Asked]:
    for i in range(n):
        yield Asked({"tokens": i % distinct}, policy.PROVIDERS[i % 3], f"tool{i % 2}", float(i))


def replayer(router: DictRouter) -> Replayer:
    return Replayer(router, Pace(None, threading.Event()))


def test_four_questions_per_request_and_exact_tallies() -> None:
    replay = replayer(DictRouter())
    assert replay.run(requests(100))
    assert replay.requests == 100
    assert {name: tally.requests for name, tally in replay.tallies.items()} == dict.fromkeys(
        CACHES, 100
    )
    assert {name: tally.loads for name, tally in replay.tallies.items()} == {
        "provider": 3, "model": 10, "fallback": 10, "tool": 2,
    }  # fmt: skip
    assert replay.wrong_answers == replay.exceptions == 0


def test_first_look_ups_are_told_from_repeated_ones() -> None:
    """The second process's first look-ups are answered by the shared tier, and it is seen."""
    held: dict[str, object] = {}
    first, second = replayer(DictRouter(held)), replayer(DictRouter(held))
    first.run(requests(50))
    second.run(requests(60, distinct=20))
    assert first.tallies["model"].first_l1_misses == 10
    assert first.tallies["model"].first_l1_misses_l2_hits == 0
    assert second.tallies["model"].first_l1_misses == 20
    assert second.tallies["model"].first_l1_misses_l2_hits == 10
    assert second.tallies["provider"].first_l1_misses_l2_hits == 3
    assert second.tallies["tool"].first_l1_misses == 0


def test_wrong_answers_are_counted() -> None:
    replay = replayer(WrongRouter())
    replay.run(requests(20))
    assert replay.tallies["model"].wrong_answers == 18
    assert replay.wrong_answers == 18


def test_a_call_that_raises_is_counted_and_the_replay_goes_on() -> None:
    replay = replayer(RaisingRouter())
    assert replay.run(requests(5))
    assert replay.exceptions == replay.tallies["tool"].exceptions == 5
    assert replay.first_exception == "RuntimeError: tool0"
    assert replay.tallies["model"].requests == 5


@pytest.mark.parametrize(("limit", "asked"), [(0, 0), (1, 1), (7, 7), (100, 10), (None, 10)])
def test_the_limit(limit: int | None, asked: int) -> None:
    replay = replayer(DictRouter())
    assert replay.run(requests(10), limit=limit)
    assert replay.requests == asked


def test_a_replay_is_stopped_between_requests() -> None:
    stop = threading.Event()
    replay = Replayer(DictRouter(), Pace(None, stop))

    def progress() -> None:
        if replay.requests == 3:
            stop.set()

    assert not replay.run(requests(10), progress=progress)
    assert replay.requests == 3


@pytest.mark.parametrize(("speed", "passes"), [(1.0, 9.0), (10.0, 0.9)])
def test_requests_come_at_the_logged_times(speed: float, passes: float) -> None:
    clock = Clock()
    pace = Pace(speed, ClockEvent(clock), clock)
    replay = Replayer(DictRouter(), pace, timer=clock)
    replay.run(requests(10))
    assert replay.elapsed == pytest.approx(passes)
    assert pace.behind == pytest.approx(0)


def test_the_cost_is_spent_once_per_load_and_may_put_the_replay_behind() -> None:
    clock = Clock()
    pace = Pace(10.0, ClockEvent(clock), clock)
    replay = Replayer(DictRouter(), pace, cost=0.5, timer=clock)
    replay.run(requests(2, distinct=2))
    assert clock.waits.count(0.5) == sum(tally.loads for tally in replay.tallies.values()) == 8
    assert pace.behind == pytest.approx(4 * 0.5 - 0.1)


def test_at_speed_max_nothing_waits() -> None:
    clock = Clock()
    replay = Replayer(DictRouter(), Pace(None, ClockEvent(clock), clock), timer=clock)
    replay.run(requests(10))
    assert clock.waits == []


def test_a_row_out_of_order_is_late_by_its_log_and_not_by_the_replay() -> None:
    clock = Clock()
    pace = Pace(1.0, ClockEvent(clock), clock)
    for at in (100.0, 3700.0, 100.0, 3701.0):
        assert pace.wait(at)
    assert pace.behind == pytest.approx(0)
    assert (pace.order.late, pace.order.most) == (1, 3600.0)


def test_rows_out_of_order_do_not_wait() -> None:
    clock = Clock()
    pace = Pace(1.0, ClockEvent(clock), clock)
    for at in (10.0, 12.0, 11.0, 13.0):
        assert pace.wait(at)
    assert clock.waits == [2.0, 1.0]


def test_seen_never_calls_a_repeated_key_new_and_seldom_a_new_one_repeated() -> None:
    seen = Seen()
    new = sum(seen.first(f"key {i}") for i in range(50_000))
    assert new >= 49_990
    assert not any(seen.first(f"key {i}") for i in range(50_000))
    assert seen.first("lone surrogate \ud800")
