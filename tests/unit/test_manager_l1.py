"""BaseCacheManager in memory: values, keys, counts, and one load per key."""

import gc
import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from routecache import (
    MISS,
    BaseCacheManager,
    CacheClosedError,
    LoadTimeoutError,
    Policy,
    SerializationError,
    caches,
    snapshot,
)
from routecache.testing import ManualTimer
from tests.helpers import eventually


def make(**options: Any) -> BaseCacheManager:
    """A manager in memory with a name, and so with counts, of its own."""
    return BaseCacheManager(enable_redis=False, **({"name": uuid.uuid4().hex} | options))


@pytest.fixture
def cache() -> Iterator[BaseCacheManager]:
    with make() as cache:
        yield cache


def spawn(n: int, work: Any) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}], ids=repr)
def test_a_falsy_value_is_a_hit(cache: BaseCacheManager, value: Any) -> None:
    cache.set("k", value)
    assert cache.get("k", MISS) == value
    assert cache.get_or_load("k", lambda: "loaded") == value
    assert cache.get_many(["k"]) == {"k": value}
    assert cache.get_stats()["misses"] == 0


def test_miss_refuses_to_be_tested_for_truth(cache: BaseCacheManager) -> None:
    assert cache.get("k") is None
    assert cache.get("k", MISS) is MISS
    with pytest.raises(TypeError, match="is MISS"):
        bool(cache.get("k", MISS))
    assert repr(MISS) == "MISS"


@pytest.mark.parametrize("key", ["", 1, None, b"k", ["k"], ("k",)], ids=repr)
def test_a_key_is_a_non_empty_str(cache: BaseCacheManager, key: Any) -> None:
    for call in (
        lambda: cache.get(key),
        lambda: cache.set(key, 1),
        lambda: cache.delete(key),
        lambda: cache.get_many(["k", key]),
        lambda: cache.delete_many([key]),
        lambda: cache.get_or_load(key, lambda: 1),
        lambda: cache.ttl(key),
        lambda: cache.invalidate_tags(key),
    ):
        with pytest.raises(TypeError, match="non-empty str"):
            call()
    assert cache.get_stats()["requests"] == 0, "what is refused is no look-up"


@pytest.mark.parametrize("key", ["a}b{", "a\nb", "\ud800", "k" * 10_000, "ключ"], ids=repr)
def test_any_str_will_do_as_a_key(cache: BaseCacheManager, key: str) -> None:
    cache.set(key, 1)
    assert cache.get(key) == 1


def test_entries_live_for_their_ttl_and_calls_may_give_their_own() -> None:
    timer = ManualTimer()
    with make(l1_ttl=10, timer=timer) as cache:
        cache.set("k", 1)
        cache.set("long", 1, ttl=100)
        cache.set("short", 1, ttl=0.5)
        assert (cache.ttl("k"), cache.ttl("long"), cache.ttl("none")) == (10, 100, None)
        timer.advance(0.5)
        assert cache.get("short", MISS) is MISS
        timer.advance(9.5)
        assert cache.get("k", MISS) is MISS
        assert cache.get("long") == 1
        assert len(cache) == 1
        assert cache.get_stats()["misses_by_reason"] == {"expired": 2}


def test_jitter_shortens_and_never_lengthens() -> None:
    with make(l1_ttl=100, policy=Policy(ttl_jitter=0.2), timer=ManualTimer()) as cache:
        cache.set_many({f"k{i}": i for i in range(100)})
        left = [cache.ttl(f"k{i}") or 0.0 for i in range(100)]
        assert 80 <= min(left) < 85
        assert 95 < max(left) <= 100


def test_a_value_that_l2_could_not_carry_is_refused_in_memory_too(cache: BaseCacheManager) -> None:
    with pytest.raises(SerializationError, match=r"value\['a'\] is tuple"):
        cache.set("k", {"a": (1,)})
    with pytest.raises(SerializationError):
        cache.get_or_load("k", lambda: {1})
    assert cache.get("k", MISS) is MISS


def test_a_closed_manager_refuses_calls_and_closes_twice() -> None:
    cache = make()
    cache.set("k", 1)
    cache.close()
    cache.close()
    for call in (
        lambda: cache.get("k"),
        lambda: cache.set("k", 1),
        lambda: cache.get_or_load("k", lambda: 1),
        cache.clear,
        cache.__enter__,
    ):
        with pytest.raises(CacheClosedError):
            call()
    assert cache not in caches()


