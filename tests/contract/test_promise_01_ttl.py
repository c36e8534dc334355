"""Promise 1: no value outlives its TTL in any tier, whatever the wall clocks say."""

import threading

import pytest

from routecache import MISS, keys
from routecache.testing import FakeRemote, ManualTimer
from tests.contract.kinds import REAL, on
from tests.contract.other_host import OtherHost
from tests.contract.world import World, gone
from tests.helpers import eventually

pytestmark = pytest.mark.promise(1)


def test_promotion_keeps_the_remaining_time_and_never_gives_a_new_ttl(world: World) -> None:
    writer, reader = world.make(), world.make(l1_ttl=300, l2_ttl=300)
    writer.set("k", 1, ttl=20)
    world.heard(1, reader)
    assert reader.get("k") == 1
    assert len(reader) == 1
    left = reader.ttl("k")
    assert 19 < left <= 20
    world.timer.advance(20)
    assert len(reader) == 0, "the promoted copy lives no longer than the entry in L2"


def test_an_entry_expires_in_l2_by_itself(world: World) -> None:
    writer, reader = world.pair(timer=world.clock)
    writer.set("k", 1, ttl=0.5)
    assert reader.get("k") == 1
    world.pass_by(0.5)
    assert eventually(lambda: gone(reader, "k"), 5)
    assert reader.ttl("k") is None
    # The reader errs towards older, so the server may keep the entry for a moment longer.
    assert eventually(lambda: world.raw(world.value_key("k")) is None, 5)


def test_a_copy_in_l1_is_over_no_later_than_the_entry_in_l2(world: World) -> None:
    reader = world.make(timer=world.clock, l1_ttl=300)
    world.make(timer=world.clock).set("k", 1, ttl=0.5)
    world.heard(1, reader)
    assert reader.get("k") == 1
    assert len(reader) == 1
    (entry,) = reader.core.local.entries.values()
    life = entry.expires_at - world.clock()
    assert life <= 0.5, "and not l1_ttl"
    world.pass_by(0.5)
    assert eventually(lambda: len(reader) == 0, 5)


def test_l1_serves_at_most_its_own_ttl_while_l2_keeps_the_value(world: World) -> None:
    cache = world.make(l1_ttl=10, l2_ttl=300)
    cache.set("k", 1)
    world.heard(1, cache)
    assert cache.get("k") == 1
    world.timer.advance(9.8)
    assert cache.get("k") == 1
    assert len(cache) == 1
    before = cache.stats.l2_hits
    world.timer.advance(0.3)
    assert cache.get("k") == 1
    assert cache.stats.l2_hits == before + 1, "read anew from L2"


def test_a_per_call_ttl_overrides_both_tiers(world: World) -> None:
    cache = world.make(l1_ttl=10, l2_ttl=10)
    cache.set("k", 1, ttl=100)
    assert 99 < cache.ttl("k") <= 100
    world.timer.advance(50)
    assert cache.get("k") == 1
    cache.set("short", 1, ttl=2)
    assert 1 < cache.ttl("short") <= 2
    assert cache.get_or_load("loaded", world.loader(lambda: 1), 3) == 1
    assert 2 < world.make(l1_ttl=300, l2_ttl=300).ttl("loaded") <= 3


def test_jitter_only_shortens(world: World) -> None:
    writer, reader = world.pair(policy={"ttl_jitter": 0.5}, l1_ttl=100, l2_ttl=100)
    writer.set_many({f"k{i}": i for i in range(20)})
    for cache in (writer, reader):
        left = [cache.ttl(f"k{i}") for i in range(20)]
        assert all(49 < seconds <= 100 for seconds in left)
        assert len({round(seconds, 2) for seconds in left}) > 1, "not all together"


def test_a_remembered_none_lives_for_its_own_time(world: World) -> None:
    cache, other = world.pair(policy={"negative_ttl": 5.0})
    assert cache.get_or_load("k", world.loader(lambda: MISS)) is MISS
    assert 4 < other.ttl("k") <= 5
    world.timer.advance(5)
    assert len(cache) == 0


