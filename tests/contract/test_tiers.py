"""What a two-tier cache owes its callers, on the public fake and on a real server alike."""

import threading
import time
from typing import Any

import pytest

from routecache import MISS, BaseCacheManager, Policy, ValueTooLargeError
from tests.contract.world import World
from tests.helpers import eventually

FALSY: list[Any] = [None, "", 0, 0.0, False, [], {}]


@pytest.mark.parametrize("value", FALSY, ids=repr)
def test_a_falsy_value_is_a_hit_in_both_tiers(world: World, value: Any) -> None:
    writer, reader = world.make(), world.make()
    writer.set("k", value)
    for manager in (writer, reader):
        assert manager.get("k", MISS) == value
        assert type(manager.get("k", MISS)) is type(value)
    assert reader.get_stats()["l2_hits"] >= 1
    if world.kind == "fake":  # the echo of an own write may cost a copy in L1
        assert reader.get_stats()["l1_hits"] == 1


def test_another_process_reads_what_one_wrote(world: World) -> None:
    world.make().set("k", {"a": [1, 2.5, None, "ü"]})
    assert world.make().get("k") == {"a": [1, 2.5, None, "ü"]}


def test_promotion_keeps_the_remaining_time_and_never_gives_a_new_ttl(world: World) -> None:
    writer, reader = world.make(), world.make(l1_ttl=300, l2_ttl=300)
    writer.set("k", 1, ttl=20)
    assert reader.get("k") == 1
    left = reader.ttl("k")
    assert left is not None
    assert 19 < left <= 20
    world.timer.advance(20)
    assert len(reader) == 0, "the promoted copy lives no longer than the entry in L2"


def test_an_entry_expires_in_l2_by_itself(world: World) -> None:
    clock = world.timer if world.kind == "fake" else time.monotonic
    writer, reader = world.make(timer=clock), world.make(timer=clock)
    writer.set("k", 1, ttl=0.05)
    assert reader.get("k") == 1
    if world.kind == "fake":
        world.timer.advance(0.05)
    assert eventually(lambda: reader.get("k", MISS) is MISS, 5)
    assert reader.ttl("k") is None


def test_l1_serves_at_most_its_own_ttl_while_l2_keeps_the_value(world: World) -> None:
    cache = world.make(l1_ttl=10, l2_ttl=300)
    cache.set("k", 1)
    world.timer.advance(9.9)
    assert cache.get("k") == 1
    if world.kind == "fake":  # the echo of an own write may cost a copy in L1
        assert cache.get_stats()["l1_hits"] == 1
    world.timer.advance(0.2)
    assert cache.get("k") == 1
    assert cache.get_stats()["l2_hits"] >= 1


def test_a_per_call_ttl_overrides_both_tiers(world: World) -> None:
    cache = world.make(l1_ttl=10, l2_ttl=10)
    cache.set("k", 1, ttl=100)
    world.timer.advance(50)
    assert cache.get("k") == 1
    if world.kind == "fake":  # the echo of an own write may cost the copy in L1
        assert cache.get_stats()["l1_hits"] == 1


def test_delete_reaches_both_tiers_and_says_whether_there_was_something(world: World) -> None:
    cache, other = world.make(), world.make()
    cache.set("k", 1)
    assert cache.delete("k") is True
    assert cache.get("k", MISS) is MISS
    assert other.get("k", MISS) is MISS
    assert cache.delete("k") is False
    other.set("only-in-l2-here", 1)
    assert cache.delete("only-in-l2-here") is True


def test_batches_do_what_single_calls_do(world: World) -> None:
    cache, other = world.make(), world.make()
    cache.set_many({"a": 1, "b": None, "c": [3]}, ttl=50)
    assert other.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": None, "c": [3]}
    assert cache.get_many(["a", "d"]) == {"a": 1}
    assert other.delete_many(["a", "b", "d"]) == 2
    assert cache.get_many([]) == {}
    assert world.make().get_many(["a", "b", "c"]) == {"c": [3]}
    stats = other.get_stats()
    assert (stats["requests"], stats["l2_hits"], stats["misses"]) == (4, 3, 1)


def test_clear_takes_the_caches_own_keys_only(world: World) -> None:
    outer = world.make(cache_prefix="routing")
    inner = world.make(cache_prefix="routing:provider")
    outer.set("k", 1)
    inner.set("k", 2)
    assert outer.clear() is True
    assert outer.get("k", MISS) is MISS
    assert world.make(cache_prefix="routing:provider").get("k") == 2
    inner.clear()


