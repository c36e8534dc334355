"""Promise 9: nothing in Redis is executed or raises, and nothing of the callers' leaks out."""

import logging
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from routecache import MISS, SerializationError, keys
from routecache_exporters import RoutecacheCollector
from tests.contract.kinds import REAL, on
from tests.contract.world import World, gone
from tests.helpers import eventually

pytestmark = pytest.mark.promise(9)


class Bomb:
    """Unpickled, it makes a directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self._path,)


def payloads(path: Path) -> list[bytes]:
    """What a foreign program might have put under a key of ours."""
    pickled = [pickle.dumps(Bomb(path), protocol) for protocol in (0, 2, 5)]
    enveloped = [
        msgspec.msgpack.encode([1, 2**62, codec, data])
        for data in (*pickled, b"{", b"\xff", b"[" * 5000)
        for codec in ("json", "pickle")
    ]
    plain = [b"", b"\x80", b"not ours", b"[1,2]", b"\xff" * 50, b"\x95\x01\x02\xa4json"]
    return [*pickled, *enveloped, *plain]


def test_what_cannot_be_read_is_a_counted_miss_is_not_executed_and_heals(
    world: World, tmp_path: Path
) -> None:
    cache, trap = world.make(), tmp_path / "executed"
    foreign = payloads(trap)
    for n, payload in enumerate(foreign):
        world.put_raw(world.value_key(f"k{n}"), payload)
    half = len(foreign) // 2
    for n in range(half):
        assert cache.get(f"k{n}", MISS) is MISS
    names = [f"k{n}" for n in range(half, len(foreign))]
    assert cache.get_many(names) == {}
    assert not trap.exists()
    assert cache.stats.misses == {"undecodable": len(foreign)}
    assert cache.stats.errors == {("l2", "get", "decode"): len(foreign)}
    for n in range(len(foreign)):
        assert cache.get_or_load(f"k{n}", world.loader(lambda n=n: n)) == n  # type: ignore[misc]
    healed = world.make()
    assert healed.get_many(f"k{n}" for n in range(len(foreign))) == {
        f"k{n}": n for n in range(len(foreign))
    }


def test_what_stands_under_a_tag_and_is_no_time_makes_entries_misses(world: World) -> None:
    cache = world.make()
    cache.set("k", 1, tags=("t",))
    for foreign in (b"not a time", b"\xff", b"9" * 5000, b""):
        world.put_raw(f"{world.prefix}:tag:t", foreign)
        assert gone(world.make(), "k"), "nothing older than it is trusted"


def test_what_stands_under_a_lease_and_is_no_token_raises_nothing(world: World) -> None:
    cache = world.make(policy={"distributed_lock": True, "hard_timeout": 5.0})
    for n, foreign in enumerate((b"\xff\xfe", b"\xed\xa0\x80", b"not ours")):
        world.put_raw(keys.lease_key(world.prefix, f"k{n}"), foreign, 0.2)
        seen = world.make(policy={"distributed_lock": False})
        assert seen.get_or_load(f"k{n}", world.loader(lambda: "loaded")) == "loaded"
        world.pass_by(0.3)
        assert cache.get_or_load(f"k{n}", world.loader(lambda: "again")) in ("loaded", "again")


class Fragile:
    """A serializer of a program's own that raises what it likes."""

    name = "fragile"

    def dumps(self, value: object) -> bytes:
        return str(value).encode()

    def loads(self, data: bytes) -> object:
        raise KeyError("not there")


def test_a_serializer_of_the_programs_own_that_raises_anything_costs_a_miss(world: World) -> None:
    cache = world.make(serializer=Fragile())
    world.make(serializer=Fragile()).set_many({"k": 1, "l": 2})
    assert gone(cache, "k")
    assert cache.get_many(["k", "l"]) == {}
    assert cache.get_or_load("l", world.loader(lambda: "loaded")) == "loaded"
    assert cache.stats.misses == {"undecodable": 4}


@on(*REAL)
def test_a_foreign_key_in_a_message_does_not_hide_the_ones_beside_it(world: World) -> None:
    cache = world.make(l1_ttl=300)
    key = "k}\U0010ffff"
    world.set_heard(cache, key, 1, cache)
    assert cache.get(key) == 1
    ours = world.value_key(key)
    # Under our prefix, on the same slot, no text, and told first: the server sorts.
    foreign = f"{world.prefix}:v1:{{k}}".encode() + b"\xc0"
    script = "redis.call('SET', KEYS[1], 'x', 'PX', 9000) redis.call('UNLINK', KEYS[2])"
    world.ask(ours, "EVAL", script, 2, foreign, ours)
    assert eventually(lambda: gone(cache, key), 10)


