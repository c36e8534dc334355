"""Promise 5: what one process writes, deletes or invalidates, the others' L1 drops."""

import pytest

from routecache.local import Entry
from tests.contract.kinds import REAL, on
from tests.contract.other_host import OtherHost
from tests.contract.world import Blocking, World, gone
from tests.helpers import eventually

pytestmark = pytest.mark.promise(5)


@pytest.fixture(autouse=True)
def _listening(request: pytest.FixtureRequest) -> None:
    for name in ("world", "frail"):
        if name in request.fixturenames:
            request.getfixturevalue(name).listening()


def held(made: Blocking, key: str, value: object, heard: int, world: World) -> None:
    """Have `made` hold the key in L1, whatever echoes are on their way."""
    world.heard(heard, made)
    assert made.get(key) == value
    assert key in made.core.local.entries


def test_other_processes_hear_of_writes_and_deletes(world: World) -> None:
    a, b = world.pair()
    a.set("k", 1, tags=("t",))
    held(b, "k", 1, 1, world)
    a.set("k", 2, tags=("t",))
    assert eventually(lambda: b.get("k") == 2, 10)
    a.delete("k")
    assert eventually(lambda: gone(b, "k"), 10)
    a.set("k", 3, tags=("t",))
    assert eventually(lambda: b.get("k") == 3, 10)
    a.invalidate_tags("t")
    assert eventually(lambda: gone(b, "k"), 10)
    world.set_heard(a, "of clear", 4, b)
    assert b.get("of clear") == 4
    assert a.clear() is True
    assert eventually(lambda: gone(b, "of clear"), 10)
    assert b.stats.misses["invalidated"] >= 2


def test_batches_loads_and_clears_are_heard_too(world: World) -> None:
    a, b = world.pair()
    a.set_many({"x": 1, "y": 1})
    held(b, "x", 1, 2, world)
    held(b, "y", 1, 2, world)
    a.set_many({"x": 2})
    a.delete_many(["y"])
    assert eventually(lambda: b.get_many(["x", "y"]) == {"x": 2}, 10)
    a.delete("x")
    assert eventually(lambda: gone(b, "x"), 10)
    assert a.get_or_load("x", world.loader(lambda: 3)) == 3
    assert eventually(lambda: b.get("x") == 3, 10)
    assert a.clear() is True
    assert eventually(lambda: gone(b, "x"), 10)
    assert len(b) == 0


def test_a_delete_that_l2_knows_nothing_of_reaches_other_processes(world: World) -> None:
    a, b = world.pair()
    b.core.local.put(Entry("k", 1, world.timer() + 100), world.timer())
    assert b.get("k") == 1
    a.delete("k")
    assert eventually(lambda: gone(b, "k"), 10)


def test_a_clear_reaches_what_only_other_processes_hold(world: World) -> None:
    a, b = world.pair()
    b.core.local.put(Entry("k", 1, world.timer() + 100), world.timer())
    assert b.get("k") == 1
    assert a.clear() is True
    assert eventually(lambda: gone(b, "k"), 10)


@on(*REAL)
def test_a_process_of_another_host_hears_and_is_heard(world: World) -> None:
    assert world.servers is not None
    here = world.make()
    with OtherHost(world.driver, world.servers.url, world.prefix) as there:
        here.set("k", 1)
        assert eventually(lambda: there.get("k") == 1, 10)
        there.set("k", 2)
        assert eventually(lambda: here.get("k") == 2, 10)
        here.delete("k")
        assert eventually(lambda: there.get("k") is None, 10)
        there.set("k", 3, tags=["t"])
        assert eventually(lambda: here.get("k") == 3, 10)
        here.invalidate_tags("t")
        assert eventually(lambda: there.get("k") is None, 10)


@on(*REAL)
def test_a_listener_whose_connection_is_killed_connects_anew_and_drops_what_it_held(
    frail: World,
) -> None:
    a, b = frail.pair()
    frail.used_again(a, b)
    frail.set_heard(a, "k", 1, b)
    assert b.get("k") == 1
    assert "k" in b.core.local.entries
    for n in range(2, 6):
        for server in frail.primaries():
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        a.set("k", n)  # heard, or dropped with the rest on reconnecting
        assert eventually(lambda n=n: b.get("k") == n, 10)  # type: ignore[misc]
    frail.hearing(a, b)
    a.set("k", "last")
    assert eventually(lambda: b.get("k") == "last", 10)