def test_an_empty_cache_is_true_and_shows_its_state(cache: BaseCacheManager) -> None:
    assert len(cache) == 0
    assert bool(cache) is True
    assert "l1=0/100" in repr(cache)
    assert set(cache.get_stats()) >= {
        "l1_hits", "l2_hits", "misses", "errors", "sets", "deletes", "evictions", "hit_ratio",
        "l1_hit_ratio", "l2_hit_ratio", "l1_size", "l1_maxsize", "redis_available",
    }  # fmt: skip


def test_statistics_of_a_known_sequence_are_exact() -> None:
    with make(l1_maxsize=2) as cache:
        for key in "abc":
            cache.set(key, key)
        assert [cache.get(key) for key in "abc"].count(None) == 1
        cache.delete("c")
        cache.get_or_load("d", lambda: 1)
        stats = cache.get_stats()
        expected = {
            "requests": 4, "l1_hits": 2, "l2_hits": 0, "misses": 2, "sets": 4, "deletes": 1,
            "evictions": 1, "loads": 1, "errors": 0, "hit_ratio": 0.5, "l1_hit_ratio": 0.5,
            "l2_hit_ratio": 0.0, "l1_size": 2, "l1_maxsize": 2, "redis_available": False,
        }  # fmt: skip
        assert {key: stats[key] for key in expected} == expected


def test_counts_equal_the_callers_own_tally_under_threads() -> None:
    with make(l1_maxsize=50) as cache:
        tallies: list[Counter[str]] = []

        def load(loaded: list[int]) -> int:
            loaded.append(1)
            return 1

        def work() -> None:
            tally: Counter[str] = Counter()
            rng = random.Random(len(tallies))
            for _ in range(3000):
                key = f"k{rng.randrange(80)}"
                match rng.randrange(6):
                    case 0:
                        cache.set(key, 1)
                        tally["sets"] += 1
                    case 1:
                        cache.delete(key)
                        tally["deletes"] += 1
                    case 2:
                        tally["requests"] += 3
                        tally["hits"] += len(cache.get_many([key, "x", "y"]))
                    case 3:
                        loaded: list[int] = []
                        cache.get_or_load(key, partial(load, loaded))
                        tally["requests"] += 1
                        tally["loads"] += len(loaded)
                    case _:
                        tally["requests"] += 1
                        tally["hits"] += cache.get(key, MISS) is not MISS
            tallies.append(tally)

        join(spawn(8, work))
        total = sum(tallies, Counter())
        stats = cache.get_stats()
        assert stats["requests"] == total["requests"]
        assert stats["loads"] == total["loads"]
        assert stats["deletes"] == total["deletes"]
        assert stats["sets"] == total["sets"] + total["loads"]
        assert stats["l1_hits"] >= total["hits"]
        assert stats["l1_hits"] + stats["misses"] == stats["requests"]


def test_counters_outlive_managers_and_managers_of_one_name_add_up() -> None:
    name = uuid.uuid4().hex
    first, second = make(name=name), make(name=name, l1_maxsize=7)
    first.set("k", 1)
    second.set("k", 1)
    assert [first.get("k"), second.get("k")] == [1, 1]

    def seen() -> Any:
        return next(cache for cache in snapshot().caches if cache.name == name)

    assert (seen().l1_hits, seen().l1_entries, seen().l1_max_entries) == (2, 2, 107)
    first.close()
    assert (seen().l1_hits, seen().l1_entries, seen().l1_max_entries) == (2, 1, 7)
    second.close()
    assert (seen().l1_hits, seen().l1_entries, seen().l1_max_entries) == (2, 0, 0)


def test_a_manager_that_nobody_holds_leaves_the_list() -> None:
    name = uuid.uuid4().hex
    make(name=name)
    gc.collect()
    assert name not in [cache.name for cache in caches()]


