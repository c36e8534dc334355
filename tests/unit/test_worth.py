"""What a cache avoids and what it costs, in seconds, as books.py defines them.

A command takes 0.25 s here, so that the round trips of a call can be counted in its overhead.
"""

import threading
from collections.abc import Callable, Sequence

import pytest

from routecache import MISS, BaseCacheManager, Policy, snapshot
from routecache.errors import RemoteError
from routecache.testing import FakeRemote, ManualTimer
from tests.helpers import eventually


class Slow(FakeRemote):
    """An L2 whose every command takes `seconds` of the timer."""

    seconds = 0.25

    def _command(self, operation: str) -> RemoteError | None:
        self.timer.advance(self.seconds)
        return super()._command(operation)


@pytest.fixture
def timer() -> ManualTimer:
    return ManualTimer()


def worth(cache: BaseCacheManager) -> tuple[float, float]:
    """Seconds avoided and seconds spent."""
    (seen,) = [seen for seen in snapshot().caches if seen.name == cache.name]
    return round(seen.load_seconds_avoided, 6), round(seen.overhead_seconds, 6)


def taking(timer: ManualTimer, seconds: float, value: object = "v") -> Callable[[], object]:
    def load() -> object:
        timer.advance(seconds)
        return value

    return load


def test_a_load_is_no_overhead_and_the_round_trips_around_it_are(timer: ManualTimer) -> None:
    policy = Policy(l2_timeout=10)
    with BaseCacheManager(redis_client=Slow(timer), timer=timer, policy=policy, name="w1") as cache:
        cache.get_or_load("k", taking(timer, 8.0))
        assert worth(cache) == (0, 0.5)  # the read with its lease, and the store


def test_a_failing_load_is_no_overhead_either(timer: ManualTimer) -> None:
    def fail() -> object:
        timer.advance(8.0)
        raise LookupError

    with BaseCacheManager(redis_client=Slow(timer), timer=timer, name="w2") as cache:
        with pytest.raises(LookupError):
            cache.get_or_load("k", fail)
        assert worth(cache) == (0, 0.25)


def test_every_hit_of_l2_avoids_the_load_whose_time_came_with_the_value(
    timer: ManualTimer,
) -> None:
    remote, policy = Slow(timer), Policy(l2_timeout=10)
    with (
        BaseCacheManager(
            redis_client=remote, timer=timer, policy=policy, cache_prefix="w3", name="w3a"
        ) as one,
        BaseCacheManager(
            redis_client=remote, timer=timer, policy=policy, cache_prefix="w3", name="w3b"
        ) as other,
    ):
        one.get_or_load("loaded", taking(timer, 8.0))
        one.set("stated", 1)
        assert other.get("loaded") == "v"
        assert other.get("stated") == 1
        assert other.get("absent", MISS) is MISS
        assert worth(other) == (8.0, 0.75)


def test_hits_of_l1_avoid_their_load_each_as_far_as_they_are_sampled(timer: ManualTimer) -> None:
    with BaseCacheManager(enable_redis=False, l1_ttl=1000, timer=timer, name="w4") as cache:
        cache.get_or_load("loaded", taking(timer, 2.0))
        cache.set("stated", 1)
        for _ in range(30_000):
            cache.get("loaded")
            cache.get("stated")
        avoided, _ = worth(cache)
        # 2 s for each second hit. Of some 470 samples, about half are of each key: the standard
        # deviation is a twentieth.
        assert 0.7 * 60_000 <= avoided <= 1.3 * 60_000


def test_a_hit_off_the_hit_path_counts_for_itself_and_in_no_sample(timer: ManualTimer) -> None:
    policy = Policy(copy_on_get=True)
    with BaseCacheManager(enable_redis=False, timer=timer, policy=policy, name="w5") as cache:
        cache.get_or_load("k", taking(timer, 2.0, value=[1]))
        for _ in range(300):
            cache.get("k")
        assert worth(cache)[0] == 600
        cache.set("plain", 1)
        for _ in range(200):  # at least one of them is sampled
            cache.get("plain")
        assert worth(cache)[0] == 600


def test_a_batch_spends_its_time_once(timer: ManualTimer) -> None:
    with BaseCacheManager(redis_client=Slow(timer), timer=timer, name="w6") as cache:
        cache.get_many([f"k{i}" for i in range(8)])
        assert worth(cache) == (0, 0.25)


