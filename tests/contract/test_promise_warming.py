"""A warm-up keeps the promises: what it brings, who of a fleet loads it, and when it returns."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from routecache import MISS, WarmResult, keys
from tests.contract.test_promise_06_resurrection import INVALIDATIONS, invalidate
from tests.contract.world import Blocking, World, in_thread
from tests.helpers import eventually


def keyed(world: World, load: Callable[[str], Any]) -> Any:
    """`load`, which may block, as the driver wants it."""
    if world.driver == "sync":
        return load

    async def awaited(key: str) -> Any:
        return await asyncio.to_thread(load, key)

    return awaited


class Warming:
    """A warm-up whose loader waits for `go_on`."""

    def __init__(self, world: World, made: Blocking, *wanted: str, **options: Any) -> None:
        self.calls: Counter[str] = Counter()
        self.go_on, self.loads = threading.Event(), threading.Event()

        def load(key: str) -> str:
            self.calls[key] += 1
            self.loads.set()
            assert self.go_on.wait(30)
            return f"old {key}"

        self.thread, self._got = in_thread(
            lambda: made.warm(wanted, loader=keyed(world, load), **options)
        )

    def result(self) -> WarmResult:
        self.go_on.set()
        self.thread.join(30)
        assert not self.thread.is_alive(), "the warm-up never ended"
        (got,) = self._got
        assert isinstance(got, WarmResult), got
        return got


@pytest.mark.promise(11)
def test_a_warm_up_is_no_request_and_makes_the_first_requests_hits(world: World) -> None:
    a = world.make()
    wanted = [f"k{i}" for i in range(30)]
    result = a.warm(wanted, loader=keyed(world, str.upper))
    assert (result.entries, result.loaded, result.complete) == (30, 30, True)
    assert a.stats.requests == 0
    assert a.stats.loads == 30
    assert len(a) == 30, "also of what its own echo would have cost"
    assert [a.get(key) for key in wanted] == [key.upper() for key in wanted]
    assert (a.stats.requests, a.stats.l1_hits) == (30, 30)


@pytest.mark.promise(11)
def test_the_next_process_takes_from_l2_what_is_there_and_loads_the_rest(world: World) -> None:
    a, b = world.make(), world.make()
    a.set_many({"k1": 1, "k2": 2})
    world.heard(2, a, b)
    result = b.warm(["k1", "k2", "k3"], loader=keyed(world, lambda _: 3))
    assert (result.from_l2, result.loaded, result.complete) == (2, 1, True)
    assert b.warm(["k1", "k2", "k3"]).present == 3
    assert b.get_many(["k1", "k2", "k3"]) == {"k1": 1, "k2": 2, "k3": 3}
    assert b.stats.l1_hits == 3


@pytest.mark.promise(5)
def test_a_warm_up_at_once_after_the_start_is_not_lost_when_the_listener_connects(
    world: World,
) -> None:
    a = world.make()
    wanted = [f"k{i}" for i in range(150)]
    a.set_many(dict.fromkeys(wanted, 1))
    b, c = world.make(waits=False, l1_maxsize=200), world.make(waits=False, l1_maxsize=200)
    assert b.warm(wanted).from_l2 == 150
    assert c.warm([*wanted, "new"], loader=keyed(world, str.upper)).warm == 151
    world.hearing(b, c)
    assert (len(b), len(c)) == (150, 151)


@pytest.mark.promise(6)
@pytest.mark.parametrize("how", INVALIDATIONS)
@pytest.mark.parametrize("whose", ["own", "other"])
def test_a_warm_fill_that_is_invalidated_meanwhile_is_never_visible(
    world: World, how: str, whose: str
) -> None:
    world.listening()
    a, b = world.pair()
    warming = Warming(world, a, "k", tags=("t",))
    assert warming.loads.wait(30)
    world.timer.advance(0.001)
    invalidate(a if whose == "own" else b, how)
    warming.result()
    expected = "new" if how.startswith("set") else MISS
    for manager in (a, b, world.make()):
        assert manager.get("k", MISS) == expected


@pytest.mark.promise(6)
def test_items_never_take_the_place_of_what_a_tier_holds(world: World) -> None:
    a, b = world.pair()
    a.set("k", "newer")
    world.heard(1, a, b)
    result = b.warm([("k", "older"), ("l", "of the file")])
    assert (result.from_l2, result.loaded) == (1, 1)
    for manager in (a, b, world.make()):
        assert manager.get("k") == "newer"
        assert manager.get("l") == "of the file"


@pytest.mark.promise(1)
def test_what_is_warmed_from_l2_lives_no_longer_than_there(world: World) -> None:
    a, b = world.make(timer=world.clock), world.make(timer=world.clock)
    a.set("k", 1, ttl=20)
    world.heard(1, a, b)
    world.pass_by(5)
    assert b.warm(["k"]).from_l2 == 1
    left = b.ttl("k")
    assert left is not None
    assert left <= (20 if world.real else 15)


@pytest.mark.promise(7)
def test_one_process_of_a_fleet_loads_and_the_others_take_it_from_l2(world: World) -> None:
    a, b, c = world.make(), world.make(), world.make()
    wanted = ["k1", "k2", "k3"]
    first = Warming(world, a, *wanted)
    assert first.loads.wait(30)
    others = [Warming(world, made, *wanted) for made in (b, c)]
    for other in others:
        assert not other.loads.wait(0.3), "only one loads"
    results = [warming.result() for warming in (first, *others)]
    assert [r.loaded for r in results] == [3, 0, 0]
    assert [r.from_l2 for r in results] == [0, 3, 3]
    assert all(r.complete for r in results)
    assert first.calls == Counter(wanted)
    assert all(len(made) == 3 for made in (a, b, c))


@pytest.mark.promise(7)
def test_what_the_loader_of_a_fleet_cannot_load_the_others_do_not_try_again(world: World) -> None:
    a, b = world.pair()
    go_on, tried, again = threading.Event(), threading.Event(), threading.Event()

    def fail(_: str) -> None:
        tried.set()
        assert go_on.wait(30)
        raise OSError("provider down")

    leader, led = in_thread(lambda: a.warm(["k"], loader=keyed(world, fail)))
    assert tried.wait(30)
    follower, followed = in_thread(
        lambda: b.warm(["k"], loader=keyed(world, lambda _: again.set()))
    )
    lease = keys.warm_up_keys(world.prefix, "startup")[1]
    assert eventually(lambda: b.core.books.stats is not None and world.raw(lease) is not None)
    go_on.set()
    for thread in (leader, follower):
        thread.join(30)
    assert led[0].failed == 1
    assert not led[0].succeeded
    # A follower that began to ask after the end would lead on its own, and may load.
    assert followed[0].skipped == 1 or again.is_set()
    assert world.raw(lease) is None, "whoever has finished gives the lease back"


@pytest.mark.promise(7)
def test_a_crashed_loader_of_a_fleet_is_replaced_when_its_lease_ends(world: World) -> None:
    a = world.make()
    done, lease = keys.warm_up_keys(world.prefix, "startup")
    world.put_raw(done, b"somebody, earlier")
    world.put_raw(lease, b"of a process that is gone", 0.5)
    warming = Warming(world, a, "k1", "k2")
    warming.go_on.set()
    assert not warming.loads.wait(0.2), "not while the lease stands"
    world.pass_by(1)
    result = warming.result()
    assert (result.loaded, result.complete) == (2, True)


@pytest.mark.promise(3)
def test_a_hanging_loader_holds_up_neither_the_start_nor_a_request(world: World) -> None:
    a = world.make()
    warming = Warming(world, a, "k", deadline=0.5)
    assert warming.loads.wait(30)
    warming.thread.join(30)
    assert not warming.thread.is_alive(), "the deadline covers the loader"
    try:
        assert a.get_or_load("k", world.loader(lambda: "of the request")) == "of the request"
    finally:
        result = warming.result()
    assert (result.loaded, result.skipped, result.succeeded) == (0, 1, False)
    assert eventually(lambda: a.core.loads_in_flight == 0)
    assert a.get("k") in ("of the request", "old k")


@pytest.mark.promise(3)
def test_a_hanging_source_holds_up_nothing(world: World) -> None:
    a, go_on = world.make(), threading.Event()

    def source() -> Iterator[str]:
        yield "k1"
        assert go_on.wait(30)

    try:
        result = a.warm(source, loader=keyed(world, str.upper), deadline=0.3)
    finally:
        go_on.set()
    assert (result.complete, result.succeeded, result.loaded) == (False, False, 0)


@pytest.mark.promise(3)
@pytest.mark.parametrize("fault", ["refused", "black-holed"])
def test_with_l2_unavailable_everyone_warms_its_own_memory(frail: World, fault: str) -> None:
    a, b = frail.pair()
    frail.used_again(a, b)
    frail.fail(fault)
    for made in (a, b):
        result = made.warm(["k1", "k2"], loader=keyed(frail, str.upper), deadline=20)
        assert (result.loaded, result.complete) == (2, True)
        assert made.get("k1") == "K1"
    frail.mend()
    frail.used_again(a, b)
    assert frail.raw(frail.value_key("k1")) is None, "a load of an outage fills L1 only"


@pytest.mark.promise(4)
def test_a_warm_up_after_an_outage_brings_back_nothing_that_was_deleted(frail: World) -> None:
    a, b = frail.pair()
    frail.used_again(a, b)
    a.set("k", "old")
    frail.heard(1, b)
    frail.fail("refused")
    a.delete("k")
    frail.mend()
    assert a.warm(["k"]).warm == 0
    assert a.get("k", MISS) is MISS


@pytest.mark.promise(8)
def test_an_endless_source_is_read_as_far_as_l1_has_room(world: World) -> None:
    a = world.make(l1_maxsize=7)
    result = a.warm(lambda: (f"k{i}" for i in itertools.count()), loader=keyed(world, str.upper))
    assert (result.entries, result.loaded) == (7, 7)
    assert a.stats.evictions.get(("l1", "size"), 0) == 0


@pytest.mark.promise(9)
def test_a_loader_that_raises_costs_its_key_and_tells_no_text(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    a = world.make()

    def load(key: str) -> str:
        if key == "bad":
            raise OSError("secret of the loader")
        return key

    def source() -> Iterator[str]:
        yield from ("k", "bad", "l")
        raise OSError("secret of the source")

    result = a.warm(source, loader=keyed(world, load))
    assert (result.loaded, result.failed) == (2, 1)
    assert (result.problem, result.succeeded) == ("OSError", False)
    assert a.stats.load_failures == {"error": 1}
    assert "secret" not in caplog.text + repr(result)


@pytest.mark.promise(10)
def test_the_hottest_keys_are_this_caches_own_and_those_that_are_read(world: World) -> None:
    a, b, other = world.make(), world.make(), world.make(cache_prefix=world.prefix + ":x")
    a.set_many({f"k{i}": i for i in range(50)})
    other.set("foreign", 1)
    world.put_raw("foreign:v1:{k}", b"x")
    result = b.warm()
    assert result.entries == result.from_l2 == 50
    assert len(b) == 50
    few = world.make(l1_maxsize=5).warm()
    assert few.entries == few.from_l2 == 5


@pytest.mark.promise(10)
def test_all_that_a_warm_up_writes_has_an_end(world: World) -> None:
    a = world.make()
    a.warm(["k"], loader=keyed(world, str.upper))
    done, lease = keys.warm_up_keys(world.prefix, "startup")
    assert world.raw(done) is not None
    assert world.raw(lease) is None
    if world.real:
        assert 0 < world.ask(done, "PTTL", done) <= 60_000
    a.clear()
    # What clear itself writes for an instant, to be heard, may still be there.
    assert eventually(lambda: world.wire_keys(f"{world.prefix}:v*") == set())


@pytest.mark.promise(7)
@pytest.mark.parametrize("driver", ["async"], indirect=True)
def test_a_cancelled_warm_up_leaves_its_key_and_its_lease_to_others(world: World) -> None:
    a, b = world.pair()
    started = threading.Event()

    async def hang(_: str) -> None:
        started.set()
        await asyncio.sleep(60)

    task = asyncio.run_coroutine_threadsafe(a.manager.warm(["k"], loader=hang), world.loop)
    assert started.wait(30)
    task.cancel()
    _, lease = keys.warm_up_keys(world.prefix, "startup")
    assert eventually(lambda: world.raw(lease) is None)
    assert not a.core.flights.flies("k")
    assert b.warm(["k"], loader=keyed(world, str.upper)).loaded == 1
    assert a.get("k") == "K"


@pytest.mark.promise(3)
def test_closing_ends_a_warm_up(world: World) -> None:
    a = world.make()
    warming = Warming(world, a, "k1", "k2", "k3", concurrency=1)
    assert warming.loads.wait(30)
    a.close()
    result = warming.result()
    assert not result.succeeded
    assert sum(warming.calls.values()) == 1