@on(*REAL)
def test_keys_of_foreign_types_raise_nothing(world: World) -> None:
    cache = world.make(policy={"distributed_lock": True, "hard_timeout": 5.0})
    for key in ("value", "lease"):
        wire = f"{world.prefix}:{'v1' if key == 'value' else 'lease'}:{{{key}}}"
        world.ask(wire, "RPUSH", wire, "not ours")
    tag = f"{world.prefix}:tag:t"
    world.ask(tag, "HSET", tag, "a", "b")
    assert gone(cache, "value")
    for key in ("value", "lease"):
        assert cache.get_or_load(key, world.loader(lambda: "ours")) == "ours"
        cache.set(key, "set")
        assert cache.get(key) == "set"
        assert cache.delete(key) is True
    cache.set("tagged", 1, tags=("t",))
    assert cache.get("tagged", MISS) in (1, MISS)
    cache.invalidate_tags("t")
    assert gone(world.make(), "tagged")
    assert cache.clear() is True


def test_json_stands_on_the_wire(world: World) -> None:
    cache = world.make()
    cache.set("k", {"a": [1, 2.5, None, "ü"]})
    payload = world.raw(world.value_key("k"))
    assert payload is not None
    fields = msgspec.msgpack.decode(payload)
    assert fields[2] == "json"
    assert msgspec.json.decode(fields[3]) == {"a": [1, 2.5, None, "ü"]}


@pytest.mark.parametrize("value", [(1, 2), {1: "x"}, {1, 2}, float("nan"), b"x", object()])
def test_what_would_not_come_back_equal_is_refused_and_changes_nothing(
    world: World, value: object
) -> None:
    cache = world.make()
    cache.set("k", "before")
    with pytest.raises(SerializationError):
        cache.set("k", {"deep": [value]})
    with pytest.raises(SerializationError):
        cache.set_many({"other": 1, "k": value})
    assert cache.get("k") == "before"
    assert world.make().get_many(["k", "other"]) == {"k": "before"}


def test_no_key_value_tag_password_or_exception_text_comes_into_labels_or_logs(
    frail: World, caplog: pytest.LogCaptureFixture
) -> None:
    cache = frail.make(policy={"l2_timeout": 0.1})

    def fails() -> str:
        raise OSError("secret-of-the-exception")

    def everything() -> None:
        cache.set("secret-key", "secret-value", tags=("secret-tag",))
        cache.get_many(["secret-key", "secret-other"])
        with pytest.raises(OSError, match="secret"):
            cache.get_or_load("secret-load", frail.loader(fails))
        with pytest.raises(SerializationError):
            cache.set("secret-key", {"secret-field": b"secret-value"})
        cache.invalidate_tags("secret-tag")
        cache.delete("secret-key")

    with caplog.at_level(logging.DEBUG):
        everything()
        frail.put_raw(frail.value_key("secret-key"), b"secret-payload")
        cache.get("secret-key")
        for fault in ("refused", "black-holed"):
            frail.fail(fault)
            for _ in range(3):
                everything()
            frail.mend()
            frail.used_again(cache)
        registry = CollectorRegistry()
        registry.register(RoutecacheCollector())
        exposed = generate_latest(registry).decode()
    assert 'error="connection"' in exposed
    assert "secret" not in exposed
    logged = [r for r in caplog.records if r.name.startswith("routecache")]
    for record in logged:
        assert "secret" not in record.getMessage()
        assert record.exc_info is None
    if frail.real:
        assert logged, "the outage was told"


@on("sentinel")
def test_the_passwords_of_a_url_are_nowhere_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.servers is not None
    assert "of-the-data" in world.servers.url
    with caplog.at_level(logging.DEBUG):
        wrong = world.servers.url.replace("of-the-data", "wrong-password")
        cache = world.make(redis_url=wrong, waits=False)
        cache.set("k", 1)
        assert eventually(lambda: gone(cache, "absent") and cache.get_stats()["errors"], 10)
    registry = CollectorRegistry()
    registry.register(RoutecacheCollector())
    told = "\n".join(
        [caplog.text, generate_latest(registry).decode(), repr(cache.manager), str(cache.stats)]
    )
    for password in ("wrong-password", "of-the-data", "of-the-sentinels"):
        assert password not in told
