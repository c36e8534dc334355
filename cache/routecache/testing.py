"""Public fakes for tests of code that uses routecache: a clock moved by hand, an L2 in memory.

The contract suite that runs on `FakeRemote` also runs on real servers.
"""

import fnmatch
import threading
from collections.abc import Sequence

from routecache.errors import CircuitOpenError, RemoteError


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

    Managers that are given one FakeRemote share it, as processes share a Redis. Its server's
    clock is `timer` plus `clock_offset` seconds. Set `failure` to one of
    `routecache.typing.ERROR_KINDS` to let every command fail with it, or to "circuit" to refuse
    them as an open circuit does; None ends that. Safe for threads.
    """

    def __init__(self, timer: ManualTimer, *, clock_offset: float = 1_700_000_000.0) -> None:
        self.failure: str | None = None
        self.commands: list[str] = []
        self._timer = timer
        self._offset = clock_offset
        self._lock = threading.Lock()
        self._data: dict[str, tuple[bytes, float]] = {}

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
        return self._timer() + timeout

    def left(self, deadline: float) -> float:
        """How many of the seconds until `deadline` are left."""
        return deadline - self._timer()

    def earliest_server_time(self, deadline: float) -> int:
        """The server's time in microseconds."""
        return self.latest_server_time()

    def latest_server_time(self) -> int:
        """The server's time in microseconds."""
        return int((self._timer() + self._offset) * 1e6)

    def get(self, key: str, deadline: float) -> bytes | None:
        """The payload under `key`."""
        return self.get_many([key], deadline)[0]

    def get_many(self, keys: Sequence[str], deadline: float) -> list[bytes | None]:
        """The payloads under `keys`."""
        self._command("get")
        with self._lock:
            return [self._live(key) for key in keys]

    def set_many(self, items: Sequence[tuple[str, bytes, int]], deadline: float) -> None:
        """Store (key, payload, milliseconds to live)."""
        self._command("set")
        with self._lock:
            for key, payload, ttl_ms in items:
                self._data[key] = (payload, self._timer() + ttl_ms / 1000)

    def delete_many(self, keys: Sequence[str], deadline: float) -> list[bool]:
        """Delete `keys`; whether each was there."""
        self._command("delete")
        with self._lock:
            return [self._live(key) is not None and bool(self._data.pop(key)) for key in keys]

    def invalidate_tags(self, keys: Sequence[str], ttl_ms: int, deadline: float) -> None:
        """Write the server's time under each tag key."""
        self._command("tags")
        now = str(self.latest_server_time()).encode()
        with self._lock:
            for key in keys:
                self._data[key] = (now, self._timer() + ttl_ms / 1000)

    def clear(self, patterns: Sequence[str]) -> int:
        """Delete all keys that match a pattern."""
        self._command("clear")
        with self._lock:
            doomed = [k for k in self._data if any(fnmatch.fnmatchcase(k, p) for p in patterns)]
            for key in doomed:
                del self._data[key]
            return len(doomed)

    def close(self) -> None:
        """Do nothing: a fake belongs to its test."""

    def put_raw(self, key: str, payload: bytes, seconds: float = 60.0) -> None:
        """Store `payload` as a foreign program might."""
        self._data[key] = (payload, self._timer() + seconds)

    def keys(self) -> set[str]:
        """The unexpired Redis keys."""
        with self._lock:
            return {key for key in list(self._data) if self._live(key) is not None}

    def _live(self, key: str) -> bytes | None:
        payload, expires_at = self._data.get(key, (None, 0.0))
        if payload is not None and self._timer() >= expires_at:
            del self._data[key]
            return None
        return payload

    def _command(self, operation: str) -> None:
        self.commands.append(operation)
        if self.failure == "circuit":
            raise CircuitOpenError
        if self.failure is not None:
            raise RemoteError(self.failure)