def test_thirty_two_callers_of_one_key_share_one_load(cache: BaseCacheManager) -> None:
    calls: list[int] = []
    gate, got = threading.Event(), []

    def load() -> str:
        calls.append(1)
        assert gate.wait(10)
        return "v"

    threads = spawn(32, lambda: got.append(cache.get_or_load("k", load)))
    assert eventually(lambda: snapshot_of(cache).loads_in_flight == 1)
    gate.set()
    join(threads)
    assert got == ["v"] * 32
    assert len(calls) == 1
    stats = cache.get_stats()
    assert stats["requests"] == 32
    assert stats["loads"] == 1
    assert stats["misses"] == 1 + stats["coalesced"]


def snapshot_of(cache: BaseCacheManager) -> Any:
    return next(seen for seen in snapshot().caches if seen.name == cache.name)


def waiting(cache: BaseCacheManager, n: int) -> None:
    """Until `n` callers wait for the flight of "k"."""

    def waiters() -> int:
        flight = cache.core.flights._flying.get("k")
        return len(flight.future._condition._waiters) if flight else 0  # type: ignore[attr-defined]

    assert eventually(lambda: waiters() >= n)


def test_a_loaders_error_reaches_those_who_wait_for_it_and_nobody_later(
    cache: BaseCacheManager,
) -> None:
    gate, errors = threading.Event(), []

    def fail() -> None:
        assert gate.wait(10)
        raise ZeroDivisionError

    def ask() -> None:
        try:
            cache.get_or_load("k", fail)
        except ZeroDivisionError as error:
            errors.append(error)

    threads = spawn(8, ask)
    waiting(cache, 7)
    gate.set()
    join(threads)
    assert len(errors) == 8
    assert cache.get_or_load("k", lambda: "fine") == "fine"
    assert snapshot_of(cache).load_failures == {"error": 1}


def test_none_to_be_had_is_told_and_not_stored(cache: BaseCacheManager) -> None:
    assert cache.get_or_load("k", lambda: MISS) is MISS
    assert cache.get_or_load("k", lambda: 1) == 1


def test_a_loader_that_asks_for_its_own_key_does_not_wait_for_itself(
    cache: BaseCacheManager,
) -> None:
    assert cache.get_or_load("k", lambda: cache.get_or_load("k", lambda: "inner")) == "inner"
    assert cache.get_stats()["requests"] == 2


def test_a_waiter_waits_no_longer_than_its_hard_timeout() -> None:
    gate = threading.Event()
    with make(policy=Policy(hard_timeout=0.05)) as cache:

        def load() -> str:
            assert gate.wait(10)
            return "v"

        threads = spawn(1, lambda: cache.get_or_load("k", load))
        assert eventually(lambda: snapshot_of(cache).loads_in_flight == 1)
        with pytest.raises(LoadTimeoutError, match=r"0\.05 s"):
            cache.get_or_load("k", load)
        gate.set()
        join(threads)
        assert cache.get("k") == "v"


def test_a_loaders_own_timeout_is_not_taken_for_the_waiters(cache: BaseCacheManager) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        cache.get_or_load("k", lambda: (_ for _ in ()).throw(TimeoutError("mine")))
    assert snapshot_of(cache).load_failures == {"timeout": 1}


class Interrupted(BaseException):
    """What a cancelled or interrupted leader raises."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_interrupted_leader_hands_its_flight_over(cache: BaseCacheManager) -> None:
    gate, got = threading.Event(), []

    def interrupted() -> None:
        assert gate.wait(10)
        raise Interrupted

    leader = spawn(1, lambda: cache.get_or_load("k", interrupted))
    assert eventually(lambda: snapshot_of(cache).loads_in_flight == 1)
    threads = spawn(5, lambda: got.append(cache.get_or_load("k", lambda: "second")))
    waiting(cache, 5)
    gate.set()
    join(leader + threads)
    assert got == ["second"] * 5
    stats = snapshot_of(cache)
    assert stats.loads == 2
    assert stats.load_failures == {"cancelled": 1}
    assert stats.requests == 6


def test_nothing_is_left_open_at_rest(cache: BaseCacheManager) -> None:
    for _ in range(3):
        cache.get("a")
        cache.set("a", 1)
        cache.get_or_load("b", lambda: 1)
        cache.delete("b")
        with pytest.raises(ZeroDivisionError):
            cache.get_or_load("c", lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            cache.get_or_load("c", lambda: 1, tags=lambda value: [str(value // 0)])
        cache.invalidate_tags("t")
        cache.clear()
    assert len(cache.core._fences) == 0
    assert cache.core.flights._flying == {}
