"""Public fakes for tests of code that uses routecache: a clock moved by hand, an L2 in memory.

The contract suite that runs on `FakeRemote` also runs on real servers.
"""

import asyncio
import fnmatch
import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from routecache.errors import CircuitOpenError, RemoteError
from routecache.keys import all_changed
from routecache.typing import Leased, LeaseWanted, Seen, Sink, WireItem

T = TypeVar("T")


class ManualTimer:
    """A monotonic clock in seconds that stands still until it is moved. Safe for threads."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start

    def __call__(self) -> float:
        """The time now."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot go back: advance({seconds!r})")
        self._now += seconds


class FakeRemote:
    """An L2 in memory, for `BaseCacheManager(redis_client=FakeRemote(timer))`.

    Managers that are given one FakeRemote share it, as processes share a Redis. Its server's clock
    is `timer` plus `clock_offset` seconds. Safe for threads.

    failure: one of `routecache.typing.ERROR_KINDS` to let every command fail with it, or
        "circuit" to refuse them as an open circuit does; None ends that.
    reached: False for a server that was never reached, whose time is not known.
    listening: True to have managers hear at once of every write, their own too (which costs the
        writer its copy in L1, as it may with a real server); `listen` changes it later.
    """

    def __init__(
        self,
        timer: ManualTimer,
        *,
        clock_offset: float = 1_700_000_000.0,
        listening: bool = False,
    ) -> None:
        self.failure: str | None = None
        self.reached = True
        self.listening = listening
        self.commands: list[str] = []
        self.timer = timer
        self._offset = clock_offset
        self._lock = threading.RLock()
        self._data: dict[str, tuple[bytes, float]] = {}
        self._reads = itertools.count(1)
        self._read_at: dict[str, int] = {}
        self._jobs: list[Callable[[], bool]] = []
        self._sinks: list[tuple[tuple[str, ...], weakref.ref[Sink]]] = []

    # What a manager asks

    @property
    def alias(self) -> str:
        """The endpoint's label."""
        return "fake"

    @property
    def available(self) -> bool:
        """Whether commands are answered."""
        return self.failure is None

    def deadline(self, timeout: float) -> float:
        """The deadline for a call that starts now and may take `timeout` seconds."""
        return self.timer() + timeout

    def left(self, deadline: float) -> float:
        """How many of the seconds until `deadline` are left."""
        return deadline - self.timer()

    def server_times(self) -> tuple[int, int] | None:
        """The server's time in microseconds, twice."""
        now = self._server_time()
        return (now, now) if self.reached else None

    def connect(self, deadline: float) -> RemoteError | None:
        """Reach the server."""
        failure = self._command("connect")
        self.reached = self.reached or failure is None
        return failure

    def get_many(self, keys: Sequence[str], deadline: float) -> list[bytes | RemoteError | None]:
        """The payload under each key."""
        failure = self._command("get")
        with self._lock:
            return [failure or self._read(key) for key in keys]

    def lease_many(
        self, wanted: Sequence[LeaseWanted], life_ms: int, deadline: float
    ) -> list[Leased | RemoteError]:
        """The payload under each key, or the token of its lease."""
        failure = self._command("get")
        with self._lock:
            return [failure or self._lease(w, life_ms) for w in wanted]

    def _lease(self, wanted: LeaseWanted, life_ms: int) -> Leased:
        payload = self._read(wanted.value_key)
        if payload is not None and not wanted.beside_value:
            return Leased(payload, None)
        token = self._live(wanted.lease_key)
        if token is None:
            token = _shown(wanted.token)
            self._write(wanted.lease_key, token, life_ms)
        return Leased(payload, token.decode("utf-8", "surrogateescape"))

    def look_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[Seen | RemoteError]:
        """What stands under each (value key, lease key)."""
        failure = self._command("look")
        with self._lock:
            return [failure or self._look(*pair) for pair in keys]

    def _look(self, value_key: str, lease_key: str) -> Seen:
        payload, token = self._live(value_key), self._live(lease_key)
        said = None if token is None else token.decode(errors="replace")
        return Seen(payload, self._ttl_ms(value_key), said, self._ttl_ms(lease_key))

    def _ttl_ms(self, key: str) -> int:
        return int((self._data[key][1] - self.timer()) * 1000) if key in self._data else -2

    def store_many(
        self, items: Sequence[WireItem], deadline: float
    ) -> list[bool | str | RemoteError]:
        """Store each item whose token stands, or that has none."""
        failure = self._command("set")
        with self._lock:
            replies = [failure or self._store(item) for item in items]
        self._tell([i.value_key for i, r in zip(items, replies, strict=True) if r is True])
        return replies

    def _store(self, item: WireItem) -> bool | str:
        if item.token is not None and self._live(item.lease_key) != _shown(item.token):
            return "duplicate" if self._live(item.value_key) is not None else False
        self._write(item.value_key, item.payload, item.ttl_ms)
        self._data.pop(item.lease_key, None)
        return True

    def delete_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[bool | RemoteError]:
        """Delete each (value key, lease key); whether there was a value."""
        failure = self._command("delete")
        if failure is not None:
            return [failure] * len(keys)
        there: list[bool | RemoteError] = []
        with self._lock:
            for value_key, lease_key in keys:
                there.append(self._live(value_key) is not None)
                self._data.pop(value_key, None)
                self._data.pop(lease_key, None)
        self._tell([value_key for value_key, _ in keys])
        return there

    def renew_leases(
        self, leases: Sequence[tuple[str, str]], life_ms: int, deadline: float
    ) -> list[bool | RemoteError]:
        """Lengthen each (lease key, token), or end it with a life of 0 ms."""
        failure = self._command("set")
        if failure is not None:
            return [failure] * len(leases)
        stood: list[bool | RemoteError] = []
        with self._lock:
            for key, token in leases:
                stands = self._live(key) == _shown(token)
                stood.append(stands)
                if stands:
                    self._write(key, _shown(token), life_ms)
        return stood

    def invalidate_tags(
        self, keys: Sequence[str], ttl_ms: int, deadline: float
    ) -> list[int | RemoteError]:
        """Write the server's time under each tag key."""
        failure = self._command("tags")
        if failure is not None:
            return [failure] * len(keys)
        now = self._server_time()
        with self._lock:
            for key in keys:
                self._write(key, str(now).encode(), ttl_ms)
        self._tell(keys)
        return [now] * len(keys)

    def clear(self, patterns: Sequence[str]) -> int | RemoteError:
        """Delete all keys that match a pattern."""
        failure = self._command("clear")
        if failure is not None:
            return failure
        with self._lock:
            doomed = [k for k in self._data if any(fnmatch.fnmatchcase(k, p) for p in patterns)]
            for key in doomed:
                del self._data[key]
            tracked = {p for prefixes, _ in self._sinks for p in prefixes if p + "*}" in patterns}
        self._tell([*doomed, *map(all_changed, tracked)])
        return len(doomed)

    def hottest(self, pattern: str, most: int, deadline: float) -> list[str] | RemoteError:
        """The keys that match, those read last first."""
        failure = self._command("scan")
        if failure is not None:
            return failure
        with self._lock:
            found = [k for k in self._data if fnmatch.fnmatchcase(k, pattern) and self._live(k)]
            found.sort(key=lambda key: -self._read_at.get(key, 0))
        return found[:most]

    def watch(self, prefixes: Sequence[str], sink: Sink) -> bool:
        """Have `sink` told of writes under `prefixes`."""
        self._sinks.append((tuple(prefixes), weakref.ref(sink)))
        if self.listening:
            sink.reconnected()
        return self.listening

    def in_background(self, job: Callable[[], bool]) -> None:
        """Keep `job` for `run_background`."""
        with self._lock:
            if job not in self._jobs:
                self._jobs.append(job)

    def awaited(self) -> "AsyncFakeRemote":
        """This fake for asyncio."""
        return AsyncFakeRemote(self)

    def close(self) -> None:
        """Do nothing: a fake belongs to its test."""

    # What a test asks

    def run_background(self) -> None:
        """Call every background job once, and forget those that are done."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            if job():
                with self._lock:
                    self._jobs.remove(job)

    def listen(self, listening: bool) -> None:
        """Cut the listeners off, or connect them again."""
        self.listening = listening
        for _, ref in list(self._sinks):
            sink = ref()
            if sink is not None:
                if listening:
                    sink.reconnected()
                else:
                    sink.disconnected(0.0)

    def put_raw(self, key: str, payload: bytes, seconds: float = 60.0) -> None:
        """Store `payload` as a foreign program might."""
        self._data[key] = (payload, self.timer() + seconds)

    def keys(self) -> set[str]:
        """The unexpired Redis keys, leases excepted."""
        with self._lock:
            return {
                key
                for key in list(self._data)
                if ":lease:{" not in key and self._live(key) is not None
            }

    def _server_time(self) -> int:
        return int((self.timer() + self._offset) * 1e6)

    def _write(self, key: str, payload: bytes, ttl_ms: int) -> None:
        self._data[key] = (payload, self.timer() + ttl_ms / 1000)

    def _read(self, key: str) -> bytes | None:
        payload = self._live(key)
        if payload is not None:
            self._read_at[key] = next(self._reads)
        return payload

    def _live(self, key: str) -> bytes | None:
        payload, expires_at = self._data.get(key, (None, 0.0))
        if payload is not None and self.timer() >= expires_at:
            del self._data[key]
            return None
        return payload

    def _tell(self, keys: Sequence[str]) -> None:
        if not self.listening:
            return
        for prefixes, ref in list(self._sinks):
            sink = ref()
            mine = [
                key.encode("utf-8", "surrogatepass") for key in keys if key.startswith(prefixes)
            ]
            if sink is not None and mine:
                sink.invalidated(mine)

    def _command(self, operation: str) -> RemoteError | None:
        self.commands.append(operation)
        if self.failure == "circuit":
            return CircuitOpenError()
        return RemoteError(self.failure) if self.failure is not None else None


class AsyncFakeRemote:
    """`fake` for `AsyncCacheManager`; every command gives way to other tasks before and after."""

    def __init__(self, fake: FakeRemote) -> None:
        self.fake = fake
        self.alias = fake.alias
        self.deadline = fake.deadline
        self.left = fake.left
        self.server_times = fake.server_times
        self.watch = fake.watch
        self.in_background = fake.in_background

    @property
    def available(self) -> bool:
        """Whether commands are answered."""
        return self.fake.available

    async def connect(self, deadline: float) -> RemoteError | None:
        """As `FakeRemote.connect`."""
        return await _between_turns(self.fake.connect, deadline)

    async def get_many(
        self, keys: Sequence[str], deadline: float
    ) -> list[bytes | RemoteError | None]:
        """As `FakeRemote.get_many`."""
        return await _between_turns(self.fake.get_many, keys, deadline)

    async def lease_many(
        self, wanted: Sequence[LeaseWanted], life_ms: int, deadline: float
    ) -> list[Leased | RemoteError]:
        """As `FakeRemote.lease_many`."""
        return await _between_turns(self.fake.lease_many, wanted, life_ms, deadline)

    async def look_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[Seen | RemoteError]:
        """As `FakeRemote.look_many`."""
        return await _between_turns(self.fake.look_many, keys, deadline)

    async def store_many(
        self, items: Sequence[WireItem], deadline: float
    ) -> list[bool | str | RemoteError]:
        """As `FakeRemote.store_many`."""
        return await _between_turns(self.fake.store_many, items, deadline)

    async def delete_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[bool | RemoteError]:
        """As `FakeRemote.delete_many`."""
        return await _between_turns(self.fake.delete_many, keys, deadline)

    async def renew_leases(
        self, leases: Sequence[tuple[str, str]], life_ms: int, deadline: float
    ) -> list[bool | RemoteError]:
        """As `FakeRemote.renew_leases`."""
        return await _between_turns(self.fake.renew_leases, leases, life_ms, deadline)

    async def invalidate_tags(
        self, keys: Sequence[str], ttl_ms: int, deadline: float
    ) -> list[int | RemoteError]:
        """As `FakeRemote.invalidate_tags`."""
        return await _between_turns(self.fake.invalidate_tags, keys, ttl_ms, deadline)

    async def clear(self, patterns: Sequence[str]) -> int | RemoteError:
        """As `FakeRemote.clear`."""
        return await _between_turns(self.fake.clear, patterns)

    async def hottest(self, pattern: str, most: int, deadline: float) -> list[str] | RemoteError:
        """As `FakeRemote.hottest`."""
        return await _between_turns(self.fake.hottest, pattern, most, deadline)

    async def close(self) -> None:
        """Do nothing: a fake belongs to its test."""


async def _between_turns(command: Callable[..., T], *args: Any) -> T:
    await asyncio.sleep(0)
    result = command(*args)
    await asyncio.sleep(0)
    return result


def _shown(token: str) -> bytes:
    return token.encode("utf-8", "surrogateescape")
