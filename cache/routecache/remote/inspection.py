"""A Redis as an operator looks at it: walked in bounded steps, and changed only where asked to.

For tools beside the processes that use the cache. What it deletes and invalidates, the listeners
of those processes hear: where the server does not tell them, by a message of our own.
"""

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from routecache import keys
from routecache.errors import RemoteError
from routecache.remote.announcing import Announcer
from routecache.remote.commands import SCAN_COUNT, encoded
from routecache.remote.listener import listener_for
from routecache.remote.sync import SyncRemote
from routecache.remote.topology import is_cluster
from routecache.remote.transport import Command, Transport
from routecache.typing import Seen

STEP_TIMEOUT = 5.0
"""Seconds: the bound on each round trip."""

TAG_LIFE_MS = 24 * 3600 * 1000  # as long as a tagged entry may live


class Sampled(NamedTuple):
    """One value: its bytes on the wire, milliseconds to live as PTTL says, bytes of memory.

    None for what is gone, was not asked for or was refused.
    """

    payload: bytes | None
    ttl_ms: int
    memory: int | None


class Inspection:
    """One Redis, Sentinel's primary or a cluster, at `url`. A context manager; for one thread.

    Every method raises RemoteError if the server cannot be reached or refuses; constructing it
    raises ConfigurationError for a URL that cannot work.
    """

    def __init__(self, url: str) -> None:
        self._remote = SyncRemote(url, connect=False)

    def __enter__(self) -> Self:
        failure = self._remote.connect(self._deadline())
        if failure is not None:
            self._remote.close()
            raise failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remote.close()

    @property
    def primaries(self) -> int:
        """How many servers hold the keys."""
        return len(self._remote.transport.scan_targets())

    def server_times(self) -> tuple[int, int]:
        """Bounds of the server's clock now, in microseconds."""
        times = self._remote.server_times()
        if times is None:
            raise RemoteError("connection")
        return times

    def look(self, prefix: str, key: str) -> Seen:
        """What stands under `key` of the cache with this prefix."""
        pair = keys.value_key(prefix, key), keys.lease_key(prefix, key)
        (seen,) = self._remote.look_many([pair], self._deadline())
        if isinstance(seen, RemoteError):
            raise seen
        return seen

    def tag_times(self, prefix: str, tags: Sequence[str]) -> list[bytes | None]:
        """What stands under the tags' keys."""
        found = self._remote.get_many([keys.tag_key(prefix, t) for t in tags], self._deadline())
        return [_told(reply) for reply in found]

    def size(self) -> int:
        """How many keys the servers hold, of whatever program."""
        replies = self._remote.transport.execute_everywhere("get", self._deadline(), ("DBSIZE",))
        return sum(int(_told(reply)) for reply in replies)

    def walk(self, pattern: str) -> Iterator[tuple[int, list[bytes]]]:
        """SCAN every primary: the keys walked past and those that match, step by step.

        A key may come twice, as SCAN has it. The keys walked past are about right.
        """
        for target in self._remote.transport.scan_targets():
            for found in self._scan(target, pattern):
                yield SCAN_COUNT, found

    def sample(self, wire_keys: Sequence[bytes]) -> list[Sampled]:
        """Payload, time to live and memory of values, in one round trip per primary."""
        commands: list[Command] = []
        for key in wire_keys:
            commands += [("GET", key), ("PTTL", key), ("MEMORY USAGE", key)]
        replies = self._remote.transport.execute("get", self._deadline(), commands)
        sampled = []
        for payload, ttl, memory in zip(replies[::3], replies[1::3], replies[2::3], strict=True):
            foreign = isinstance(payload, RemoteError) and payload.kind == "wrongtype"
            refused = isinstance(memory, RemoteError)  # by an access list, or a managed server
            sampled.append(
                Sampled(b"" if foreign else _told(payload), _told(ttl), None if refused else memory)
            )
        return sampled

    def clear(self, prefix: str) -> Iterator[tuple[int, int]]:
        """Delete the leases, values and tags of one cache: keys walked past and removed, by step.

        In this order, so that a load that ends meanwhile stores nothing.
        """
        announcer = self._announcer(prefix)
        patterns = [keys.lease_pattern(prefix)]
        patterns += [keys.value_pattern(prefix, version) for version in keys.LIVE_VERSIONS]
        patterns.append(keys.tag_pattern(prefix))
        for target in self._remote.transport.scan_targets():
            for pattern in patterns:
                for found in self._scan(target, pattern):
                    unlinks: list[Command] = [("UNLINK", key) for key in found]
                    told = announcer.commands(found)
                    replies = target.execute("clear", self._deadline(), [*unlinks, *told])
                    removed = [int(_told(reply)) for reply in replies[: len(unlinks)]]
                    yield SCAN_COUNT, sum(removed)
        tell = announcer.all_changed()
        for reply in self._remote.transport.execute("clear", self._deadline(), tell):
            _told(reply)

    def delete(self, prefix: str, key: str) -> bool:
        """Delete one key as a cache would; whether there was a value."""
        self._remote.announcer = self._announcer(prefix)
        pair = keys.value_key(prefix, key), keys.lease_key(prefix, key)
        return bool(_told(self._remote.delete_many([pair], self._deadline())[0]))

    def invalidate_tag(self, prefix: str, tag: str) -> None:
        """Make every entry that carries `tag` a miss, as a cache would."""
        self._remote.announcer = self._announcer(prefix)
        where = [keys.tag_key(prefix, tag)]
        _told(self._remote.invalidate_tags(where, TAG_LIFE_MS, self._deadline())[0])

    def _announcer(self, prefix: str) -> Announcer:
        # Its listener listens to nothing and has not asked the server: it has us publish too.
        endpoint = self._remote.endpoint
        value_prefix = encoded(keys.value_prefix(prefix))
        return Announcer(listener_for(endpoint), value_prefix, apart=is_cluster(endpoint))

    def _scan(self, target: Transport, pattern: str) -> Iterator[list[bytes]]:
        cursor = b"0"
        while True:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            cursor, found = _told(target.execute("get", self._deadline(), (scan,))[0])
            yield found
            if cursor == b"0":
                return

    def _deadline(self) -> float:
        return time.monotonic() + STEP_TIMEOUT


def _told(reply: Any) -> Any:
    if isinstance(reply, RemoteError):
        raise reply
    return reply