def test_stale_values_are_served_only_to_those_whose_policy_asks_and_are_counted(
    world: World,
) -> None:
    strict = world.make(timer=world.clock)
    lenient = world.make(timer=world.clock, policy={"stale_ttl": 100.0})
    go_on = threading.Event()

    def load() -> str:
        assert go_on.wait(30)
        return "new"

    lenient.set("k", "old", ttl=0.2)
    world.pass_by(0.2)
    assert eventually(lambda: gone(lenient, "k"), 5), "get never serves it: nobody would refresh"
    assert gone(strict, "k")
    assert lenient.get_or_load("k", world.loader(load)) == "old"
    assert sum(lenient.stats.stale_hits.values()) == 1
    go_on.set()
    assert eventually(lambda: lenient.get("k") == "new", 10)
    assert strict.get("k") == "new"
    assert strict.stats.stale_hits == {}


def test_after_the_time_for_stale_values_none_is_served(world: World) -> None:
    cache = world.make(timer=world.clock, policy={"stale_if_error": 0.2})
    cache.set("k", "old", ttl=0.1)
    world.pass_by(0.31)
    assert eventually(lambda: world.raw(world.value_key("k")) is None, 5)

    def fails() -> str:
        raise OSError("provider down")

    with pytest.raises(OSError, match="provider down"):
        cache.get_or_load("k", world.loader(fails))


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
def test_clocks_that_differ_by_minutes_change_no_ttl(world: World, ahead: float) -> None:
    here = world.make(timer=world.clock, l1_ttl=300)
    here.set("of here", 1, ttl=20)
    if world.servers is not None:
        with OtherHost(world.driver, world.servers.url, world.prefix, ahead=ahead) as other:
            other.set("of there", 1, ttl=20)
            assert other.get("of here") == 1
            assert 10 < other.ttl("of here") <= 20
            assert here.get("of there") == 1
            assert 10 < here.ttl("of there") <= 20
        return
    there = world.make(timer=ManualTimer(world.timer() + ahead), l1_ttl=300)
    there.set("of there", 1, ttl=20)
    for reader, key in ((here, "of there"), (there, "of here")):
        assert reader.get(key) == 1
        assert 19 < reader.ttl(key) <= 20


@on("fake")
def test_a_pause_between_the_two_clocks_makes_no_entry_younger(world: World) -> None:
    fake: FakeRemote = world.fake
    world.make().set("k", 1, ttl=20)
    server_times, pauses = fake.server_times, [5.0]

    def paused() -> tuple[int, int] | None:
        times = server_times()
        world.timer.advance(
            pauses.pop() if pauses else 0
        )  # as a thread that is not scheduled, or a collector at work
        return times

    fake.server_times = paused  # type: ignore[method-assign]
    reader = world.make(l1_ttl=300)
    assert reader.get("k") == 1
    assert pauses == []
    assert reader.ttl("k") <= 15


@on(*REAL)
def test_whatever_the_server_is_told_to_keep_has_an_end(world: World) -> None:
    cache = world.make(l1_ttl=50, l2_ttl=50, policy={"stale_ttl": 10.0, "negative_ttl": 5.0})
    cache.set("k", 1, tags=("t",))
    cache.get_or_load("loaded", world.loader(lambda: 2))
    cache.get_or_load("none", world.loader(lambda: MISS))
    cache.invalidate_tags("t")
    world.make(policy={"distributed_lock": True}).get("absent")
    found = world.wire_keys(f"{world.prefix}:*")
    assert {world.value_key("k"), keys.tag_key(world.prefix, "t")} <= found
    for key in found:
        left = world.ask(key, "PTTL", key)
        longest = 24 * 3600_000 if ":tag:" in key else 60_000
        assert 0 < left <= longest, key
