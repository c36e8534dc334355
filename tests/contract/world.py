"""Managers that share one L2 and one prefix, as the processes of a fleet share a Redis.

The same test drives the sync and the asyncio manager, over the public fake and over real servers
in each of their topologies.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from routecache import AsyncCacheManager, BaseCacheManager, Policy, keys
from routecache.testing import FakeRemote, ManualTimer
from routecache.typing import Timer
from tests.contract.blocking import Blocking, gone, in_thread
from tests.contract.faulty import Faulty
from tests.helpers import eventually
from tests.topologies import Cluster, Server, Topology

__all__ = ["Blocking", "Held", "World", "gone", "in_thread"]

_prefixes = itertools.count(1)

# What the fake says of each fault of tests/contract/faulty.py.
_OF_THE_FAKE = {
    "refused": "connection",
    "killed": "connection",
    "black-holed": "timeout",
    "dripping": "timeout",
    "paused": "timeout",
    "deaf": None,
}


class World:
    """One L2 and the managers over it.

    `timer` moves L1's clock, and the fake server's; a real server keeps its own. `kind` is "fake",
    "redis", "valkey", "sentinel" or "cluster". Managers do not hear what others write to the fake
    unless `listening` is called; on real servers they always do.
    """

    def __init__(
        self, driver: str, kind: str, servers: Topology | None, policy: dict[str, Any]
    ) -> None:
        self.driver, self.kind, self.servers = driver, kind, servers
        self.timer = ManualTimer()
        self.fake: Any = FakeRemote(self.timer) if servers is None else None
        self.prefix = f"contract{next(_prefixes)}"
        self.made: list[Blocking] = []
        self.failing: str | None = None
        self._policy = policy
        self._listening = False
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    @property
    def real(self) -> bool:
        return self.fake is None

    @property
    def clock(self) -> Timer:
        """A clock for managers by which L2's entries expire: the fake's, or the real one."""
        return time.monotonic if self.real else self.timer

    def make(
        self, policy: dict[str, Any] | Policy | None = None, *, waits: bool = True, **options: Any
    ) -> Blocking:
        """A manager of its own name, as of another process; `waits` until it hears of others."""
        if not isinstance(policy, Policy):
            policy = Policy(**{**self._policy, **(policy or {})})
        merged: dict[str, Any] = {
            "cache_prefix": self.prefix,
            "name": f"{self.prefix}.{len(self.made)}",
            "timer": self.timer,
            "policy": policy,
        }
        if self.fake is not None:
            merged["redis_client"] = self.fake
        elif self.servers is not None:
            merged["redis_url"] = self.servers.url
        merged |= options
        kind = BaseCacheManager if self.driver == "sync" else AsyncCacheManager
        made = Blocking(kind(**merged), self.loop)
        self.made.append(made)
        if waits and self.real and self.failing is None:
            # When a listener connects, what is under way begins anew; no test is about that moment.
            self.hearing(made)
        return made

    def pair(self, **options: Any) -> tuple[Blocking, Blocking]:
        """Two managers of the same options."""
        return self.make(**options), self.make(**options)

    def hearing(self, *managers: Blocking) -> None:
        """Wait until what others write is heard."""
        for made in managers:
            assert eventually(lambda made=made: made.core.hears is not False, 20)  # type: ignore[misc]

    def heard(self, n: int, *managers: Blocking) -> None:
        """Wait until each of `managers` was told of `n` writes in all, its own included.

        After that a copy in L1 is not lost to the echo of what was written before.
        """
        if self.real or self._listening:
            for made in managers:
                assert eventually(lambda made=made: made.stats.invalidations_received >= n, 20)  # type: ignore[misc]

    def set_heard(self, writer: Blocking, key: str, value: object, *managers: Blocking) -> None:
        """Set a key that was never set, and wait until each of `managers` was told of it."""
        told = [self._told(made, key) for made in managers]
        writer.set(key, value)
        for made, heard in zip(managers, told, strict=True):
            if self.real or self._listening:
                assert heard.wait(20), "never heard"
            del made.core.invalidated

    def _told(self, made: Blocking, key: str) -> threading.Event:
        """Set once `made` was told that `key` was written."""
        told, wire_key = threading.Event(), self.value_key(key).encode()
        invalidated = made.core.invalidated

        def hear(wire_keys: Sequence[bytes]) -> None:
            invalidated(wire_keys)
            if wire_key in wire_keys:
                told.set()

        made.core.invalidated = hear
        return told

    def loader(self, load: Callable[[], Any]) -> Any:
        """`load`, which may block, as the driver wants it."""
        if self.driver == "sync":
            return load

        async def awaited() -> Any:
            return await asyncio.to_thread(load)

        return awaited

    def listening(self) -> None:
        """Have managers hear of others' writes, also on the fake."""
        self._listening = True
        if self.fake is not None and self.failing is None:
            self.fake.listen(True)

    # Time

    def pass_by(self, seconds: float) -> None:
        """Move the clock of the fake; a real server's goes by itself: poll."""
        if self.fake is not None:
            self.timer.advance(seconds)

    def background(self) -> None:
        """Let a fake do now what a real server's manager does by itself."""
        if self.fake is not None:
            self.fake.run_background()

    # Outages

    def fail(self, fault: str) -> None:
        """Have L2 fail as `fault` says; servers must be `Faulty`."""
        self.failing = fault
        if self.fake is not None:
            self.fake.failure = _OF_THE_FAKE[fault]
            if self._listening:
                self.fake.listen(False)
        else:
            assert isinstance(self.servers, Faulty), "shared servers are left running"
            self.servers.fail(fault)

    def mend(self) -> None:
        """End the outage."""
        self.failing = None
        if self.fake is not None:
            self.fake.failure = None
            if self._listening:
                self.fake.listen(True)
        elif isinstance(self.servers, Faulty):
            self.servers.mend()

    def used_again(self, *managers: Blocking) -> None:
        """Wait until the managers use every primary, owe it nothing and hear of each other."""
        names = [f"used again {n}" for n in range(24)]

        def used() -> bool:
            self.background()
            for made in managers:
                before = made.stats.writes.get("l2", 0)
                made.set_many(dict.fromkeys(names, made.name))
                if made.stats.writes.get("l2", 0) < before + len(names):
                    return False
            return not any(made.core.recovery for made in managers)

        assert eventually(used, 30)
        self.hearing(*managers)

    # What is in L2

    def primaries(self) -> list[Server]:
        """The servers that hold the keys."""
        servers = self.servers
        if isinstance(servers, Faulty):
            return servers.primaries
        assert servers is not None, "a fake has none"
        return servers.primaries() if isinstance(servers, Cluster) else [servers.primary()]

    def ask(self, key: str, *command: object) -> Any:
        """The reply of the server that holds `key`."""
        for server in self.primaries():
            try:
                return server.ask(*command)
            except redis.exceptions.MovedError:
                continue
        raise AssertionError("no primary has the slot")

    def put_raw(self, key: str, payload: bytes, seconds: float = 60.0) -> None:
        """Store `payload` under a Redis key, as a foreign program might."""
        if self.fake is not None:
            self.fake.put_raw(key, payload, seconds)
        else:
            self.ask(key, "SET", key, payload, "PX", int(seconds * 1000))

    def raw(self, key: str) -> bytes | None:
        """What is stored under a Redis key."""
        if self.fake is not None:
            payload: bytes | None = self.fake._live(key)
            return payload
        found: bytes | None = self.ask(key, "GET", key)
        return found

    def value_key(self, key: str) -> str:
        return keys.value_key(self.prefix, key)

    def wire_keys(self, pattern: str = "*") -> set[str]:
        """The Redis keys that match, but for heartbeats, of whatever cache."""
        if self.fake is not None:
            stem = pattern.removesuffix("*")
            return {key for key in list(self.fake._data) if key.startswith(stem)}
        found: set[bytes] = set()
        for server in self.primaries():
            cursor: Any = 0
            while True:
                cursor, some = server.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                found.update(some)
                if int(cursor) == 0:
                    break
        return {key.decode(errors="replace") for key in found if b":hb:" not in key}

    def close(self) -> None:
        self.mend()
        for made in self.made:
            made.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Held:
    """A load that waits in the middle for `finish`."""

    def __init__(
        self, world: World, made: Blocking, key: str, value: object, **options: Any
    ) -> None:
        self.calls = 0
        self._started, self._go_on = threading.Event(), threading.Event()

        def load() -> object:
            self.calls += 1
            self._started.set()
            assert self._go_on.wait(30)
            return value

        self.loader = world.loader(load)
        self.thread, self.got = in_thread(lambda: made.get_or_load(key, self.loader, **options))
        assert self._started.wait(30)

    def finish(self) -> list[Any]:
        """Let it go on, and give what its caller got."""
        self._go_on.set()
        self.thread.join(30)
        assert not self.thread.is_alive(), "the load never ended"
        return self.got
