"""Promise 10: only the cache's own keys are touched, and the keyspace is never listed whole."""

from contextlib import ExitStack
from typing import Any, Self

import pytest
import redis

from routecache import MISS, keys
from tests.contract.kinds import REAL, on
from tests.contract.world import Blocking, World, gone

pytestmark = pytest.mark.promise(10)


def neighbours(prefix: str) -> list[str]:
    """Keys of other programs and caches that look much like those of `prefix`."""
    return [
        "app:session:1",
        prefix,
        f"{prefix}:v1",
        f"{prefix}:v1:k",
        f"{prefix}:v1:{{k",
        f"{prefix}:v2:{{k}}",
        f"{prefix}:lease:k",
        f"{prefix}:tags",
        f"{prefix}:tagged:x",
        f"{prefix}:inner:v1:{{k}}",
        f"{prefix}:inner:lease:{{k}}",
        f"{prefix}:inner:tag:t",
        f"outer:{prefix}:v1:{{k}}",
        f"x{prefix}:v1:{{k}}",
        f"{prefix}x:v1:{{k}}",
        f"{prefix.upper()}:v1:{{k}}",
        f"{prefix[:-1]}?:v1:{{k}}",
    ]


def everything(world: World, cache: Blocking) -> None:
    """Each thing that a cache can be asked for."""
    cache.set("k", 1, tags=("t",))
    cache.set_many({f"k{i}": i for i in range(20)})
    cache.get_many([f"k{i}" for i in range(25)])
    cache.get_or_load("loaded", world.loader(lambda: 1), tags=("t",))
    cache.get("absent")
    cache.ttl("k")
    cache.delete("k3")
    cache.delete_many(["k4", "absent"])
    cache.invalidate_tags("t", "u")
    cache.set("k", 2)


def test_foreign_keys_stay_as_they_are(world: World) -> None:
    cache = world.make(policy={"distributed_lock": True})
    beside = neighbours(world.prefix)
    for key in beside:
        world.put_raw(key, key.encode(), 600)
    everything(world, cache)
    assert cache.clear() is True
    assert gone(cache, "k")
    for key in beside:
        assert world.raw(key) == key.encode(), key
    left = world.wire_keys(f"{world.prefix}:*") - set(beside)
    assert {key for key in left if not key.startswith(f"{world.prefix}:hb:")} == set()


def test_a_cache_writes_under_its_own_names_only(world: World) -> None:
    before = world.wire_keys()
    cache = world.make(policy={"distributed_lock": True})
    everything(world, cache)
    own = (
        keys.value_prefix(world.prefix),
        keys.lease_key(world.prefix, "")[:-1],
        keys.tag_key(world.prefix, ""),
    )
    new = {key for key in world.wire_keys() - before if ":hb:" not in key}
    assert len(new) > 20
    assert {key for key in new if not key.startswith(own)} == set()


def test_clear_takes_the_caches_own_keys_only(world: World) -> None:
    outer, inner = world.make(), world.make(cache_prefix=f"{world.prefix}:inner")
    outer.set("k", 1)
    inner.set("k", 2)
    assert outer.clear() is True
    assert gone(outer, "k")
    assert world.make(cache_prefix=f"{world.prefix}:inner").get("k") == 2
    assert inner.clear() is True


def test_clear_empties_a_cache_of_more_keys_than_one_scan_returns(world: World) -> None:
    cache = world.make(l1_maxsize=3000)
    names = [f"k{i}" for i in range(2500)]
    cache.set_many(dict.fromkeys(names, 1))
    assert cache.clear() is True
    assert world.make().get_many(names) == {}
    assert world.wire_keys(f"{world.prefix}:v1:*") == set()


def test_without_an_answer_clear_says_so(frail: World) -> None:
    cache = frail.make()
    frail.used_again(cache)
    cache.set("k", 1)
    frail.fail("refused")
    assert cache.clear() is False
    assert cache.get("k", MISS) is MISS
    assert any(operation == "clear" for _, operation, _ in cache.stats.errors)


class Monitors:
    """What each primary is asked, by MONITOR."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stack = ExitStack()
        self._open: list[tuple[Any, Any]] = []

    def __enter__(self) -> Self:
        for server in self._world.primaries():
            client = self._stack.enter_context(redis.Redis.from_url(server.url, socket_timeout=20))
            monitor = self._stack.enter_context(client.monitor())
            self._open.append((server, monitor))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def commands(self) -> list[str]:
        """The commands so far, those of scripts too."""
        found = []
        for server, monitor in self._open:
            server.ask("ECHO", "end of the test")
            for told in monitor.listen():
                if told["command"] == "ECHO end of the test":
                    break
                found.append(told["command"])
        return found


# Those that name no key, or that walk them by a pattern.
KEYLESS = {
    "AUTH", "CLIENT", "CLUSTER", "COMMAND", "ECHO", "HELLO", "INFO", "PING", "PUBLISH", "READONLY",
    "REPLCONF", "ROLE", "SCRIPT", "SELECT", "SUBSCRIBE", "TIME",
}  # fmt: skip


@on(*REAL)
def test_no_command_lists_or_empties_the_keyspace_and_each_names_own_keys(world: World) -> None:
    cache = world.make(policy={"distributed_lock": True})
    everything(world, cache)
    prefix = world.prefix
    with Monitors(world) as monitors:
        everything(world, cache)
        assert cache.clear() is True
        commands = monitors.commands()
    names = {command.split(" ", 1)[0].upper() for command in commands}
    assert {"SCAN", "UNLINK"} <= names
    assert names.isdisjoint({"KEYS", "FLUSHDB", "FLUSHALL", "RANDOMKEY", "SWAPDB", "CONFIG"})
    for command in commands:
        name, _, rest = command.partition(" ")
        words = rest.split(" ")
        if name.upper() in KEYLESS or ":hb:" in rest:
            continue
        if name.upper() == "SCAN":
            named = [words[words.index("MATCH") + 1]]
        elif name.upper() in {"EVAL", "EVALSHA"}:
            marker = f" {prefix}:"
            named = [prefix + ":" if marker in command else rest]
        else:
            named = [words[0]]
        assert all(key.startswith(f"{prefix}:") for key in named), command
