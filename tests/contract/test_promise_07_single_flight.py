"""Promise 7: one load per key, in a process always, across processes with a distributed lock."""

import asyncio
import threading
from typing import Any

import pytest

from routecache import MISS, LoadTimeoutError, SerializationError, keys
from tests.contract.world import Held, World, gone, in_thread
from tests.helpers import eventually

pytestmark = pytest.mark.promise(7)

LOCKED = {"distributed_lock": True}


def test_a_load_is_stored_in_both_tiers_and_then_hit(world: World) -> None:
    a, b = world.pair()
    assert a.get_or_load("k", world.loader(lambda: {"n": 1})) == {"n": 1}
    assert b.get("k") == {"n": 1}, "L2 holds it"
    assert a.get("k") == {"n": 1}
    assert (a.hits, a.stats.loads) == (1, 1)


def test_a_loader_runs_once_for_all_who_ask_meanwhile(world: World) -> None:
    a = world.make()
    first = Held(world, a, "k", "value")
    others = [in_thread(lambda: a.get_or_load("k", first.loader)) for _ in range(15)]
    # Whoever has not come to wait when the load ends hits what it stored.
    first.finish()
    for thread, got in others:
        thread.join(30)
        assert got == ["value"]
    assert first.calls == 1
    assert a.get_stats()["requests"] == 16


def test_a_failing_loaders_error_reaches_its_waiters_and_nobody_later(world: World) -> None:
    a = world.make()
    started, go_on = threading.Event(), threading.Event()

    def fails() -> str:
        started.set()
        assert go_on.wait(30)
        raise OSError("provider down")

    first, got = in_thread(lambda: a.get_or_load("k", world.loader(fails)))
    assert started.wait(30)
    waits, may_wait = threading.Event(), a.core.flights.may_wait

    def seen(*args: Any, **options: Any) -> bool:
        waits.set()
        return bool(may_wait(*args, **options))

    a.core.flights.may_wait = seen
    second, also = in_thread(lambda: a.get_or_load("k", world.loader(lambda: "of the second")))
    assert waits.wait(30)
    go_on.set()
    first.join(30)
    second.join(30)
    for errors in (got, also):
        assert isinstance(errors[0], OSError)
    assert a.get_or_load("k", world.loader(lambda: "later")) == "later"


def test_a_waiter_waits_no_longer_than_its_hard_timeout(world: World) -> None:
    a = world.make(policy={"hard_timeout": 0.05})
    load = Held(world, a, "k", "late")
    with pytest.raises(LoadTimeoutError):
        a.get_or_load("k", load.loader)
    assert load.finish() == ["late"]
    assert load.calls == 1


def test_loaders_that_need_each_other_do_not_wait_for_each_other(world: World) -> None:
    a = world.make()
    barrier = threading.Barrier(2, timeout=30)

    def needs(other: str) -> Any:
        if world.driver == "sync":

            def load() -> str:
                barrier.wait()
                return str(a.get_or_load(other, lambda: "leaf"))

            return load

        async def awaited() -> str:
            await asyncio.to_thread(barrier.wait)
            return str(await a.manager.get_or_load(other, lambda: "leaf"))

        return awaited

    one, got_one = in_thread(lambda: a.get_or_load("x", needs("y")))
    two, got_two = in_thread(lambda: a.get_or_load("y", needs("x")))
    one.join(30)
    two.join(30)
    assert [*got_one, *got_two] == ["leaf", "leaf"], "neither waits for ever"


@pytest.mark.parametrize("driver", ["async"], indirect=True)
def test_a_cancelled_leader_hands_its_flight_over(world: World) -> None:
    a = world.make()
    assert eventually(lambda: gone(a, "absent"), 10)

    async def storm() -> tuple[list[Any], int]:
        calls = 0
        started, go_on = asyncio.Event(), asyncio.Event()

        async def load() -> str:
            nonlocal calls
            calls += 1
            started.set()
            await go_on.wait()
            return "value"

        tasks = [asyncio.ensure_future(a.manager.get_or_load("k", load)) for _ in range(20)]
        await started.wait()
        started.clear()
        tasks[0].cancel()
        await started.wait()
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True), calls

    got, calls = asyncio.run_coroutine_threadsafe(storm(), world.loop).result(60)
    assert isinstance(got[0], asyncio.CancelledError)
    assert got[1:] == ["value"] * 19
    assert calls == 2
    assert world.make().get("k") == "value"