def test_while_deaf_l1_serves_for_the_blind_ttl_at_most(frail: World) -> None:
    a, b = frail.pair(l1_ttl=300, policy={"l2_timeout": 2.0})
    frail.used_again(a, b)
    frail.set_heard(a, "k", 1, b)
    assert b.get("k") == 1
    frail.fail("deaf")
    assert eventually(lambda: b.core.hears is False, 10)
    before = b.stats.stale_hits.get("blind", 0)
    a.set("k", 2)
    frail.timer.advance(29)
    assert b.get("k") == 1, "stale, reason blind"
    assert b.stats.stale_hits["blind"] == before + 1
    frail.timer.advance(2)
    assert b.get("k") == 2
    a.set("k", 3)
    frail.mend()
    frail.hearing(a, b)
    assert b.get("k") == 3, "reconnecting drops what may be stale"


def test_while_l2_is_gone_too_l1_serves_until_the_entrys_own_ttl(frail: World) -> None:
    b = frail.make(l1_ttl=300)
    frail.used_again(b)
    frail.set_heard(b, "k", 1, b)
    assert b.get("k") == 1
    frail.fail("killed")
    assert eventually(lambda: b.core.hears is False, 20)
    assert eventually(lambda: b.get_many([f"x{n}" for n in range(9)]) == {}
                      and not b.redis_available, 20)  # fmt: skip
    frail.timer.advance(200)
    assert b.get("k") == 1
    frail.timer.advance(101)
    assert gone(b, "k")


def test_what_was_never_reached_leaves_l1_to_its_own_ttl(frail: World) -> None:
    frail.fail("refused")
    if frail.fake is not None:
        frail.fake.reached = False
    a = frail.make(l1_ttl=300)
    a.set("k", 1)
    frail.timer.advance(299)
    assert a.get("k") == 1
    frail.timer.advance(2)
    assert gone(a, "k")


@on(*REAL)
def test_where_tracking_is_refused_messages_of_our_own_do_the_same_work(frail: World) -> None:
    assert frail.servers is not None
    for server in frail.primaries():
        rules = ["on", ">of-the-limited", "~*", "+@all", "-client|tracking", "allchannels"]
        server.ask("ACL", "SETUSER", "limited", *rules)
    scheme, _, rest = frail.servers.url.partition("://")
    url = f"{scheme}://limited:of-the-limited@{rest}"
    a, b = frail.pair(redis_url=url)
    frail.used_again(a, b)
    a.set("k", 1, tags=("t",))
    assert eventually(lambda: b.get("k") == 1, 10)
    a.set("k", 2, tags=("t",))
    assert eventually(lambda: b.get("k") == 2, 10)
    a.delete("k")
    assert eventually(lambda: gone(b, "k"), 10)
    a.set("k", 3, tags=("t",))
    assert eventually(lambda: b.get("k") == 3, 10)
    a.invalidate_tags("t")
    assert eventually(lambda: gone(b, "k"), 10)
    frail.set_heard(a, "of clear", 4, b)
    assert b.get("of clear") == 4
    assert a.clear() is True
    assert eventually(lambda: gone(b, "of clear"), 10)


def test_keys_with_braces_are_stored_shared_and_deleted_like_any(world: World) -> None:
    world.listening()
    a, b = world.pair()
    for key in ("}", "}x", "}{", "a}b", "{a}", "\0}"):
        assert a.get_or_load(key, world.loader(lambda key=key: f"of {key}")) == f"of {key}"  # type: ignore[misc]
        assert b.get(key) == f"of {key}", "not in L2"
        assert a.delete(key) is True
        assert eventually(lambda key=key: gone(b, key), 10)  # type: ignore[misc]
    assert not a.core.recovery
    assert not a.stats.errors
