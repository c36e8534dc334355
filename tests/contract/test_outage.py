"""Promises 2 to 4 without a listener: an outage is bounded, is named, and ends by itself."""

import threading
from typing import Any

import pytest

from routecache import MISS, BaseCacheManager
from routecache.testing import FakeRemote, ManualTimer
from routecache.typing import ERROR_KINDS
from tests.helpers import eventually
from tests.servers import RedisServer


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_no_failure_of_l2_reaches_a_caller(kind: str) -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    with BaseCacheManager(redis_client=fake, name=f"outage.{kind}", timer=timer) as cache:
        cache.set("before", 1)
        fake.failure = kind
        cache.set("k", "v")
        assert cache.get("k") == "v", "L1 goes on alone"
        assert cache.get("other", MISS) is MISS
        assert cache.get_or_load("loaded", lambda: 7) == 7
        assert cache.get("loaded") == 7
        assert cache.get_many(["k", "nope"]) == {"k": "v"}
        cache.set_many({"x": 1})
        assert cache.delete("x") is True
        assert cache.delete_many(["k"]) == 1
        cache.invalidate_tags("t")
        assert cache.ttl("loaded") is not None
        assert cache.clear() is False
        stats = cache.get_stats()
        assert stats["misses_by_reason"] == {"l2_unavailable": 3}, "an outage is no cold miss"
        assert stats["errors"] > 0
        assert stats["redis_available"] is False


def test_a_refusing_circuit_is_unavailable_but_no_error() -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    fake.failure = "circuit"
    with BaseCacheManager(redis_client=fake, name="outage.circuit", timer=timer) as cache:
        assert cache.get("k", MISS) is MISS
        stats = cache.get_stats()
        assert stats["misses_by_reason"] == {"l2_unavailable": 1}
        assert stats["errors"] == 0


def test_an_unreadable_payload_is_a_counted_miss_and_heals_by_the_next_write() -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    with BaseCacheManager(
        redis_client=fake, cache_prefix="p", name="undecodable", timer=timer
    ) as cache:
        for payload in (b"", b"\x80\x04N.", b"\x95\x01\x02\xa4json", b"[1,2]", b"\xff" * 50):
            fake.put_raw("p:v1:{k}", payload)
            assert cache.get("k", MISS) is MISS
        assert cache.get_stats()["misses_by_reason"] == {"undecodable": 5}
        assert cache.get_or_load("k", lambda: "fresh") == "fresh"
        with BaseCacheManager(
            redis_client=fake, cache_prefix="p", name="healed", timer=timer
        ) as other:
            assert other.get("k") == "fresh"


def test_a_stopped_redis_is_survived_and_used_again_when_it_returns(
    redis_server: RedisServer,
) -> None:
    with (
        BaseCacheManager(redis_url=redis_server.url, name="stop.a", cache_prefix="stop") as cache,
        BaseCacheManager(redis_url=redis_server.url, name="stop.b", cache_prefix="stop") as other,
    ):
        cache.set("before", 1)
        redis_server.stop()
        for i in range(50):
            cache.set(f"k{i}", i)
            assert cache.get(f"k{i}") == i
            assert cache.get(f"cold{i}", MISS) is MISS
        assert cache.get_stats()["redis_available"] is False
        reasons = cache.get_stats()["misses_by_reason"]
        assert reasons == {"l2_unavailable": 50}
        redis_server.start()

        def used_again() -> bool:
            cache.set("after", 2)
            return bool(other.get("after") == 2)

        assert eventually(used_again, 10)
        assert cache.get_stats()["redis_available"] is True
        assert other.get("before") == 1, "the append-only file kept what was written before"


def test_a_cache_that_starts_without_redis_finds_it_later(redis_server: RedisServer) -> None:
    redis_server.stop()
    with (
        BaseCacheManager(redis_url=redis_server.url, name="late.a", cache_prefix="late") as cache,
        BaseCacheManager(redis_url=redis_server.url, name="late.b", cache_prefix="late") as other,
    ):
        cache.set("k", 1)
        assert cache.get("k") == 1
        redis_server.start()

        def found() -> bool:
            cache.set("k", 2)
            return bool(other.get("k") == 2)

        assert eventually(found, 10)


def test_an_outage_under_concurrent_load_raises_nothing_and_answers_correctly(
    redis_server: RedisServer,
) -> None:
    wrong: list[Any] = []
    done = threading.Event()
    with BaseCacheManager(
        20, redis_url=redis_server.url, name="outage.load", cache_prefix="ol"
    ) as cache:

        def work(seed: int) -> None:
            i = seed
            while not done.is_set():
                i += 7
                key = str(i % 60)
                try:
                    value = cache.get_or_load(key, lambda key=key: {"answer": key})  # type: ignore[misc]
                    if value != {"answer": key}:
                        wrong.append((key, value))
                    if i % 11 == 0:
                        cache.delete(key)
                except Exception as error:  # whatever it is, the router's request would have failed
                    wrong.append(error)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        before = cache.get_stats()["requests"]
        assert eventually(lambda: cache.get_stats()["requests"] > before + 500, 20)
        redis_server.stop()
        assert eventually(lambda: not cache.redis_available, 10)
        redis_server.start()
        assert eventually(lambda: cache.redis_available, 15)
        done.set()
        for thread in threads:
            thread.join(10)
    assert wrong == []
