"""L2 for the sync manager: what the cache needs of Redis, each call under one deadline."""

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import redis

from routecache import registry, tracing
from routecache.errors import RemoteError
from routecache.remote import commands, observing
from routecache.remote import endpoint as endpoints
from routecache.remote.aio import AsyncioRemote
from routecache.remote.announcing import Announcer, WeakSink
from routecache.remote.background import Background
from routecache.remote.commands import SCAN_COUNT, SCAN_STEP_TIMEOUT, Request
from routecache.remote.endpoint import Endpoint
from routecache.remote.hottest import Hottest, refused
from routecache.remote.listener import listener_for
from routecache.remote.topology import is_cluster, transport_for
from routecache.remote.transport import Transport
from routecache.typing import Leased, LeaseWanted, Seen, Sink, WireItem

RedisClient: TypeAlias = redis.Redis

_FIRST_CONNECT_TIMEOUT = 0.5


class SyncRemote:
    """A Redis or Valkey server as L2, see `routecache.typing.Remote`. Safe for threads.

    Constructing it waits at most half a second for the first connection (not at all without
    `connect`); failed, the cache starts on L1 alone and tries again by itself. `cache` is the name
    by which a trace knows whose steps these are.
    """

    def __init__(
        self,
        url: str | None = None,
        client: RedisClient | None = None,
        *,
        connect: bool = True,
        cache: str = "",
    ) -> None:
        self.cache = cache
        self.endpoint: Endpoint = endpoints.acquire(url, client)
        registry.register_endpoints(observing.snapshots)
        # Also lets go of the endpoint when a manager is dropped without having been closed.
        self._release = weakref.finalize(self, endpoints.release, self.endpoint)
        self._release.atexit = False
        self.transport: Transport = transport_for(self.endpoint)
        self._background = Background()
        self._listener = listener_for(self.endpoint)
        self._unwatch: weakref.finalize[..., Sink] | None = None
        self.announcer: Announcer | None = None
        if connect and self.endpoint.users == 1:
            self.connect(self.deadline(_FIRST_CONNECT_TIMEOUT))

    @property
    def alias(self) -> str:
        """The endpoint's bounded label."""
        return self.transport.alias

    @property
    def available(self) -> bool:
        """Whether the circuit is closed."""
        return self.transport.available

    def deadline(self, timeout: float) -> float:
        """The deadline for a call that starts now and may take `timeout` seconds."""
        return time.monotonic() + timeout

    def left(self, deadline: float) -> float:
        """How many of the seconds until `deadline` are left; negative past it."""
        return deadline - time.monotonic()

    def server_times(self) -> tuple[int, int] | None:
        """Bounds of the server's clock now, in microseconds; None before the first answer."""
        transport = self.transport
        if not transport.clock_known:
            return None
        return transport.earliest(), transport.latest()

    def connect(self, deadline: float) -> RemoteError | None:
        """Reach the server, which tells its time; the failure if that failed."""
        replies = self.transport.execute_everywhere("connect", deadline, ("PING",))
        return next((reply for reply in replies if isinstance(reply, RemoteError)), None)

    def get_many(self, keys: Sequence[str], deadline: float) -> list[bytes | RemoteError | None]:
        """The payload under each key."""
        return self._run(commands.get(keys), deadline)

    def lease_many(
        self, wanted: Sequence[LeaseWanted], life_ms: int, deadline: float
    ) -> list[Leased | RemoteError]:
        """The payload under each key and, where there is none, the token of its lease."""
        return self._run(commands.lease(wanted, life_ms), deadline)

    def look_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[Seen | RemoteError]:
        """What stands under each (value key, lease key); changes nothing."""
        return self._run(commands.look(keys), deadline)

    def store_many(
        self, items: Sequence[WireItem], deadline: float
    ) -> list[bool | str | RemoteError]:
        """Store each item whose token stands, or that has none."""
        return self._run(commands.store(items), deadline)

    def delete_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[bool | RemoteError]:
        """Delete each (value key, lease key) and have every listener told."""
        return self._run(commands.delete(keys), deadline)

    def renew_leases(
        self, leases: Sequence[tuple[str, str]], life_ms: int, deadline: float
    ) -> list[bool | RemoteError]:
        """Lengthen each (lease key, token), or end it with a life of 0 ms."""
        return self._run(commands.renew(leases, life_ms), deadline)

    def invalidate_tags(
        self, keys: Sequence[str], ttl_ms: int, deadline: float
    ) -> list[int | RemoteError]:
        """Write the server's time under each tag key, to live `ttl_ms` milliseconds."""
        times: list[int | RemoteError] = self._run(commands.invalidate_tags(keys, ttl_ms), deadline)
        received = time.monotonic()
        for told in times:
            if isinstance(told, int):
                self.transport.clock_at_least(received, told)
        return times

    def clear(self, patterns: Sequence[str]) -> int | RemoteError:
        """Delete all keys that match `patterns`, by SCAN and UNLINK on each primary.

        Not bound by a look-up's deadline; each step is bounded by a second. One message more
        tells others to drop all that they have, also what L2 lacks.
        """
        deleted = self._sweep_all(patterns)
        tell = [] if self.announcer is None else self.announcer.all_changed()
        if tell:
            said = self.transport.execute("clear", self.deadline(SCAN_STEP_TIMEOUT), tell)
            return commands.not_said(said) or deleted
        return deleted

    def _sweep_all(self, patterns: Sequence[str]) -> int | RemoteError:
        deleted = 0
        for target in self.transport.scan_targets():
            for pattern in patterns:
                n = self._sweep(target, pattern)
                if isinstance(n, RemoteError):
                    return n
                deleted += n
        return deleted

    def _sweep(self, target: Transport, pattern: str) -> int | RemoteError:
        deleted, cursor = 0, b"0"
        while True:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            found = target.execute("clear", self.deadline(SCAN_STEP_TIMEOUT), (scan,))[0]
            if isinstance(found, RemoteError):
                return found
            cursor, keys = found
            if keys:
                unlinks = [("UNLINK", key) for key in keys]
                replies = target.execute("clear", self.deadline(SCAN_STEP_TIMEOUT), unlinks)
                for reply in replies:
                    if isinstance(reply, RemoteError):
                        return reply
                    deleted += int(reply)
            if cursor == b"0":
                return deleted

    def hottest(self, pattern: str, most: int, deadline: float) -> list[str] | RemoteError:
        """At most so many keys that match `pattern`, hottest first; see hottest.py."""
        found = Hottest(most)
        for target in self.transport.scan_targets():
            found.begin()
            failure = self._survey(target, pattern, found, deadline)
            if failure is not None:
                return failure
        return found.ranked()

    def _survey(
        self, target: Transport, pattern: str, found: Hottest, deadline: float
    ) -> RemoteError | None:
        cursor = b"0"
        while found.goes_on() and self.left(deadline) > 0:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            walked = target.execute("scan", self._step(deadline), (scan,))[0]
            if isinstance(walked, RemoteError):
                return walked
            cursor, keys = walked
            if keys:
                asked = found.questions(keys)
                replies = target.execute("scan", self._step(deadline), asked)
                found.answered(keys, replies)
                failure = refused(replies)
                if failure is not None:
                    return failure
            if cursor == b"0":
                break
        return None

    def _step(self, deadline: float) -> float:
        return min(deadline, self.deadline(SCAN_STEP_TIMEOUT))

    def watch(self, prefixes: Sequence[str], sink: Sink) -> bool:
        """Have `sink` told of what happens to keys with these prefixes."""
        ear = WeakSink(sink)
        prefix = commands.encoded(prefixes[0])
        self.announcer = Announcer(self._listener, prefix, apart=is_cluster(self.endpoint))
        self._listener.watch([commands.encoded(prefix) for prefix in prefixes], ear)
        # Also stops listening when a manager is dropped without having been closed.
        self._unwatch = weakref.finalize(sink, self._listener.unwatch, ear)
        self._unwatch.atexit = False
        return True

    def in_background(self, job: Callable[[], bool]) -> None:
        """Call `job` about every second in a background thread until it returns True."""
        self._background.add(job)

    def awaited(self) -> AsyncioRemote:
        """The same server for asyncio; it shares all but the connections."""
        return AsyncioRemote(self, self.transport, self.endpoint)

    def close(self) -> None:
        """Let go of the endpoint; the last manager of a URL closes its connections."""
        self._background.stop()
        if self._unwatch is not None:
            self._unwatch()
        self._release()

    def _run(self, request: Request, deadline: float) -> list[Any]:
        if tracing.hook is None or not tracing.wanted("l2"):
            return self._send(request, deadline)
        size = len(request.commands)
        with tracing.L2Step(self.cache, self.alias, request.operation, size) as step:
            step.results = self._send(request, deadline)
        return step.results

    def _send(self, request: Request, deadline: float) -> list[Any]:
        told = commands.announced(request, self.announcer)
        replies = self.transport.execute(request.operation, deadline, told)
        places, again = commands.in_full(request, told, replies)
        if places:
            sent = self.transport.execute(request.operation, deadline, again)
            for place, reply in zip(places, sent, strict=False):
                replies[place] = reply
        results = request.read(replies)
        tell = commands.afterwards(request, self.announcer, replies)
        if tell:
            said = self.transport.execute(request.operation, deadline, tell)
            return commands.untold(results, said)
        return results
