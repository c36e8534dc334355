"""L2 for the asyncio manager: `sync.py` with `async` and `await`; a test holds the two together."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from routecache import tracing
from routecache.errors import RemoteError
from routecache.remote import commands
from routecache.remote.announcing import Announcing
from routecache.remote.commands import SCAN_COUNT, SCAN_STEP_TIMEOUT, Request
from routecache.remote.endpoint import Endpoint
from routecache.remote.hottest import Hottest, refused
from routecache.remote.topology import async_transport_for
from routecache.remote.transport import AsyncTransport, Transport
from routecache.typing import Leased, LeaseWanted, Seen, Sink, WireItem


class AsyncioRemote:
    """A Redis or Valkey server as L2, see `routecache.typing.AsyncRemote`.

    Shares endpoint, circuit, clock and listener with `sync`, which also works in the background
    for it. Safe for tasks of any event loop.
    """

    def __init__(self, sync: Announcing, clock: Transport, endpoint: Endpoint) -> None:
        self._sync = sync
        self._clock = clock
        self.transport: AsyncTransport = async_transport_for(endpoint)

    @property
    def alias(self) -> str:
        """The endpoint's bounded label."""
        return self._sync.alias

    @property
    def available(self) -> bool:
        """Whether the circuit is closed."""
        return self._sync.available

    def deadline(self, timeout: float) -> float:
        """The deadline for a call that starts now and may take `timeout` seconds."""
        return self._sync.deadline(timeout)

    def left(self, deadline: float) -> float:
        """How many of the seconds until `deadline` are left; negative past it."""
        return self._sync.left(deadline)

    def server_times(self) -> tuple[int, int] | None:
        """Bounds of the server's clock now, in microseconds; None before the first answer."""
        return self._sync.server_times()

    def watch(self, prefixes: Sequence[str], sink: Sink) -> bool:
        """Have `sink` told of what happens to keys with these prefixes."""
        return self._sync.watch(prefixes, sink)

    def in_background(self, job: Callable[[], bool]) -> None:
        """Call `job` now and then in a background thread until it returns True."""
        self._sync.in_background(job)

    async def connect(self, deadline: float) -> RemoteError | None:
        """Reach the server, which tells its time; the failure if that failed."""
        replies = await self.transport.execute_everywhere("connect", deadline, ("PING",))
        return next((reply for reply in replies if isinstance(reply, RemoteError)), None)

    async def get_many(
        self, keys: Sequence[str], deadline: float
    ) -> list[bytes | RemoteError | None]:
        """The payload under each key."""
        return await self._run(commands.get(keys), deadline)

    async def lease_many(
        self, wanted: Sequence[LeaseWanted], life_ms: int, deadline: float
    ) -> list[Leased | RemoteError]:
        """The payload under each key and, where there is none, the token of its lease."""
        return await self._run(commands.lease(wanted, life_ms), deadline)

    async def look_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[Seen | RemoteError]:
        """What stands under each (value key, lease key); changes nothing."""
        return await self._run(commands.look(keys), deadline)

    async def store_many(
        self, items: Sequence[WireItem], deadline: float
    ) -> list[bool | str | RemoteError]:
        """Store each item whose token stands, or that has none."""
        return await self._run(commands.store(items), deadline)

    async def delete_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[bool | RemoteError]:
        """Delete each (value key, lease key) and have every listener told."""
        return await self._run(commands.delete(keys), deadline)

    async def renew_leases(
        self, leases: Sequence[tuple[str, str]], life_ms: int, deadline: float
    ) -> list[bool | RemoteError]:
        """Lengthen each (lease key, token), or end it with a life of 0 ms."""
        return await self._run(commands.renew(leases, life_ms), deadline)

    async def invalidate_tags(
        self, keys: Sequence[str], ttl_ms: int, deadline: float
    ) -> list[int | RemoteError]:
        """Write the server's time under each tag key, to live `ttl_ms` milliseconds."""
        times: list[int | RemoteError] = await self._run(
            commands.invalidate_tags(keys, ttl_ms), deadline
        )
        received = time.monotonic()
        for told in times:
            if isinstance(told, int):
                self._clock.clock_at_least(received, told)
        return times

    async def clear(self, patterns: Sequence[str]) -> int | RemoteError:
        """Delete all keys that match `patterns`, by SCAN and UNLINK on each primary.

        Not bound by a look-up's deadline; each step is bounded by a second. One message more
        tells others to drop all that they have, also what L2 lacks.
        """
        deleted = await self._sweep_all(patterns)
        tell = [] if self._sync.announcer is None else self._sync.announcer.all_changed()
        if tell:
            said = await self.transport.execute("clear", self.deadline(SCAN_STEP_TIMEOUT), tell)
            return commands.not_said(said) or deleted
        return deleted

    async def _sweep_all(self, patterns: Sequence[str]) -> int | RemoteError:
        deleted = 0
        for target in self.transport.scan_targets():
            for pattern in patterns:
                n = await self._sweep(target, pattern)
                if isinstance(n, RemoteError):
                    return n
                deleted += n
        return deleted

    async def _sweep(self, target: AsyncTransport, pattern: str) -> int | RemoteError:
        deleted, cursor = 0, b"0"
        while True:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            found = (await target.execute("clear", self.deadline(SCAN_STEP_TIMEOUT), (scan,)))[0]
            if isinstance(found, RemoteError):
                return found
            cursor, keys = found
            if keys:
                unlinks = [("UNLINK", key) for key in keys]
                replies = await target.execute("clear", self.deadline(SCAN_STEP_TIMEOUT), unlinks)
                for reply in replies:
                    if isinstance(reply, RemoteError):
                        return reply
                    deleted += int(reply)
            if cursor == b"0":
                return deleted

    async def hottest(self, pattern: str, most: int, deadline: float) -> list[str] | RemoteError:
        """At most so many keys that match `pattern`, hottest first; see hottest.py."""
        found = Hottest(most)
        for target in self.transport.scan_targets():
            found.begin()
            failure = await self._survey(target, pattern, found, deadline)
            if failure is not None:
                return failure
        return found.ranked()

    async def _survey(
        self, target: AsyncTransport, pattern: str, found: Hottest, deadline: float
    ) -> RemoteError | None:
        cursor = b"0"
        while found.goes_on() and self.left(deadline) > 0:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            walked = (await target.execute("scan", self._step(deadline), (scan,)))[0]
            if isinstance(walked, RemoteError):
                return walked
            cursor, keys = walked
            if keys:
                asked = found.questions(keys)
                replies = await target.execute("scan", self._step(deadline), asked)
                found.answered(keys, replies)
                failure = refused(replies)
                if failure is not None:
                    return failure
            if cursor == b"0":
                break
        return None

    def _step(self, deadline: float) -> float:
        return min(deadline, self.deadline(SCAN_STEP_TIMEOUT))

    async def close(self) -> None:
        """Close the connections; `sync` stays open."""
        await self.transport.aclose()

    async def _run(self, request: Request, deadline: float) -> list[Any]:
        if tracing.hook is None or not tracing.wanted("l2"):
            return await self._send(request, deadline)
        size = len(request.commands)
        with tracing.L2Step(self._sync.cache, self.alias, request.operation, size) as step:
            step.results = await self._send(request, deadline)
        return step.results

    async def _send(self, request: Request, deadline: float) -> list[Any]:
        told = commands.announced(request, self._sync.announcer)
        replies = await self.transport.execute(request.operation, deadline, told)
        places, again = commands.in_full(request, told, replies)
        if places:
            sent = await self.transport.execute(request.operation, deadline, again)
            for place, reply in zip(places, sent, strict=False):
                replies[place] = reply
        results = request.read(replies)
        tell = commands.afterwards(request, self._sync.announcer, replies)
        if tell:
            said = await self.transport.execute(request.operation, deadline, tell)
            return commands.untold(results, said)
        return results