def test_clear_empties_a_cache_of_more_keys_than_one_scan_returns(world: World) -> None:
    cache = world.make(l1_maxsize=3000)
    cache.set_many({f"k{i}": i for i in range(2500)})
    assert cache.clear() is True
    assert world.make().get_many([f"k{i}" for i in range(2500)]) == {}


def test_an_invalidated_tag_is_a_miss_in_l1_and_l2_and_spares_the_rest(world: World) -> None:
    cache = world.make()
    cache.set("a", 1, tags=("provider:openai",))
    cache.set("b", 2, tags=("provider:openai", "provider:azure"))
    cache.set("c", 3, tags=("provider:azure",))
    cache.set("d", 4)
    cache.invalidate_tags("provider:openai")
    assert cache.get_many(["a", "b", "c", "d"]) == {"c": 3, "d": 4}
    assert world.make().get_many(["a", "b", "c", "d"]) == {"c": 3, "d": 4}


def test_what_is_stored_after_its_tag_was_invalidated_is_valid(world: World) -> None:
    cache = world.make()
    cache.invalidate_tags("t")
    world.timer.advance(0.001)
    cache.set("a", 1, tags=("t",))
    assert cache.get("a") == 1
    assert world.make().get("a") == 1


def test_a_loader_runs_once_for_all_who_ask_meanwhile(world: World) -> None:
    cache = world.make()
    callers, calls = 16, []
    gate = threading.Event()
    got: list[Any] = []

    def load() -> str:
        calls.append(1)
        assert gate.wait(10)
        return "value"

    threads = [
        threading.Thread(target=lambda: got.append(cache.get_or_load("k", load)))
        for _ in range(callers)
    ]
    for thread in threads:
        thread.start()
    assert eventually(lambda: bool(calls), 10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert got == ["value"] * callers
    assert len(calls) == 1
    assert cache.get_stats()["requests"] == callers
    assert world.make().get("k") == "value", "the load filled L2 too"


@pytest.mark.parametrize("kind", ["delete", "set", "clear", "invalidate_tags"])
def test_a_load_that_began_before_an_invalidation_is_not_visible_after_it(
    world: World, kind: str
) -> None:
    cache = world.make()
    loading, go_on = threading.Event(), threading.Event()

    def load() -> str:
        loading.set()
        assert go_on.wait(10)
        return "old"

    thread = threading.Thread(target=lambda: cache.get_or_load("k", load, tags=("t",)))
    thread.start()
    assert loading.wait(10)
    world.timer.advance(0.001)
    if kind == "set":
        cache.set("k", "new")
    elif kind == "delete":
        cache.delete("k")
    elif kind == "clear":
        cache.clear()
    else:
        cache.invalidate_tags("t")
    go_on.set()
    thread.join(10)
    expected = "new" if kind == "set" else MISS
    assert cache.get("k", MISS) == expected
    assert world.make().get("k", MISS) == expected


def test_a_caller_after_a_delete_does_not_join_the_load_from_before_it(world: World) -> None:
    cache = world.make()
    loading, go_on = threading.Event(), threading.Event()

    def load() -> str:
        loading.set()
        assert go_on.wait(10)
        return "old"

    thread = threading.Thread(target=lambda: cache.get_or_load("k", load))
    thread.start()
    assert loading.wait(10)
    cache.delete("k")
    assert cache.get_or_load("k", lambda: "new") == "new"
    go_on.set()
    thread.join(10)
    assert cache.get("k") == "new"
    assert world.make().get("k") == "new"


def test_a_value_too_large_is_refused_and_deletes_the_key_in_both_tiers(world: World) -> None:
    cache = world.make(policy=Policy(max_value_bytes=100))
    cache.set("k", "small")
    with pytest.raises(ValueTooLargeError, match="max_value_bytes=100"):
        cache.set("k", "x" * 200)
    assert cache.get("k", MISS) is MISS
    assert world.make().get("k", MISS) is MISS
    assert cache.get_or_load("k", lambda: "y" * 200) == "y" * 200
    assert world.make().get("k", MISS) is MISS


def test_managers_of_one_process_that_share_a_url_share_its_connections(world: World) -> None:
    def endpoint(manager: BaseCacheManager) -> Any:
        remote: Any = manager.remote
        return remote if world.kind == "fake" else remote.endpoint

    assert endpoint(world.make()) is endpoint(world.make())


def test_two_concurrent_sets_leave_l1_and_l2_agreeing(world: World) -> None:
    cache = world.make()
    for round_ in range(30):
        barrier = threading.Barrier(4)

        def write(value: int, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            cache.set("k", value)

        threads = [threading.Thread(target=write, args=(4 * round_ + i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert cache.get("k") == world.make().get("k")
