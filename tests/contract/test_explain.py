"""`explain` tells the truth, changes nothing and never fails, on fakes and on real servers."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from routecache import MISS, BaseCacheManager, CacheClosedError, Explanation, Policy
from routecache.serializers import MsgpackSerializer
from routecache.stats import CacheSnapshot, stats_for
from routecache.testing import FakeRemote, ManualTimer
from routecache.typing import ERROR_KINDS
from tests.contract.world import World, in_thread
from tests.helpers import eventually
from tests.topologies import One

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def fake_world(driver: str) -> Iterator[World]:
    """For what only a clock and a server that the test moves can show."""
    made = World(driver, "fake", None, {"l2_timeout": 1.0})
    yield made
    made.close()


def counted(manager: Any) -> CacheSnapshot:
    return stats_for(manager.manager.name).snapshot()


def in_l1(manager: Any, key: str) -> Explanation:
    """The explanation of a key that L2 holds, once L1 holds it too: an echo may take it away."""

    def found() -> Explanation | None:
        manager.get(key)
        said: Explanation = manager.explain(key)
        return said if said.l1.state == "fresh" else None

    return eventually(found, 10)  # type: ignore[return-value]  # it waits for more than None


def test_a_value_in_both_tiers_is_told_with_its_age_its_end_its_tags_and_its_writer(
    world: World,
) -> None:
    a = world.make(l1_ttl=60, l2_ttl=300)
    a.set("k", {"n": 1}, tags=("provider:openai", "model"))
    said = in_l1(a, "k")
    assert (said.key, said.cache, said.answers, said.miss_reason) == (
        "k", a.manager.name, "l1", None,
    )  # fmt: skip
    assert said.l1.tags == ("provider:openai", "model")
    assert said.l1.seconds_left is not None
    assert 0 < said.l1.seconds_left <= 60
    assert said.l1.age == 0.0, "its timer stands still"
    assert said.l1_is_current is True
    l2 = said.l2
    assert l2 is not None
    assert (l2.state, l2.error, l2.problem) == ("fresh", None, None)
    assert (l2.serializer, l2.size, l2.none) == ("json", len(b'{"n":1}'), False)
    assert l2.writer == a.manager.core.release
    assert l2.tags == ("provider:openai", "model")
    assert l2.invalidated_by == ()
    assert l2.seconds_left is not None
    assert 200 < l2.seconds_left <= 300
    assert l2.redis_ttl is not None
    assert 200 < l2.redis_ttl <= 300
    assert l2.age is not None
    assert 0 <= l2.age < 100
    assert l2.wire_size is not None
    assert l2.wire_size > len(b'{"n":1}')
    assert (l2.lease_left, l2.lease_is_ours) == (None, False)
    assert (said.loading, said.owed) == (False, False)


def test_what_only_l2_holds_is_not_promoted_by_asking(world: World) -> None:
    a, b = world.make(), world.make()
    a.set("k", 1)
    for _ in range(3):
        said = b.explain("k")
        assert (said.answers, said.l1.state, said.l1.gone) == ("l2", "absent", "cold")
        assert said.l1_is_current is None
    assert len(b.manager) == 0


def test_asking_changes_no_count_and_takes_no_lease(world: World) -> None:
    a = world.make(policy={"negative_ttl": 60.0})
    a.set("held", 1, tags=("t",))
    a.set("gone", 1)
    a.delete("gone")
    a.get_or_load("none", world.loader(lambda: MISS))
    in_l1(a, "held")
    b = world.make()
    before = counted(a), counted(b)
    for key in ("held", "gone", "none", "never"):
        for manager in (a, b):
            said = manager.explain(key)
            assert said.l2 is not None
            assert said.l2.lease_left is None
            assert not said.loading
    for i, manager in enumerate((a, b)):
        after = counted(manager)
        for field in ("requests", "l1_hits", "l2_hits", "misses", "l1_misses", "errors",
                      "stale_hits", "request_duration", "loads", "evictions"):  # fmt: skip
            assert getattr(after, field) == getattr(before[i], field), field


@pytest.mark.parametrize("l1_policy", ["sieve", "lru", "lfu"])
def test_asking_saves_no_entry_from_eviction(fake_world: World, l1_policy: str) -> None:
    a, asked = (
        fake_world.make(l1_maxsize=3, l1_policy=l1_policy, enable_redis=False) for _ in range(2)
    )
    for manager in (a, asked):
        for key in "abc":
            manager.set(key, key)
        if manager is asked:
            for _ in range(5):
                manager.explain("a")
        for key in "de":
            manager.set(key, key)
    order = [list(manager.manager.core.local.entries) for manager in (a, asked)]
    assert order[0] == order[1]
    assert "a" not in order[1]


def test_a_tag_that_another_process_invalidated_is_named_as_what_hides_the_value(
    world: World,
) -> None:
    a, b, c = (world.make() for _ in range(3))

    def stored() -> bool:  # a write that timed out on a busy machine is taken back
        a.set("k", 1, tags=("x", "t", "y"))
        return bool(a.explain("k").l2.state == "fresh")

    eventually(stored, 10)
    world.timer.advance(0.001)
    b.invalidate_tags("t", "other")
    said = eventually(lambda: s if (s := c.explain("k")).l2.state != "fresh" else None, 10)
    assert said is not None
    assert said.l2.state == "invalidated", said
    assert said.l2.invalidated_by == ("t",)
    assert (said.answers, said.miss_reason) == (None, "cold")
    assert said.l2.size == 1, "it is there all the same"


def test_a_copy_in_l1_whose_invalidation_was_not_heard_is_named(fake_world: World) -> None:
    a, b = fake_world.make(), fake_world.make()
    a.set("k", 1, tags=("t", "u"))
    assert a.explain("k").l1.invalidated_by == ()
    fake_world.timer.advance(1)
    b.invalidate_tags("u")
    said = a.explain("k")
    assert said.l1.invalidated_by == ("u",)
    assert said.answers == "l1", "nobody told this process: it is served"
    assert a.get("k") == 1


def test_another_write_in_l2_than_in_l1_is_noticed(fake_world: World) -> None:
    a, b = fake_world.make(), fake_world.make()
    a.set("k", 1)
    assert a.explain("k").l1_is_current is True
    fake_world.timer.advance(1)
    b.set("k", 2)
    assert a.explain("k").l1_is_current is False
    a.set("k", 3, ttl=1)
    fake_world.timer.advance(2)
    assert a.explain("k").l1_is_current is None


def test_a_remembered_none_is_told_from_a_value(world: World) -> None:
    a, b = (world.make(policy={"negative_ttl": 60.0}) for _ in range(2))
    assert a.get_or_load("k", world.loader(lambda: MISS)) is MISS
    said = b.explain("k", value=True)
    assert said.l2 is not None
    assert (said.answers, said.l2.none, said.l2.value) == ("l2", True, MISS)
    assert in_l1(b, "k").l1.none


def test_a_load_under_way_is_told_in_its_process_and_its_lease_in_every_one(world: World) -> None:
    a, b = world.make(), world.make()
    started, go_on = threading.Event(), threading.Event()

    def load() -> str:
        started.set()
        assert go_on.wait(30)
        return "v"

    thread, got = in_thread(lambda: a.get_or_load("k", world.loader(load)))
    assert started.wait(30)
    said, other = a.explain("k"), b.explain("k")
    go_on.set()
    thread.join(30)
    assert got == ["v"]
    assert (said.loading, other.loading) == (True, False)
    assert said.l2 is not None
    assert other.l2 is not None
    assert (said.l2.lease_is_ours, other.l2.lease_is_ours) == (True, False)
    for l2 in (said.l2, other.l2):
        assert l2.state == "absent"
        assert l2.lease_left is not None
        assert 0 < l2.lease_left <= 10
    after = a.explain("k")
    assert not after.loading
    assert after.l2.lease_left is None


def test_what_another_serializer_wrote_is_undecodable_and_names_it(world: World) -> None:
    world.make(serializer=MsgpackSerializer()).set("k", 1)
    a = world.make()
    said = a.explain("k", value=True)
    assert said.l2 is not None
    assert (said.l2.state, said.l2.problem) == ("undecodable", "serializer")
    assert said.l2.serializer == "msgpack"
    assert said.l2.value is MISS
    assert (said.answers, said.miss_reason) == (None, "undecodable")


def test_garbage_under_our_key_is_an_undecodable_envelope(world: World) -> None:
    a = world.make()
    core = a.manager.core
    ((wire_key, _),) = core.wire_keys(("k",))
    if world.fake is not None:
        world.fake.put_raw(wire_key, b"garbage")
    else:
        sync = a.manager if isinstance(a.manager, BaseCacheManager) else a.manager.sync
        remote: Any = sync.remote
        commands = [("HSET", wire_key.encode(), "f", "1")]
        assert remote.transport.execute("set", remote.deadline(5), commands) == [1]
    said = a.explain("k")
    assert said.l2 is not None
    assert (said.l2.state, said.l2.problem) == ("undecodable", "envelope")
    assert (said.l2.serializer, said.l2.seconds_left) == (None, None)
    assert said.miss_reason == "undecodable"
    if world.fake is None:
        assert said.l2.redis_ttl == float("inf"), "it never expires"
        assert a.explain("k").as_dict()["l2"]["redis_ttl"] is None
    a.delete("k")


def test_a_payload_that_its_serializer_cannot_read_is_undecodable(fake_world: World) -> None:
    a = fake_world.make()
    a.set("k", "value")
    (wire_key,) = fake_world.fake.keys()
    stands = fake_world.fake.get_many([wire_key], 0)[0]
    fake_world.fake.put_raw(wire_key, stands.replace(b'"value"', b'"value.'))
    said = fake_world.make().explain("k")
    assert said.l2 is not None
    assert (said.l2.state, said.l2.problem) == ("undecodable", "payload")


@pytest.mark.parametrize("kind", [*ERROR_KINDS, "circuit"])
def test_no_failure_of_l2_is_raised_and_each_is_named(fake_world: World, kind: str) -> None:
    a = fake_world.make()
    a.set("k", 1)
    before = counted(a)
    fake_world.fake.failure = kind
    said, other = a.explain("k"), a.explain("other")
    assert said.l2 is not None
    assert (said.l2.state, said.l2.error) == ("unavailable", kind)
    assert said.answers == "l1"
    assert (other.answers, other.miss_reason) == (None, "l2_unavailable")
    assert counted(a).errors == before.errors


def test_a_redis_that_nobody_runs_is_unavailable(driver: str, world: World) -> None:
    said = world.make(redis_url=NOWHERE, redis_client=None, waits=False).explain("k")
    assert said.l2 is not None
    assert said.l2.state == "unavailable"
    assert said.l2.error in ("connection", "circuit", "pool", "timeout")


@pytest.mark.needs("redis-server")
def test_a_silent_redis_costs_no_more_than_the_deadline(driver: str) -> None:
    with One() as topology:
        made = World(driver, "redis", topology, {"l2_timeout": 1.0})
        try:
            a = made.make(policy={"l2_timeout": 0.05})
            assert eventually(lambda: a.explain("k").l2.state == "absent", 10)
            topology.primary().pause()
            said = eventually(lambda: s if (s := a.explain("k")).l2.error else None, 10)
            topology.primary().resume()
        finally:
            made.close()
    assert said is not None
    assert said.l2.error in ("timeout", "circuit", "pool")


def test_a_key_that_l2_has_yet_to_forget_is_told(fake_world: World) -> None:
    a = fake_world.make()
    a.set("k", "old")
    fake_world.fake.failure = "timeout"
    a.delete("k")
    fake_world.fake.failure = None
    said = a.explain("k")
    assert said.owed
    assert said.l2 is not None
    assert said.l2.state == "fresh", "it is still there"
    assert said.answers is None, "and no look-up reads it"
    assert a.explain("k").owed, "asking does not pay"
    a.manager.core.recovery.overflowed = True
    assert a.explain("other").miss_reason == "l2_unavailable"


@pytest.mark.parametrize("tier", ["l1", "l2"])
def test_after_its_ttl_a_value_is_stale_then_kept_then_gone(fake_world: World, tier: str) -> None:
    policy = {"stale_ttl": 10.0, "stale_if_error": 30.0}
    a = fake_world.make(policy=policy, l1_ttl=5, l2_ttl=5)
    a.set("k", "v")
    asks = a if tier == "l1" else fake_world.make(policy=policy)
    seen = []
    for _ in range(4):
        said = asks.explain("k")
        held = said.l1 if tier == "l1" else said.l2
        seen.append((held.state, held.seconds_left))
        fake_world.timer.advance(9)
    assert [state for state, _ in seen] == ["fresh", "stale", "kept", "kept"]
    assert [left for _, left in seen] == pytest.approx([5, -4, -13, -22], abs=0.01)
    said = asks.explain("k")
    assert (said.l1 if tier == "l1" else said.l2).state == "absent"
    assert said.l1.gone == ("expired" if tier == "l1" else "cold")


def test_what_another_policy_keeps_is_expired_for_this_one(fake_world: World) -> None:
    fake_world.make(policy={"stale_ttl": 100.0}, l2_ttl=5).set("k", "v")
    fake_world.timer.advance(6)
    said = fake_world.make().explain("k")
    assert said.l2 is not None
    assert said.l2.state == "expired"
    assert said.l2.redis_ttl == pytest.approx(99, abs=0.01)
    assert (said.answers, said.miss_reason) == (None, "cold")


@pytest.mark.parametrize("how", ["evicted", "expired", "invalidated", "cold"])
def test_how_the_last_copy_went_is_remembered(fake_world: World, how: str) -> None:
    a = fake_world.make(l1_maxsize=2, enable_redis=False)
    if how != "cold":
        a.set("k", 1, ttl=5)
    if how == "evicted":
        for key in "abc":
            a.set(key, 1)
    elif how == "expired":
        fake_world.timer.advance(6)
    elif how == "invalidated":
        a.delete("k")
    for _ in range(2):
        said = a.explain("k")
        assert (said.l1.state, said.l1.gone, said.miss_reason) == ("absent", how, how)
        assert said.l2 is None
        assert said.listener is None


def test_a_listener_that_hears_is_told(world: World) -> None:
    said = world.make().explain("k")
    if world.fake is not None:
        assert said.listener is None
        return
    assert said.listener is not None
    assert said.listener.hears
    assert said.listener.deaf_for is None


def test_how_long_a_deaf_process_still_serves_its_copy_is_told(fake_world: World) -> None:
    fake_world.fake.listening = True
    a = fake_world.make(policy={"blind_ttl": 30.0})
    a.set("k", 1)
    a.get("k")
    assert a.explain("k").l1.blind_left is None
    fake_world.fake.listen(False)
    fake_world.timer.advance(10)
    said = a.explain("k")
    assert said.listener is not None
    assert (said.listener.hears, said.listener.blind_ttl) == (False, 30.0)
    assert said.l1.blind_left == pytest.approx(30 - said.listener.deaf_for)
    assert said.answers == "l1"
    fake_world.timer.advance(31)
    said = a.explain("k")
    assert (said.l1.state, said.l1.blind_left, said.answers) == ("fresh", 0.0, "l2")
    fake_world.fake.failure = "timeout"
    assert a.explain("k").answers == "l1", "while L2 does not answer either, L1 goes on"


def test_values_are_given_only_when_asked_for_and_never_shown(world: World) -> None:
    a = world.make()
    a.set("k", "the-secret")
    in_l1(a, "k")
    said = a.explain("k")
    assert said.l1.value is MISS
    assert said.l2.value is MISS
    asked = a.explain("k", value=True)
    assert asked.l2.value == "the-secret"
    for each in (said, asked):
        assert "the-secret" not in repr(each)
        assert "the-secret" not in json.dumps(each.as_dict(), allow_nan=False)


def test_a_copy_is_given_where_the_policy_gives_copies(fake_world: World) -> None:
    a = fake_world.make(policy={"copy_on_get": True})
    a.set("k", {"n": []})
    a.explain("k", value=True).l1.value["n"].append(1)
    assert a.get("k") == {"n": []}


def test_as_dict_names_every_field_and_is_json(fake_world: World) -> None:
    a = fake_world.make()
    a.set("k", 1, tags=("t",))
    said = json.loads(json.dumps(a.explain("k").as_dict(), allow_nan=False))
    assert list(said) == ["key", "cache", "answers", "miss_reason", "l1", "l2", "l1_is_current",
                          "loading", "owed", "listener"]  # fmt: skip
    assert said["l2"]["tags"] == ["t"]
    assert said["l1"]["seconds_left"] == 300.0
    endless = fake_world.make(enable_redis=False, l1_ttl=float("inf"))
    endless.set("k", 1)
    assert endless.explain("k").l1.seconds_left == float("inf")
    assert endless.explain("k").as_dict()["l1"]["seconds_left"] is None


def test_the_encoded_size_of_the_copy_in_l1_is_told(fake_world: World) -> None:
    a = fake_world.make()
    a.set("k", "12345678")
    assert a.explain("k").l1.size == 10


def test_mistakes_of_the_program_raise(world: World) -> None:
    a = world.make()
    for key in ("", 1, None):
        with pytest.raises(TypeError):
            a.explain(key)
    a.close()
    with pytest.raises(CacheClosedError):
        a.explain("k")


@pytest.mark.parametrize("seed", range(4))
def test_a_look_up_does_what_the_explanation_before_it_said(seed: int) -> None:
    chance = random.Random(seed)
    timer = ManualTimer()
    fake = FakeRemote(timer, listening=True)
    # No stale_ttl: a refresh in the background would answer between asking and looking up.
    policy = Policy(stale_if_error=10.0, negative_ttl=3.0, blind_ttl=4.0)
    a, b = (
        BaseCacheManager(3, 8, 12, redis_client=fake, name=f"explained.{seed}.{i}", timer=timer,
                         policy=policy)
        for i in range(2)
    )  # fmt: skip
    acts: list[Callable[[str, BaseCacheManager], Any]] = [
        lambda k, m: m.set(k, chance.random(), ttl=chance.choice([None, 2, 6])),
        lambda k, m: m.set(k, 1, tags=("t",)),
        lambda k, m: m.delete(k),
        lambda k, m: m.get(k),
        lambda k, m: m.get_or_load(k, lambda: MISS),
        lambda k, m: m.get_or_load(k, lambda: 2, tags=("u",)),
        lambda k, m: m.invalidate_tags(chance.choice("tu")),
        lambda k, m: timer.advance(chance.choice([0.001, 1, 4])),
        lambda k, m: timer.advance(0.001),
        lambda k, m: fake.listen(chance.random() < 0.5),
        lambda k, m: setattr(fake, "failure", chance.choice([None, None, "timeout"])),
        lambda k, m: fake.put_raw(f"cache:v1:{{{k}}}", b"garbage", 3),
        lambda k, m: fake.run_background(),
    ]
    seen = set()
    with a, b:
        for step in range(3000):
            chance.choice(acts)(chance.choice("abcde"), chance.choice([a, b]))
            key = chance.choice("abcde")
            said = a.explain(key)
            before = stats_for(a.name).snapshot()
            a.get(key)
            after = stats_for(a.name).snapshot()
            tier = (
                "l1" if after.l1_hits > before.l1_hits
                else "l2" if after.l2_hits > before.l2_hits else None
            )  # fmt: skip
            reasons = [r for r, n in after.misses.items() if n > before.misses.get(r, 0)]
            assert (tier, reasons) == (
                said.answers,
                [said.miss_reason] if said.miss_reason else [],
            ), (step, said)
            seen.add(said.answers or said.miss_reason)
    assert seen >= {"l1", "l2", "cold", "expired", "invalidated", "l2_unavailable"}