def test_with_a_distributed_lock_other_processes_wait_for_the_holder(world: World) -> None:
    a, b = world.pair(policy=LOCKED)
    first = Held(world, a, "k", "value")
    second, got = in_thread(lambda: b.get_or_load("k", first.loader))
    assert eventually(lambda: b.core._news or got, 10), "it waits for news"
    assert first.finish() == ["value"]
    second.join(30)
    assert got == ["value"]
    assert first.calls == 1
    assert (b.stats.loads, b.stats.l2_hits, b.stats.coalesced) == (0, 0, 1)
    assert b.stats.request_duration["load"].count == 1, "no hit, nor a slow one"


def test_without_a_distributed_lock_they_do_not_wait(world: World) -> None:
    a, b = world.pair()
    first = Held(world, a, "k", "value")
    assert b.get_or_load("k", world.loader(lambda: "value")) == "value"
    first.finish()


def test_a_failing_holder_lets_another_process_load(world: World) -> None:
    a, b = world.pair(policy={**LOCKED, "hard_timeout": 5.0})

    def fails() -> str:
        raise OSError("provider down")

    with pytest.raises(OSError, match="provider down"):
        a.get_or_load("k", world.loader(fails))
    assert b.get_or_load("k", world.loader(lambda: "value")) == "value"


def test_a_holder_whose_value_cannot_be_stored_lets_another_process_load(world: World) -> None:
    a, b = world.pair(policy={**LOCKED, "hard_timeout": 5.0})
    with pytest.raises(SerializationError):
        a.get_or_load("k", world.loader(lambda: {1, 2}))
    assert b.get_or_load("k", world.loader(lambda: "value")) == "value"


def test_a_holder_that_finds_nothing_lets_another_process_load(world: World) -> None:
    a, b = world.pair(policy={**LOCKED, "hard_timeout": 5.0})
    assert a.get_or_load("k", world.loader(lambda: MISS)) is MISS
    assert b.get_or_load("k", world.loader(lambda: "value")) == "value"


def test_the_lease_of_a_holder_that_crashed_expires(world: World) -> None:
    b = world.make(policy=LOCKED)
    # What a process that died in its loader leaves.
    world.put_raw(keys.lease_key(world.prefix, "k"), b"of-the-dead-1", 0.3)
    thread, got = in_thread(lambda: b.get_or_load("k", world.loader(lambda: "value")))
    assert eventually(lambda: b.core._news or got, 10), "until then it waits"
    world.pass_by(0.3)
    thread.join(30)
    assert got == ["value"]
    assert world.make().get("k") == "value"


def test_a_refresh_takes_the_fresh_value_that_l2_holds(world: World) -> None:
    a = world.make(l1_ttl=10, l2_ttl=300, policy={"stale_ttl": 100.0})
    b = world.make(l1_ttl=10, l2_ttl=300)
    calls = []

    def load() -> str:
        calls.append(1)
        return "loaded"

    a.set("k", "old")
    world.heard(1, a)
    assert a.get("k") == "old"
    b.set("k", "new")
    world.heard(2, a)
    world.timer.advance(11)
    assert eventually(lambda: a.get_or_load("k", world.loader(load)) == "new", 10)
    assert calls == []


def test_a_soft_timeout_serves_stale_while_the_one_load_goes_on(world: World) -> None:
    policy = {"stale_if_error": 100.0, "soft_timeout": 0.02}
    a = world.make(timer=world.clock, policy=policy)
    a.set("k", "old", ttl=0.2)
    world.pass_by(0.2)
    assert eventually(lambda: gone(a, "k"), 10)
    go_on = threading.Event()
    calls = []

    def load() -> str:
        calls.append(1)
        assert go_on.wait(30)
        return "new"

    for _ in range(3):
        assert a.get_or_load("k", world.loader(load)) == "old"
    go_on.set()
    assert eventually(lambda: a.get("k") == "new", 10)
    assert len(calls) == 1


def test_a_stale_value_is_served_when_the_load_fails(world: World) -> None:
    a = world.make(timer=world.clock, policy={"stale_if_error": 100.0})
    a.set("k", "old", ttl=0.2)
    world.pass_by(0.2)
    assert eventually(lambda: gone(a, "k"), 10)

    def fails() -> str:
        raise OSError("provider down")

    assert a.get_or_load("k", world.loader(fails)) == "old"
    assert a.stats.stale_hits == {"error": 1}
    assert a.get_or_load("k", world.loader(lambda: "new")) == "new"