def test_writes_deletes_and_tag_invalidations_are_overhead_and_clear_is_not(
    timer: ManualTimer,
) -> None:
    calls: Sequence[Callable[[BaseCacheManager], object]] = (
        lambda cache: cache.set("k", 1),
        lambda cache: cache.set_many({"k": 1, "l": 2}),
        lambda cache: cache.delete("k"),
        lambda cache: cache.delete_many(["k", "l"]),
        lambda cache: cache.invalidate_tags("t"),
    )
    with BaseCacheManager(redis_client=Slow(timer), timer=timer, name="w7") as cache:
        for n, call in enumerate(calls, start=1):
            call(cache)
            assert worth(cache) == (0, 0.25 * n), n
        cache.clear()
        assert worth(cache) == (0, 0.25 * len(calls))


def test_who_waits_for_another_callers_load_spends_nothing(timer: ManualTimer) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load() -> str:
        loading.set()
        assert go_on.wait(10)
        timer.advance(8.0)
        return "v"

    with BaseCacheManager(enable_redis=False, timer=timer, name="w8") as cache:
        callers = [threading.Thread(target=cache.get_or_load, args=("k", load)) for _ in range(4)]
        callers[0].start()
        assert loading.wait(10)
        for caller in callers[1:]:
            caller.start()
        (flight,) = cache.core.flights._flying.values()
        eventually(lambda: len(flight.future._condition._waiters) == 3)  # type: ignore[attr-defined]
        go_on.set()
        for caller in callers:
            caller.join(10)
        assert cache.get_stats()["coalesced"] == 3
        assert worth(cache) == (0, 0)


def test_a_stale_answer_that_waited_for_no_load_avoids_it_and_one_after_a_failure_does_not(
    timer: ManualTimer,
) -> None:
    def fail() -> object:
        raise LookupError

    policy = Policy(stale_if_error=100)
    with BaseCacheManager(
        enable_redis=False, l1_ttl=10, timer=timer, policy=policy, name="w9"
    ) as cache:
        cache.get_or_load("k", taking(timer, 2.0))
        timer.advance(11)
        assert cache.get_or_load("k", fail) == "v"
        assert worth(cache) == (0, 0)

    policy = Policy(stale_ttl=100)
    with BaseCacheManager(
        enable_redis=False, l1_ttl=10, timer=timer, policy=policy, name="w10"
    ) as cache:
        cache.get_or_load("k", taking(timer, 2.0))
        timer.advance(11)
        assert cache.get_or_load("k", lambda: "v") == "v"
        eventually(lambda: cache.get_stats()["loads"] == 2)
        assert worth(cache) == (2.0, 0)


def test_waiting_for_another_processs_load_is_no_overhead(timer: ManualTimer) -> None:
    remote = Slow(timer)
    policy = Policy(distributed_lock=True, l2_timeout=10)
    options = {"redis_client": remote, "timer": timer, "policy": policy, "cache_prefix": "w11"}
    with (
        BaseCacheManager(name="w11a", **options) as holder,  # type: ignore[arg-type]
        BaseCacheManager(name="w11b", **options) as waiter,  # type: ignore[arg-type]
    ):
        begun, go_on, asleep = threading.Event(), threading.Event(), threading.Event()

        def load() -> str:
            begun.set()
            assert go_on.wait(10)
            return "v"

        news = waiter.core.news

        def watched(read: object) -> object:
            found = news(read)  # type: ignore[arg-type]
            if not asleep.is_set():
                timer.advance(8.0)  # it sleeps for so long
                asleep.set()
            return found

        waiter.core.news = watched  # type: ignore[method-assign, assignment]
        loader = threading.Thread(target=holder.get_or_load, args=("k", load))
        loader.start()
        assert begun.wait(10)
        waiting = threading.Thread(target=waiter.get_or_load, args=("k", lambda: "not loaded"))
        waiting.start()
        assert asleep.wait(10)
        go_on.set()
        loader.join(10)
        waiting.join(10)
        assert waiter.get("k") == "v"
        commands = remote.commands
        assert worth(waiter)[1] <= 0.25 * len(commands) < 8.0
