"""Promise 4: L2 is used again by itself, and an outage resurrects nothing that was deleted."""

import time

import pytest

from routecache import MISS
from routecache.tiered.recovery import Recovery
from tests.contract.kinds import REAL, on
from tests.contract.world import World, gone
from tests.helpers import eventually
from tests.topologies import Cluster, Server, Topology, WithSentinel

pytestmark = pytest.mark.promise(4)

# Killed servers come back with their append-only files.
OUTAGES = ["refused", "black-holed", "killed"]


@pytest.mark.parametrize("fault", OUTAGES)
def test_what_was_deleted_set_or_invalidated_meanwhile_is_gone_afterwards(
    frail: World, fault: str
) -> None:
    frail.listening()
    a, b = frail.pair()
    frail.used_again(a, b)
    a.set("deleted", "old")
    a.set("set", "old")
    a.set("tagged", "old", tags=("t",))
    a.set("other", "stays")
    assert b.get_many(["deleted", "set", "tagged", "other"]) == {
        "deleted": "old", "set": "old", "tagged": "old", "other": "stays"
    }  # fmt: skip
    frail.fail(fault)
    a.delete("deleted")
    a.set("set", "lost")
    a.invalidate_tags("t")
    assert a.get("set") == "lost", "L1 goes on alone"
    frail.mend()
    frail.used_again(a, b)
    fresh = frail.make()
    for manager in (a, fresh):
        assert manager.get_many(["deleted", "tagged", "other"]) == {"other": "stays"}
    assert gone(fresh, "set"), "deleted, never rewritten"
    # Another process hears of the late deletes, or that it was deaf, a moment after they are done.
    assert eventually(lambda: b.get_many(["deleted", "tagged", "other"]) == {"other": "stays"})
    assert eventually(lambda: gone(b, "set"))
    assert a.stats.recovery_deletes >= 2
    assert a.stats.recovery_overflows == 0


def test_a_look_up_deletes_what_is_owed_before_it_reads(frail: World) -> None:
    a = frail.make()
    frail.used_again(a)
    a.set("k", "old")
    frail.fail("refused")
    a.delete("k")
    frail.mend()
    # The first look-up that L2 answers, before or after the background job.
    assert eventually(lambda: gone(a, "k") and set(a.stats.misses) != {"l2_unavailable"}, 30)
    frail.used_again(a)
    assert frail.raw(frail.value_key("k")) is None


def test_what_another_process_wrote_meanwhile_is_not_written_over(frail: World) -> None:
    a = frail.make()
    frail.used_again(a)
    frail.fail("refused")
    a.set("k", "lost")
    frail.mend()
    b = frail.make()
    frail.used_again(a, b)
    b.set("k", "newer")
    frail.background()
    assert frail.make().get("k") == "newer"


def test_an_overflow_forgets_the_prefix_and_reads_nothing_before(frail: World) -> None:
    a, b = frail.pair()
    frail.used_again(a, b)
    b.set("old", 1)
    foreign = frail.make(cache_prefix=f"{frail.prefix}x")
    foreign.set("beside", 1)
    frail.fail("refused")
    a.delete_many([f"k{i}" for i in range(Recovery.LIMIT + 1)])
    assert a.core.recovery.overflowed
    assert len(a.core.recovery) == 0
    assert gone(a, "old"), "L2 is not read before the prefix has been removed"
    frail.mend()
    frail.used_again(a, b)
    assert gone(frail.make(), "old")
    assert frail.make(cache_prefix=f"{frail.prefix}x").get("beside") == 1
    assert a.stats.recovery_overflows == 1
    a.set("new", 2)
    assert frail.make().get("new") == 2


@on(*REAL)
def test_a_cache_that_starts_without_a_server_finds_it_later(frail: World) -> None:
    frail.fail("refused")
    a, b = frail.pair()
    a.set("k", 1)
    assert a.get("k") == 1
    frail.mend()
    frail.used_again(a, b)
    a.set("k", 2)
    assert eventually(lambda: b.get("k") == 2, 10)


def test_an_endpoint_that_recovers_is_used_without_being_told(frail: World) -> None:
    a, b = frail.pair()
    frail.used_again(a, b)
    a.set("before", 1)
    frail.fail("killed")
    for n in range(20):
        a.set(f"k{n}", n)
        assert gone(a, f"cold{n}")
    assert a.stats.misses["l2_unavailable"] >= 20
    assert a.redis_available is False
    frail.mend()
    frail.used_again(a, b)
    assert frail.make().get("before") == 1, "the append-only file kept it"
    assert a.redis_available is True


def _replicated(topology: Topology) -> None:
    """What the primaries hold is on their replicas too."""
    primaries = topology.primaries() if isinstance(topology, Cluster) else [topology.primary()]
    for server in primaries:
        assert eventually(lambda server=server: int(server.ask("WAIT", 1, 1000)) >= 1, 20)  # type: ignore[misc]


@on("sentinel", "cluster")
def test_a_failover_raises_nothing_keeps_what_was_replicated_and_resurrects_nothing(
    driver: str, kind: str
) -> None:
    topology: Topology = WithSentinel() if kind == "sentinel" else Cluster()
    world = World(driver, kind, topology, {"l2_timeout": 0.2})
    try:
        a, b = world.pair()
        world.used_again(a, b)
        numbers = [f"k{n}" for n in range(60)]  # on all primaries of the cluster
        a.set_many(dict.fromkeys(numbers, "kept"))
        _replicated(topology)
        died: Server = topology.kill_primary()
        world.failing = "killed"
        started = time.monotonic()
        a.delete_many(numbers[:30])
        while a.core.recovery or time.monotonic() - started < 1:
            b.get_many(numbers)
            a.get_or_load("load", world.loader(lambda: 1))
            assert time.monotonic() - started < 40, "no other primary took over"
        world.failing = None
        assert not died.running
        world.used_again(a, b)
        fresh = world.make()
        for manager in (a, b, fresh):
            assert manager.get_many(numbers) == dict.fromkeys(numbers[30:], "kept")
        a.set("k", "new", tags=("t",))
        assert eventually(lambda: b.get("k") == "new", 10)
        b.invalidate_tags("t")
        assert eventually(lambda: gone(a, "k"), 10)
        assert a.get("load", MISS) in (1, MISS)
    finally:
        world.close()
        topology.stop()
