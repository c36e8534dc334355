"""Promise 8: every structure has a bound, in the process and in Redis."""

import threading

import pytest

from routecache import ValueTooLargeError, snapshot
from routecache.local import LocalTier
from routecache.tiered.fences import TagTimes
from routecache.tiered.recovery import Recovery
from routecache.tiered.waits import MAX_BACKGROUND
from tests.contract.kinds import REAL, on
from tests.contract.world import World, gone, in_thread
from tests.helpers import eventually

pytestmark = pytest.mark.promise(8)


def test_after_a_load_of_many_keys_and_tags_every_structure_is_within_its_bound(
    world: World,
) -> None:
    a = world.make(l1_maxsize=50)
    core, local = a.core, a.core.local
    for n in range(4):
        a.set_many({f"k{n}.{i}": i for i in range(300)}, tags=[f"t{n}"])
        a.get_many([f"k{n}.{i}" for i in range(300)])
        a.get_or_load(f"loaded{n}", world.loader(lambda: 1))
    a.invalidate_tags(*(f"t{i}" for i in range(TagTimes.LIMIT + 100)))
    a.delete_many([f"k0.{i}" for i in range(300)])
    assert isinstance(local, LocalTier)
    assert len(a) <= len(local.entries) <= 50
    assert len(local._ghosts._gone) <= local._ghosts._limit == 128
    assert len(local._deadlines.heap) <= 2 * 50 + 64 + 1
    assert sum(map(len, local._tagged.values())) <= 50
    assert len(core._tag_times._times) <= TagTimes.LIMIT
    assert (len(core._fences), core.flights._flying, core._news, core._leases) == (0, {}, {}, {})
    assert len(core.recovery) == 0
    assert a.stats.evictions[("l1", "size")] > 0


def test_bytes_are_bounded_too(world: World) -> None:
    a = world.make(l1_maxsize=1000, l1_max_bytes=2000)
    a.set_many({f"k{i}": "x" * 100 for i in range(100)})
    world.heard(100, a)
    assert len(a.get_many([f"k{i}" for i in range(100)])) == 100
    assert 0 < a.core.local.bytes <= 2000
    assert 0 < len(a) < 20


def test_a_value_too_large_is_refused_and_deletes_the_key_in_both_tiers(world: World) -> None:
    a = world.make(policy={"max_value_bytes": 100})
    a.set("k", "small")
    with pytest.raises(ValueTooLargeError, match="max_value_bytes=100"):
        a.set("k", "x" * 200)
    assert gone(a, "k")
    assert gone(world.make(), "k")
    assert a.get_or_load("k", world.loader(lambda: "y" * 200)) == "y" * 200
    assert gone(world.make(), "k"), "who asked for a load must not fail for its size"


def test_the_recovery_set_is_bounded(frail: World) -> None:
    a = frail.make()
    frail.used_again(a)
    frail.fail("refused")
    a.delete_many([f"k{i}" for i in range(Recovery.LIMIT)])
    assert len(a.core.recovery) == Recovery.LIMIT
    a.invalidate_tags("one too many")
    assert len(a.core.recovery) == 0
    assert a.core.recovery.overflowed
    assert a.stats.recovery_overflows == 1


def test_cells_of_threads_that_ended_are_folded_in_and_lose_nothing(world: World) -> None:
    a = world.make()
    for _ in range(4):
        threads = [in_thread(lambda: [a.get("k") for _ in range(5)])[0] for _ in range(10)]
        for thread in threads:
            thread.join(30)
    cells = a.core.books.stats.cells
    assert eventually(lambda: cells.thread_count() <= 4, 10)
    assert a.stats.requests == 200


def test_background_refreshes_are_bounded_and_end_with_the_manager(world: World) -> None:
    more = MAX_BACKGROUND + 20
    a = world.make(l1_maxsize=2 * more, policy={"stale_ttl": 1000.0}, timer=world.clock)
    a.set_many({f"k{i}": "old" for i in range(more)}, ttl=0.2)
    world.pass_by(0.2)
    assert eventually(lambda: a.get_many([f"k{i}" for i in range(more)]) == {}, 10)
    go_on = threading.Event()
    running = []

    def load() -> str:
        running.append(1)
        assert go_on.wait(30)
        return "new"

    loader = world.loader(load)
    for i in range(more):
        assert a.get_or_load(f"k{i}", loader) == "old"
    assert len(running) <= MAX_BACKGROUND
    go_on.set()
    assert eventually(lambda: a.stats.loads_in_flight == 0 and not a.core.flights._flying, 20)


def test_however_many_endpoints_there_are_their_labels_are_few(world: World) -> None:
    made = [world.make() for _ in range(3)]
    aliases = {endpoint.alias for endpoint in snapshot().endpoints}
    assert len(aliases) <= 9
    assert len({manager.sync.remote.alias for manager in made}) == 1  # type: ignore[union-attr]  # has L2


@on(*REAL)
def test_managers_of_one_url_share_its_connections(world: World) -> None:
    def clients() -> int:
        return sum(len(server.ask("CLIENT", "LIST", "TYPE", "normal")) for server in
                   world.primaries())  # fmt: skip

    made = [world.make() for _ in range(2)]
    for manager in made:
        manager.set_many({f"k{i}": i for i in range(50)})
    endpoints = {id(manager.sync.remote.endpoint) for manager in made}  # type: ignore[union-attr]
    assert len(endpoints) == 1
    before = clients()
    made += [world.make() for _ in range(8)]
    for manager in made:
        manager.get_many([f"k{i}" for i in range(50)])
    assert clients() <= before + len(world.primaries()) + 1
