"""The monitors probe in time, report what they find, and end. Nothing here sleeps."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from routecache import (
    AsyncRoutingCache,
    CacheClosedError,
    ConfigurationError,
    RoutingCache,
    RoutingSettings,
)
from routecache.routing.async_monitor import AsyncHealthMonitor
from routecache.routing.health import HealthReport
from routecache.routing.monitor import HealthMonitor
from routecache.routing.probing import MonitorPolicy, Rounds, verdict
from routecache.testing import ManualTimer
from tests.helpers import eventually, in_loop

MEMORY_ONLY = RoutingSettings(enable_redis=False)
POLICY = MonitorPolicy(interval=10, jitter=0, timeout=5, max_in_flight=2)


def names(runs: list[Any]) -> list[str]:
    return [run.provider for run in runs]


def test_providers_are_due_at_once_and_then_at_each_interval() -> None:
    timer = ManualTimer()
    rounds = Rounds("ab", POLICY, timer)
    runs = rounds.begin()
    assert names(runs) == ["a", "b"]
    assert rounds.wait() == 5, "then they are late"
    assert all(rounds.end(run) for run in runs)
    assert rounds.begin() == []
    assert rounds.wait() == 10
    timer.advance(10)
    assert names(rounds.begin()) == ["a", "b"]


def test_no_more_probes_run_than_are_allowed_and_who_waits_longest_is_next() -> None:
    timer = ManualTimer()
    rounds = Rounds("abc", POLICY, timer)
    first = rounds.begin()
    assert names(first) == ["a", "b"]
    assert rounds.begin() == []
    timer.advance(1)
    rounds.end(first[0])
    assert rounds.wait() == 0
    assert names(rounds.begin()) == ["c"]


def test_jitter_shortens_intervals_only() -> None:
    timer = ManualTimer()
    for drawn, expected in ((0.0, 10.0), (1.0, 8.0)):
        policy = MonitorPolicy(interval=10, jitter=0.2)
        rounds = Rounds("a", policy, timer, lambda drawn=drawn: drawn)  # type: ignore[misc]
        rounds.end(rounds.begin()[0])
        assert rounds.wait() == pytest.approx(expected)


def test_a_probe_that_hangs_is_told_at_its_time_out_and_at_each_interval_after() -> None:
    timer = ManualTimer()
    rounds = Rounds("a", POLICY, timer)
    (run,) = rounds.begin()
    timer.advance(4.9)
    assert rounds.late() == []
    timer.advance(0.1)
    assert rounds.late() == [run]
    assert rounds.late() == []
    assert rounds.wait() == 5
    timer.advance(5)
    assert rounds.late() == [run]
    assert rounds.begin() == [], "once at a time"
    assert rounds.end(run) is False, "too late to count"
    assert rounds.end(run) is False
    timer.advance(10)
    assert names(rounds.begin()) == ["a"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, (True, "")),
        (False, (False, "unhealthy")),
        (None, (False, "answered NoneType")),
        (1, (False, "answered int")),
        (OSError("secret"), (False, "OSError")),
    ],
)
def test_only_true_is_healthy_and_no_text_is_told(
    answer: object, expected: tuple[bool, str]
) -> None:
    assert verdict(answer) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [("interval", 0), ("timeout", -1), ("jitter", 1), ("jitter", True), ("max_in_flight", 0),
     ("max_in_flight", 1.5)],
)  # fmt: skip
def test_a_field_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        MonitorPolicy(**{field: value})  # type: ignore[arg-type]


# The two monitors


class Sync:
    """A `HealthMonitor` whose clock the test moves; `probes` give or raise what they hold."""

    def __init__(self, *providers: str, policy: MonitorPolicy = POLICY) -> None:
        self.timer = ManualTimer()
        self.cache = RoutingCache(MEMORY_ONLY, timer=self.timer)
        self.answers: dict[str, Any] = dict.fromkeys(providers, True)
        self.asked: list[str] = []
        self.monitor = HealthMonitor(
            self.cache,
            {provider: self.probe(provider) for provider in providers},
            policy=policy,
            timer=self.timer,
        )

    def probe(self, provider: str) -> Callable[[], bool]:
        def ask() -> Any:
            self.asked.append(provider)
            answer = self.answers[provider]
            if isinstance(answer, threading.Event):
                assert answer.wait(30)
                return True
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return ask

    def said(self, provider: str, healthy: bool, reason: str = "") -> bool:
        return eventually(
            lambda: (
                self.cache.provider_reports(provider) == (HealthReport(healthy, "monitor", reason),)
            )
        )


def test_what_probes_find_is_reported_and_so_is_the_recovery() -> None:
    it = Sync("well", "ill", policy=MonitorPolicy(interval=10, jitter=0, timeout=5))
    it.answers["ill"] = OSError("secret")
    with it.cache:
        it.cache.set_model_selection({"q": 1}, "m", providers=["ill"])
        assert it.monitor.tick() <= 10
        assert it.said("well", True)
        assert it.said("ill", False, "OSError")
        assert it.cache.get_model_selection({"q": 1}) is None
        it.answers["ill"] = True
        it.timer.advance(10)
        it.monitor.tick()
        assert it.said("ill", True)
        it.monitor.close()


def test_a_probe_that_hangs_is_reported_holds_no_other_up_and_is_not_asked_twice() -> None:
    it = Sync("hangs", "well")
    go_on = it.answers["hangs"] = threading.Event()
    with it.cache:
        it.monitor.tick()
        assert it.said("well", True)
        it.timer.advance(5)
        it.monitor.tick()
        assert it.said("hangs", False, "timeout")
        it.timer.advance(5)
        it.monitor.tick()
        assert eventually(lambda: it.asked.count("well") == 2)
        assert it.asked.count("hangs") == 1
        go_on.set()
        assert eventually(lambda: not it.monitor._rounds._running)
        assert it.said("hangs", False, "timeout"), "its late answer does not count"
        it.answers["hangs"] = True
        it.timer.advance(10)
        it.monitor.tick()
        assert it.said("hangs", True)
        it.monitor.close()


@pytest.mark.parametrize("raised", [asyncio.CancelledError(), SystemExit(1), GeneratorExit()])
def test_whatever_a_probe_raises_is_unhealthy_and_it_is_asked_again(raised: BaseException) -> None:
    it = Sync("a")
    it.answers["a"] = raised
    with it.cache:
        it.monitor.tick()
        assert it.said("a", False, type(raised).__name__)
        assert eventually(lambda: not it.monitor._running)
        it.answers["a"] = True
        it.timer.advance(10)
        it.monitor.tick()
        assert it.said("a", True)
        it.monitor.close()


def test_a_probe_that_finds_no_thread_is_asked_again_and_the_monitor_can_be_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = Sync("a")
    start = threading.Thread.start

    def none_left(thread: threading.Thread) -> None:
        if thread.name.startswith("routecache-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with it.cache:
        monkeypatch.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError, match="new thread"):
            it.monitor.start()
        it.monitor.tick()
        assert "a probe could not be started: RuntimeError" in caplog.text
        assert it.cache.provider_reports("a") == ()
        monkeypatch.setattr(threading.Thread, "start", start)
        it.monitor.stop()
        it.monitor.start()
        assert it.said("a", True)
        it.monitor.close()


def test_a_monitor_that_is_stopped_while_it_turns_to_its_probes_begins_none() -> None:
    it = Sync("a")
    turned, go_on = threading.Event(), threading.Event()
    tick = it.monitor.tick

    def late() -> float:
        turned.set()
        assert go_on.wait(30)
        return tick()

    it.monitor.tick = late  # type: ignore[method-assign]
    with it.cache:
        it.monitor.start()
        assert turned.wait(30)
        stopping = threading.Thread(target=it.monitor.stop)
        stopping.start()
        assert eventually(lambda: it.monitor._stopping)
        go_on.set()
        stopping.join(30)
        assert not it.monitor._running
        assert it.asked == []


def test_a_running_monitor_probes_by_itself_until_it_is_closed() -> None:
    it = Sync("a")
    before = threading.active_count()
    with it.cache, it.monitor:
        it.monitor.start()
        assert it.said("a", True)
        asked = len(it.asked)
        it.timer.advance(10)
        it.monitor._wake.set()  # its own wait is in real time
        assert eventually(lambda: len(it.asked) > asked)
    it.monitor.close()
    assert eventually(lambda: threading.active_count() <= before)
    with pytest.raises(CacheClosedError):
        it.monitor.start()


def test_a_stopped_monitor_reports_nothing_and_may_be_started_again() -> None:
    it = Sync("slow", policy=MonitorPolicy(interval=10, jitter=0, timeout=0.05))
    go_on = it.answers["slow"] = threading.Event()
    with it.cache:
        it.monitor.start()
        assert eventually(lambda: it.asked == ["slow"])
        it.monitor.stop()
        go_on.set()
        assert eventually(lambda: not it.monitor._running)
        assert it.cache.provider_reports("slow") == ()
        it.monitor.start()
        assert it.said("slow", True)
        it.monitor.close()


def test_a_cache_that_was_closed_breaks_no_monitor(caplog: pytest.LogCaptureFixture) -> None:
    it = Sync("a")
    it.answers["a"] = False
    it.cache.close()
    it.monitor.tick()
    assert eventually(lambda: "CacheClosedError" in caplog.text)
    it.monitor.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
def test_a_forked_child_has_no_monitor_until_it_starts_one() -> None:
    it = Sync("a")
    with it.cache, it.monitor:
        assert it.said("a", True)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                still = it.monitor._thread is not None
                it.asked.clear()
                it.monitor.start()
                code = 0 if not still and eventually(lambda: it.asked == ["a"]) else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@in_loop
async def test_coroutine_probes_are_reported_cancelled_when_late_and_at_the_end() -> None:
    timer, cancelled = ManualTimer(), []
    answers: dict[str, Any] = {"well": True, "ill": OSError("secret"), "none": None}

    async def hangs() -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append("hangs")
        return True

    def probe(provider: str) -> Callable[[], Any]:
        async def ask() -> Any:
            if isinstance(answers[provider], Exception):
                raise answers[provider]
            return answers[provider]

        return ask

    async def turns() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        monitor = AsyncHealthMonitor(
            cache,
            {"hangs": hangs, **{name: probe(name) for name in answers}},
            policy=MonitorPolicy(interval=10, jitter=0, timeout=5),
            timer=timer,
        )
        await monitor.tick()
        await turns()
        assert cache.provider_health() == {"well": True, "ill": False, "none": False}
        timer.advance(5)
        await monitor.tick()
        await turns()
        assert cache.provider_reports("hangs") == (HealthReport(False, "monitor", "timeout"),)
        assert cancelled == ["hangs"]
        assert not monitor._running
        answers["ill"] = True
        timer.advance(5)
        await monitor.tick()
        await turns()
        assert cache.provider_health()["ill"] is True
        await monitor.close()
        assert cancelled == ["hangs", "hangs"]
        with pytest.raises(CacheClosedError):
            monitor.start()


@in_loop
async def test_a_running_asyncio_monitor_probes_by_itself_and_leaves_no_task_behind() -> None:
    timer, asked = ManualTimer(), asyncio.Event()

    async def probe() -> bool:
        asked.set()
        return True

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        before = len(asyncio.all_tasks())
        async with AsyncHealthMonitor(cache, {"a": probe}, policy=POLICY, timer=timer) as monitor:
            monitor.start()
            await asyncio.wait_for(asked.wait(), 10)
            asked.clear()
            timer.advance(10)
            monitor._wake.set()
            await asyncio.wait_for(asked.wait(), 10)
        assert len(asyncio.all_tasks()) == before
        assert cache.provider_health() == {"a": True}


@in_loop
async def test_a_coroutine_probe_that_raises_a_cancellation_of_its_own_is_unhealthy() -> None:
    async def probe() -> bool:
        raise asyncio.CancelledError

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        monitor = AsyncHealthMonitor(cache, {"a": probe}, policy=POLICY)
        await monitor.tick()
        await asyncio.gather(*monitor._running.values(), return_exceptions=True)
        assert cache.provider_reports("a") == (HealthReport(False, "monitor", "CancelledError"),)
        await monitor.close()


@in_loop
async def test_a_coroutine_probe_that_heeds_no_cancellation_holds_up_no_end() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def stubborn() -> bool:
        begun.set()
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        return True

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        policy = MonitorPolicy(interval=10, jitter=0, timeout=0.01)
        monitor = AsyncHealthMonitor(cache, {"a": stubborn}, policy=policy)
        monitor.start()
        await asyncio.wait_for(begun.wait(), 10)
        await asyncio.wait_for(monitor.close(), 10)
        left = list(monitor._running.values())
        assert len(left) == 1
        go_on.set()
        await asyncio.gather(*left)
        assert all(report.reason == "timeout" for report in cache.provider_reports("a"))
