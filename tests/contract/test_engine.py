"""The promises under fire, for the sync and the asyncio manager, on fakes and real servers."""

import asyncio
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from routecache import (
    MISS,
    AsyncCacheManager,
    BaseCacheManager,
    LoadTimeoutError,
    Policy,
    SerializationError,
)
from routecache.local import Entry
from routecache.stats import stats_for
from routecache.testing import FakeRemote, ManualTimer
from tests.helpers import eventually
from tests.servers import RedisServer
from tests.topologies import Cluster, One, Topology, Valkey, WithSentinel

_prefixes = itertools.count(1)


TOPOLOGIES: dict[str, type[Topology]] = {
    "redis": One,
    "valkey": Valkey,
    "sentinel": WithSentinel,
    "cluster": Cluster,
}
NOWHERE = "redis://127.0.0.1:1/0"


class Blocking:
    """A sync or an asyncio manager, called from threads: the same test drives both."""

    def __init__(self, manager: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.manager = manager
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.manager, name)
        if not inspect.iscoroutinefunction(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(found(*args, **options), self._loop).result(30)

        return call


class World:
    """Managers over one L2, as processes share a Redis."""

    def __init__(self, driver: str, where: dict[str, Any], timer: ManualTimer, fake: Any) -> None:
        self.driver, self.timer, self.fake = driver, timer, fake
        self._where = where
        self._prefix = f"engine{next(_prefixes)}"
        self.made: list[Blocking] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def make(self, **options: Any) -> Blocking:
        policy = {"l2_timeout": 1.0, **options.pop("policy", {})}
        merged = {
            "cache_prefix": self._prefix,
            "name": f"{self._prefix}.{len(self.made)}",
            "timer": self.timer,
            "policy": Policy(**policy),
            **self._where,
            **options,
        }
        kind = BaseCacheManager if self.driver == "sync" else AsyncCacheManager
        made = Blocking(kind(**merged), self.loop)
        self.made.append(made)
        if self.fake is None and merged["redis_url"] != NOWHERE and "enable_redis" not in merged:
            # When a listener connects, what is under way begins anew; no test is about that moment.
            assert eventually(lambda: core(made).hears is not False, 10)
        return made

    def loader(self, load: Callable[[], Any]) -> Any:
        """`load`, which may block, as the driver wants it."""
        if self.driver == "sync":
            return load

        async def awaited() -> Any:
            return await asyncio.to_thread(load)

        return awaited

    def background(self) -> None:
        """Let a fake do now what a real server's manager does by itself."""
        if self.fake is not None:
            self.fake.run_background()

    def close(self) -> None:
        for made in self.made:
            made.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def topologies() -> Iterator[dict[str, Topology]]:
    """Started when a test first asks for one, and kept for all."""
    started: dict[str, Topology] = {}
    yield started
    for topology in started.values():
        topology.stop()


@pytest.fixture(
    params=[
        "fake",
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
        "valkey",
        pytest.param("sentinel", marks=pytest.mark.needs("redis-server")),
        pytest.param("cluster", marks=pytest.mark.needs("redis-server")),
    ]
)
def world(request: pytest.FixtureRequest, driver: str) -> Iterator[World]:
    timer = ManualTimer()
    fake = None
    where: dict[str, Any]
    if request.param == "fake":
        fake = FakeRemote(timer)
        where = {"redis_client": fake}
    else:
        topologies: dict[str, Topology] = request.getfixturevalue("topologies")
        if request.param not in topologies:
            topologies[request.param] = TOPOLOGIES[request.param]()
        where = {"redis_url": topologies[request.param].url}
    made = World(driver, where, timer, fake)
    yield made
    made.close()


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(call())
        except Exception as error:  # the test looks at it
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def core(made: Blocking) -> Any:
    """The core of a manager."""
    return (
        made.manager.core if isinstance(made.manager, BaseCacheManager) else made.manager.sync.core
    )


def hits(manager: Blocking) -> int:
    """Hits of any tier: the echo of an own write may cost the copy in L1."""
    stats = manager.get_stats()
    return int(stats["l1_hits"] + stats["l2_hits"])


def test_a_load_is_stored_in_both_tiers_and_then_hit(world: World) -> None:
    a, b = world.make(), world.make()
    assert a.get_or_load("k", world.loader(lambda: {"n": 1})) == {"n": 1}
    assert b.get("k") == {"n": 1}, "L2 holds it"
    assert a.get("k") == {"n": 1}
    assert hits(a) == 1


@pytest.mark.parametrize("what", ["delete", "set", "clear"])
def test_a_load_that_another_process_invalidates_is_never_visible(world: World, what: str) -> None:
    a, b, c = world.make(), world.make(), world.make()
    started, go_on = threading.Event(), threading.Event()

    def load() -> str:
        started.set()
        assert go_on.wait(10)
        return "old"

    thread, got = in_thread(lambda: a.get_or_load("k", world.loader(load)))
    assert started.wait(10)
    if what == "set":
        b.set("k", "new")
    elif what == "delete":
        b.delete("k")
    else:
        b.clear()
    go_on.set()
    thread.join(10)
    assert got == ["old"], "who asked for the load gets what it gave"
    expected = "new" if what == "set" else MISS
    for manager in (a, b, c):
        assert manager.get("k", MISS) == expected


def test_a_tag_that_another_process_invalidates_during_a_load_hides_its_value(
    world: World,
) -> None:
    a, b = world.make(), world.make()
    started, go_on = threading.Event(), threading.Event()

    def load() -> str:
        started.set()
        assert go_on.wait(10)
        return "old"

    thread, _ = in_thread(lambda: a.get_or_load("k", world.loader(load), tags=("t",)))
    assert started.wait(10)
    b.invalidate_tags("t")
    go_on.set()
    thread.join(10)
    assert world.make().get("k", MISS) is MISS


def test_a_remembered_none_is_a_hit_for_its_own_time(world: World) -> None:
    a = world.make(policy={"negative_ttl": 5.0})
    calls = []

    def load() -> Any:
        calls.append(1)
        return MISS

    assert a.get_or_load("k", world.loader(load)) is MISS
    assert a.get_or_load("k", world.loader(load)) is MISS
    assert a.get("k", "none") == "none"
    assert len(calls) == 1
    assert hits(a) == 2
    b = world.make(policy={"negative_ttl": 5.0})
    assert b.get_or_load("k", world.loader(load)) is MISS
    assert b.get_stats()["l2_hits"] == 1, "other processes know too"
    if world.fake is not None:
        world.timer.advance(6)
        a.get_or_load("k", world.loader(load))
        assert len(calls) == 2


def test_a_stale_value_is_served_at_once_while_one_caller_refreshes(world: World) -> None:
    a = world.make(l1_ttl=10, policy={"stale_ttl": 100.0}, enable_redis=False)
    go_on = threading.Event()
    calls = []

    def load() -> str:
        calls.append(1)
        assert go_on.wait(10)
        return "new"

    a.set("k", "old")
    world.timer.advance(11)
    assert a.get("k", MISS) is MISS, "without a loader nobody would refresh it"
    for _ in range(20):
        assert a.get_or_load("k", world.loader(load)) == "old"
    go_on.set()
    assert eventually(lambda: a.get("k") == "new", 10)
    assert len(calls) == 1


def test_a_stale_value_is_served_when_the_load_fails(world: World) -> None:
    a = world.make(l1_ttl=10, policy={"stale_if_error": 100.0}, enable_redis=False)
    a.set("k", "old")
    world.timer.advance(11)

    def fails() -> str:
        raise OSError("provider down")

    assert a.get_or_load("k", world.loader(fails)) == "old"
    assert a.get_or_load("k", world.loader(lambda: "new")) == "new"
    a.set("k", "old")
    world.timer.advance(111)
    with pytest.raises(OSError, match="provider down"):
        a.get_or_load("k", world.loader(fails))


def test_a_soft_timeout_serves_stale_while_the_load_goes_on(world: World) -> None:
    policy = {"stale_if_error": 100.0, "soft_timeout": 0.02}
    a = world.make(l1_ttl=10, policy=policy, enable_redis=False)
    a.set("k", "old")
    world.timer.advance(11)
    go_on = threading.Event()

    def load() -> str:
        assert go_on.wait(10)
        return "new"

    assert a.get_or_load("k", world.loader(load)) == "old"
    go_on.set()
    assert eventually(lambda: a.get("k") == "new", 10)


def test_a_waiter_waits_no_longer_than_its_hard_timeout(world: World) -> None:
    a = world.make(policy={"hard_timeout": 0.05})
    started, go_on = threading.Event(), threading.Event()

    def load() -> str:
        started.set()
        assert go_on.wait(10)
        return "late"

    thread, got = in_thread(lambda: a.get_or_load("k", world.loader(load)))
    assert started.wait(10)
    with pytest.raises(LoadTimeoutError):
        a.get_or_load("k", world.loader(load))
    go_on.set()
    thread.join(10)
    assert got == ["late"]


def test_with_a_distributed_lock_other_processes_wait_for_the_holder(world: World) -> None:
    a, b = (world.make(policy={"distributed_lock": True}) for _ in range(2))
    started, go_on = threading.Event(), threading.Event()
    calls = []

    def load() -> str:
        calls.append(1)
        started.set()
        assert go_on.wait(10)
        return "value"

    first, got_first = in_thread(lambda: a.get_or_load("k", world.loader(load)))
    assert started.wait(10)
    second, got_second = in_thread(lambda: b.get_or_load("k", world.loader(load)))
    go_on.set()
    first.join(10)
    second.join(10)
    assert got_first == got_second == ["value"]
    assert len(calls) == 1


def test_a_failing_holder_lets_another_process_load(world: World) -> None:
    a, b = (world.make(policy={"distributed_lock": True}) for _ in range(2))

    def fails() -> str:
        raise OSError("provider down")

    with pytest.raises(OSError, match="provider down"):
        a.get_or_load("k", world.loader(fails))
    assert b.get_or_load("k", world.loader(lambda: "value")) == "value"


def test_a_load_whose_value_cannot_be_stored_lets_another_process_load(world: World) -> None:
    a, b = (world.make(policy={"distributed_lock": True, "hard_timeout": 5.0}) for _ in range(2))
    with pytest.raises(SerializationError):
        a.get_or_load("k", world.loader(lambda: {1, 2}))
    assert b.get_or_load("k", world.loader(lambda: "value")) == "value"


def test_a_refresh_takes_the_fresh_value_that_l2_holds(world: World) -> None:
    a = world.make(l1_ttl=10, l2_ttl=300, policy={"stale_ttl": 100.0})
    b = world.make(l1_ttl=10, l2_ttl=300)
    calls = []

    def load() -> str:
        calls.append(1)
        return "loaded"

    a.set("k", "old")
    assert eventually(lambda: a.get("k") == "old" and len(a.manager), 10)
    b.set("k", "new")
    assert eventually(lambda: a.get("k") == "new" or world.fake is not None, 10)
    world.timer.advance(11)
    assert eventually(lambda: a.get_or_load("k", world.loader(load)) == "new", 10)
    assert calls == []


def test_loaders_that_need_each_other_do_not_wait_for_each_other(world: World) -> None:
    a = world.make()
    barrier = threading.Barrier(2, timeout=10)

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
    one.join(10)
    two.join(10)
    assert [*got_one, *got_two] == ["leaf", "leaf"], "neither waits for ever"


def test_what_failed_is_deleted_when_l2_returns_and_never_read_before(driver: str) -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    world = World(driver, {"redis_client": fake}, timer, fake)
    a, b = world.make(), world.make()
    a.set("k", "old")
    a.set("other", "stays")
    fake.failure = "timeout"
    a.delete("k")
    a.invalidate_tags("t")
    fake.failure = None
    assert a.get("k", MISS) is MISS, "its own look-up deletes it first"
    assert b.get("k", MISS) is MISS
    assert b.get("other") == "stays"
    fake.failure = "connection"
    a.set("k", "lost")
    assert a.get("k") == "lost", "L1 has it"
    fake.failure = None
    b.set("k", "newer")
    fake.run_background()
    assert world.make().get("k", MISS) is MISS, "deleted, never rewritten"
    world.close()


def test_an_overflowing_recovery_forgets_the_prefix_and_reads_nothing_before(driver: str) -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    world = World(driver, {"redis_client": fake}, timer, fake)
    a, b = world.make(), world.make()
    b.set("old", 1)
    fake.failure = "timeout"
    a.delete_many([f"k{i}" for i in range(10_001)])
    fake.failure = None
    assert a.get("old", MISS) is MISS
    assert a.get_stats()["misses_by_reason"] == {"l2_unavailable": 1}
    fake.run_background()
    assert world.make().get("old", MISS) is MISS, "the prefix was forgotten"
    a.set("new", 2)
    assert b.get("new") == 2
    world.close()


def test_other_processes_hear_of_writes_and_deletes(world: World) -> None:
    if world.fake is not None:
        world.fake.listening = True
    a, b = world.make(), world.make()
    a.set("k", 1, tags=("t",))
    assert eventually(lambda: b.get("k") == 1 and b.get_stats()["l1_hits"], 10)
    a.set("k", 2, tags=("t",))
    assert eventually(lambda: b.get("k") == 2, 10)
    a.delete("k")
    assert eventually(lambda: b.get("k", MISS) is MISS, 10)
    a.set("k", 3, tags=("t",))
    assert eventually(lambda: b.get("k") == 3, 10)
    a.invalidate_tags("t")
    assert eventually(lambda: b.get("k", MISS) is MISS, 10)


def test_a_delete_that_l2_knows_nothing_of_reaches_other_processes(
    world: World,
) -> None:
    if world.fake is not None:
        world.fake.listening = True
    a, b = world.make(), world.make(l2_ttl=0.001)
    assert eventually(lambda: core(b).hears, 10)
    core(b).local.put(Entry("k", 1, world.timer() + 100), world.timer())
    assert b.get("k") == 1
    a.delete("k")
    assert eventually(lambda: b.get("k", MISS) is MISS, 10)


def test_while_deaf_l1_serves_for_the_blind_ttl_at_most(driver: str) -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer, listening=True)
    world = World(driver, {"redis_client": fake}, timer, fake)
    a, b = world.make(l1_ttl=300), world.make(l1_ttl=300)
    a.set("k", 1)
    assert b.get("k") == 1
    fake.listen(False)
    a.set("k", 2)
    timer.advance(29)
    assert b.get("k") == 1, "stale, reason blind"
    timer.advance(2)
    assert b.get("k") == 2
    a.set("k", 3)
    fake.failure = "connection"
    timer.advance(100)
    assert b.get("k") == 2, "L2 is gone too: L1 serves until the entry's own TTL"
    fake.failure = None
    fake.listen(True)
    assert b.get("k") == 3, "reconnecting drops what may be stale"
    assert stats_for(b.manager.name).snapshot().stale_hits == {"blind": 1}
    world.close()


def test_a_server_that_was_never_reached_raises_nothing(driver: str) -> None:
    world = World(driver, {"redis_url": NOWHERE}, ManualTimer(), None)
    a = world.make()
    a.set("k", 1, tags=("t",))
    assert a.get("k") == 1
    a.invalidate_tags("t")
    assert a.get("k", MISS) is MISS
    assert a.delete("k") is False
    assert a.clear() is False
    assert a.get_or_load("k", world.loader(lambda: 2)) == 2
    world.close()


def test_a_value_of_a_foreign_type_is_undecodable_and_overwritten(
    driver: str, shared_redis: RedisServer
) -> None:
    world = World(driver, {"redis_url": shared_redis.url}, ManualTimer(), None)
    a = world.make(cache_prefix=f"foreign.{driver}")
    with redis.Redis.from_url(shared_redis.url) as client:
        client.rpush("foreign." + driver + ":v1:{k}", "not ours")
        assert a.get("k", MISS) is MISS
        assert a.get_stats()["misses_by_reason"] == {"undecodable": 1}
        assert a.get_or_load("k", world.loader(lambda: "ours")) == "ours"
        assert world.make(cache_prefix=f"foreign.{driver}").get("k") == "ours"
    world.close()
