"""Promise 6: a load that began before an invalidation is never visible after it, to anybody."""

import threading

import pytest

from routecache import MISS
from tests.contract.world import Blocking, Held, World, gone

pytestmark = pytest.mark.promise(6)

INVALIDATIONS = ["delete", "set", "clear", "invalidate_tags", "delete_many", "set_many"]


def invalidate(made: Blocking, how: str) -> None:
    arguments = {
        "delete": ("k",),
        "set": ("k", "new"),
        "clear": (),
        "invalidate_tags": ("t",),
        "delete_many": (["k", "other"],),
        "set_many": ({"k": "new"},),
    }
    getattr(made, how)(*arguments[how])


@pytest.mark.parametrize("how", INVALIDATIONS)
def test_a_load_that_another_process_invalidates_is_never_visible(world: World, how: str) -> None:
    world.listening()
    a, b, c = world.make(), world.make(), world.make()
    load = Held(world, a, "k", "old", tags=("t",))
    world.timer.advance(0.001)
    invalidate(b, how)
    assert load.finish() == ["old"], "who asked for the load gets what it gave"
    expected = "new" if how.startswith("set") else MISS
    for manager in (a, b, c, world.make()):
        assert manager.get("k", MISS) == expected


@pytest.mark.parametrize("how", INVALIDATIONS)
def test_a_load_that_its_own_process_invalidates_is_never_visible(world: World, how: str) -> None:
    a = world.make()
    load = Held(world, a, "k", "old", tags=("t",))
    world.timer.advance(0.001)
    invalidate(a, how)
    load.finish()
    expected = "new" if how.startswith("set") else MISS
    for manager in (a, world.make()):
        assert manager.get("k", MISS) == expected


def test_a_caller_after_a_delete_does_not_join_the_load_from_before_it(world: World) -> None:
    a = world.make()
    load = Held(world, a, "k", "old")
    a.delete("k")
    assert a.get_or_load("k", world.loader(lambda: "new")) == "new"
    load.finish()
    assert a.get("k") == "new"
    assert world.make().get("k") == "new"


def test_of_two_loads_around_a_delete_the_later_one_stands(world: World) -> None:
    a, b = world.pair()
    before = Held(world, a, "k", "old")
    b.delete("k")
    after = Held(world, b, "k", "new")
    before.finish()
    assert world.make().get("k", MISS) is MISS, "the lease of the older load has ended"
    after.finish()
    for manager in (a, b, world.make()):
        assert manager.get("k") == "new"


def test_the_first_of_two_loads_under_one_lease_is_stored_and_the_other_counted(
    world: World,
) -> None:
    a, b = world.pair()
    first, second = Held(world, a, "k", "first"), Held(world, b, "k", "second")
    first.finish()
    assert second.finish() == ["second"]
    assert b.stats.duplicate_loads == 1
    assert world.make().get("k") == "first"


def test_overlapping_sets_leave_l1_and_l2_agreeing(world: World) -> None:
    a = world.make()
    for turn in range(10):
        barrier = threading.Barrier(4)

        def write(value: int, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(30)
            a.set("k", value)

        threads = [threading.Thread(target=write, args=(4 * turn + i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert a.get("k") == world.make().get("k")


def test_with_l2_unavailable_a_load_fills_l1_only(frail: World) -> None:
    a = frail.make()
    frail.used_again(a)
    frail.fail("refused")
    assert a.get_or_load("k", frail.loader(lambda: "of the outage")) == "of the outage"
    assert a.get("k") == "of the outage"
    frail.mend()
    b = frail.make()
    frail.used_again(a, b)
    assert gone(b, "k")
    assert frail.raw(frail.value_key("k")) is None


def test_a_load_that_began_before_an_outage_is_not_stored_after_a_delete_during_it(
    frail: World,
) -> None:
    a, b = frail.pair()
    frail.used_again(a, b)
    load = Held(frail, a, "k", "old")
    frail.fail("refused")
    b.delete("k")
    frail.mend()
    frail.used_again(b)  # which deletes the key, and with it the load's lease
    load.finish()
    for manager in (a, b, frail.make()):
        assert gone(manager, "k")
