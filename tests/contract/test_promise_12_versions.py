"""Promise 12: two releases share one Redis, and what any release wrote is read."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from routecache import keys
from tests.contract.kinds import REAL, on
from tests.contract.other_host import OtherHost
from tests.contract.world import World, gone
from tests.helpers import eventually

pytestmark = pytest.mark.promise(12)

GOLDEN = Path(__file__).parents[1] / "golden"
WRITTEN = {
    "envelope-v1": {"a": 1},
    "envelope-v1-earlier": None,
    "envelope-v1-five-fields": {"a": 1},
    "envelope-v1-later": {"a": 1},
}


def server_time(world: World) -> int:
    """The time of L2 in microseconds."""
    if world.fake is not None:
        return int(world.fake._server_time())
    seconds, micros = world.primaries()[0].ask("TIME")
    return int(seconds) * 1_000_000 + int(micros)


def stamped(golden: bytes, now: int, life: int) -> bytes:
    """The golden payload byte for byte, but for the two times that it must have to be fresh."""
    created, expires = msgspec.msgpack.decode(golden)[:2]
    old = msgspec.msgpack.encode(created) + msgspec.msgpack.encode(expires)
    assert golden.count(old) == 1
    new = msgspec.msgpack.encode(now) + msgspec.msgpack.encode(now + life)
    return golden.replace(old, new)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_golden_payload_of_each_release_is_read_from_the_server(world: World, name: str) -> None:
    cache = world.make(l1_ttl=300)
    golden = (GOLDEN / f"{name}.bin").read_bytes()
    payload = stamped(golden, server_time(world), 20_000_000)
    world.put_raw(world.value_key("k"), payload)
    world.heard(1, cache)
    assert cache.get("k", "nothing") == WRITTEN[name]
    assert 15 < cache.ttl("k") <= 20
    assert cache.hits == 1
    cache.invalidate_tags("t")
    assert gone(cache, "k") is ("earlier" not in name), "its tags are read too"
    cache.delete("k")
    assert world.raw(world.value_key("k")) is None


@pytest.mark.parametrize("name", WRITTEN)
def test_a_golden_payload_that_has_expired_is_a_miss(world: World, name: str) -> None:
    cache = world.make()
    golden = (GOLDEN / f"{name}.bin").read_bytes()
    payload = stamped(golden, server_time(world) - 30_000_000, 20_000_000)
    world.put_raw(world.value_key("k"), payload)
    assert gone(cache, "k")
    assert sum(cache.stats.misses.values()) == 1
    assert "undecodable" not in cache.stats.misses


def test_the_version_stands_in_the_key_and_first_fields_stay_where_they_are(world: World) -> None:
    cache = world.make(l2_ttl=20)
    before = server_time(world)
    cache.set("k", {"a": 1}, tags=("t",))
    assert keys.WIRE_VERSION == 1
    payload = world.raw(f"{world.prefix}:v1:{{k}}")
    assert payload is not None
    created, expires, codec, data, tags, none, *_later = msgspec.msgpack.decode(payload)
    assert expires - created == 20_000_000
    assert abs(created - before) < 60_000_000
    assert (codec, data, tags, none) == ("json", b'{"a":1}', ["t"], False)


def test_a_wire_version_that_is_not_known_is_not_read(world: World) -> None:
    cache = world.make()
    world.put_raw(f"{world.prefix}:v2:{{k}}", b"of a later version")
    assert gone(cache, "k")
    cache.set("k", 1)
    assert cache.get("k") == 1
    assert world.raw(f"{world.prefix}:v2:{{k}}") == b"of a later version"


@on(*REAL)
def test_two_releases_share_one_redis_during_a_rolling_upgrade(world: World) -> None:
    assert world.servers is not None
    new = world.make(l1_ttl=300)
    url = world.servers.url
    with OtherHost(world.driver, url, world.prefix, release="previous") as old:

        def both(key: str, value: Any) -> bool:
            return bool(new.get(key) == value and old.get(key) == value)

        new.set("by the new", {"n": 1}, ttl=60, tags=("t",))
        old.set("by the old", {"n": 2}, ttl=60, tags=["t"])
        assert eventually(lambda: both("by the new", {"n": 1}), 10)
        assert eventually(lambda: both("by the old", {"n": 2}), 10)
        old.set("by the new", {"n": 3}, tags=["t"])
        assert eventually(lambda: both("by the new", {"n": 3}), 10)
        new.set("by the old", {"n": 4}, tags=("t",))
        assert eventually(lambda: both("by the old", {"n": 4}), 10)
        assert new.get_or_load("loaded", world.loader(lambda: 5)) == 5
        assert eventually(lambda: both("loaded", 5), 10)
        old.delete("loaded")
        assert eventually(lambda: both("loaded", None), 10)
        old.invalidate_tags("t")
        assert eventually(lambda: new.get_many(["by the new", "by the old"]) == {}, 10)
        assert old.get_many(["by the new", "by the old"]) == {}
        assert old.get_stats()["misses_by_reason"].keys() <= {"cold", "invalidated"}
    assert "undecodable" not in new.stats.misses
    assert abs(time.time() * 1e6 - server_time(world)) < 60e6, "the clocks of this machine agree"


@on("fake")
def test_an_entry_without_the_newer_fields_is_served_stale_like_any(world: World) -> None:
    cache = world.make(policy={"stale_if_error": 100.0})
    golden = (GOLDEN / "envelope-v1-five-fields.bin").read_bytes()
    world.put_raw(world.value_key("k"), stamped(golden, server_time(world), 1_000_000))
    world.pass_by(2)

    def fails() -> str:
        raise OSError("provider down")

    assert cache.get_or_load("k", world.loader(fails)) == {"a": 1}
