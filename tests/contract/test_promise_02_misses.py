"""Promise 2: misses are misses. A hit, a miss and an L2 that failed never share a name."""

from typing import Any

import pytest

from routecache import MISS
from routecache.typing import ERROR_KINDS
from tests.contract.kinds import REAL, on
from tests.contract.world import World, gone
from tests.helpers import eventually

pytestmark = pytest.mark.promise(2)

FALSY: list[Any] = [None, "", 0, 0.0, False, [], {}]


@pytest.mark.parametrize("value", FALSY, ids=repr)
def test_a_falsy_value_is_a_hit_in_both_tiers(world: World, value: Any) -> None:
    writer, reader = world.pair()
    writer.set("k", value)
    world.heard(1, writer, reader)
    for manager in (writer, reader):
        for _ in range(2):
            found = manager.get("k", MISS)
            assert found == value
            assert type(found) is type(value)
        assert manager.get_or_load("k", world.loader(lambda: "loaded")) == value
    assert (reader.stats.l2_hits, reader.stats.l1_hits) == (1, 2)
    assert reader.stats.misses == {}


def test_each_miss_says_how_the_last_copy_in_l1_went(world: World) -> None:
    world.listening()
    cache = world.make(l1_maxsize=1, timer=world.clock)
    assert gone(cache, "k")
    assert cache.stats.misses == {"cold": 1}
    cache.set("k", 1)
    world.heard(1, cache)
    assert cache.get("k") == 1
    world.make().delete("k")
    world.heard(2, cache)
    assert gone(cache, "k")
    assert cache.stats.misses == {"cold": 1, "invalidated": 1}


def test_a_miss_of_l1_that_l2_answers_has_its_own_reason_and_is_no_miss(world: World) -> None:
    cache = world.make(l1_maxsize=1, l1_ttl=10)
    cache.set_many({"a": 1, "b": 2})
    world.heard(2, cache)
    before = dict(cache.stats.l1_misses)
    assert cache.get("a") == 1
    assert cache.get("b") == 2, "pushes a out"
    assert cache.get("a") == 1
    world.timer.advance(10)
    assert cache.get("a") == 1
    after = cache.stats.l1_misses
    assert after["evicted"] - before.get("evicted", 0) >= 1
    assert after["expired"] - before.get("expired", 0) == 1
    assert cache.stats.misses == {}
    assert cache.hits == 4


@pytest.mark.parametrize("fault", ["refused", "black-holed"])
def test_an_outage_is_no_cold_miss_and_a_cold_miss_no_outage(frail: World, fault: str) -> None:
    cache = frail.make(policy={"l2_timeout": 0.1})
    assert eventually(lambda: gone(cache, "absent") and "cold" in cache.stats.misses, 10)
    healthy = dict(cache.stats.misses)
    frail.fail(fault)
    for n in range(12):
        assert gone(cache, f"absent{n}")
    assert cache.get_or_load("loaded", frail.loader(lambda: 1)) == 1
    assert cache.get_many(["x", "y"]) == {}
    during = dict(cache.stats.misses)
    assert during.pop("l2_unavailable") == 15 + healthy.pop("l2_unavailable", 0)
    assert during == healthy
    frail.mend()
    frail.used_again(cache)
    cold = cache.stats.misses["cold"]
    assert eventually(lambda: gone(cache, "absent too") and cache.stats.misses["cold"] > cold, 20)


@on("fake")
@pytest.mark.parametrize("failure", [*ERROR_KINDS, "circuit"])
def test_every_way_in_which_l2_fails_is_named_unavailable(world: World, failure: str) -> None:
    assert world.fake is not None
    cache = world.make()
    world.fake.failure = failure
    assert gone(cache, "absent")
    assert cache.get_or_load("loaded", world.loader(lambda: 7)) == 7
    assert cache.get_many(["loaded", "nope"]) == {"loaded": 7}
    stats = cache.get_stats()
    assert stats["misses_by_reason"] == {"l2_unavailable": 3}
    assert stats["redis_available"] is False
    assert (stats["errors"] == 0) is (failure == "circuit"), "what was held back is no error"


@on(*REAL)
def test_a_value_of_a_foreign_type_is_undecodable_and_overwritten(world: World) -> None:
    cache, key = world.make(), world.value_key("k")
    world.ask(key, "RPUSH", key, "not ours")
    world.heard(1, cache)
    assert gone(cache, "k")
    assert cache.stats.misses == {"undecodable": 1}
    assert cache.get_or_load("k", world.loader(lambda: "ours")) == "ours"
    assert world.make().get("k") == "ours"


def test_an_unreadable_payload_has_its_own_reason(world: World) -> None:
    cache = world.make()
    world.put_raw(world.value_key("k"), b"not ours")
    world.heard(1, cache)
    assert gone(cache, "k")
    assert gone(cache, "absent")
    assert cache.stats.misses == {"undecodable": 1, "cold": 1}
    outcomes = {name: h.count for name, h in cache.stats.request_duration.items() if h.count}
    assert outcomes == {"error": 1, "miss": 1}
