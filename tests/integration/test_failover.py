"""A primary dies under load: no exception, and L2 is used again soon after the next one is there.

How long Sentinel and Redis themselves take is theirs; the tests bound what we add to it.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pytest

from routecache.errors import RemoteError
from routecache.remote import endpoint as endpoints
from routecache.remote import urls
from routecache.remote.endpoint import Endpoint
from routecache.remote.node import Node
from routecache.remote.server import ServerTransport
from routecache.remote.topology import async_transport_for, transport_for
from routecache.remote.transport import Command
from tests.failing_over import promoted
from tests.helpers import eventually
from tests.topologies import Cluster, One, WithSentinel

DEADLINE = 0.05
WITHIN = 1.5  # seconds after the promotion; the circuit is probed every half second


class Load:
    """What callers that write and read keys of all slots got, and when it was last wrong."""

    def __init__(self) -> None:
        self.exceptions: list[BaseException] = []
        self.kinds: Counter[str] = Counter()
        self.slowest = 0.0
        self.last_error = 0.0
        self.answers = 0
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def commands(self, n: int, i: int) -> list[Command]:
        """What caller `n` sends the `i`th time."""
        sets: list[Command] = [("SET", f"k{n}.{(i + j) % 300}".encode(), b"v") for j in range(3)]
        return [*sets, *(("GET", command[1]) for command in sets)]

    def took(self, started: float, replies: Sequence[Any]) -> None:
        now = time.monotonic()
        self.slowest = max(self.slowest, now - started)
        for reply in replies:
            if isinstance(reply, RemoteError):
                self.kinds[reply.kind] += 1
                # "pool" is this process's own: so busy a machine that it tells nothing of servers.
                if reply.kind != "pool":
                    self.last_error = now
            else:
                self.answers += 1

    def fine(self) -> bool:
        """Whether there were answers and no errors for half a second."""
        before = self.answers
        return time.monotonic() - self.last_error > 0.5 and self._answers_after(before)

    def _answers_after(self, before: int) -> bool:
        return eventually(lambda: self.answers > before, 5)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    _threads: list[threading.Thread]


class Threads(Load):
    """Eight threads on the sync transport."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._transport = transport_for(endpoint)
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(8)]

    def _run(self, n: int) -> None:
        i = 0
        while not self.stopped:
            i += 1
            started = time.monotonic()
            try:
                replies = self._transport.execute("get", started + DEADLINE, self.commands(n, i))
            except BaseException as error:
                self.exceptions.append(error)
                return
            self.took(started, replies)
            self._stop.wait(0.001)


class Tasks(Load):
    """Thirty-two tasks of one event loop on the asyncio transport."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._transport = async_transport_for(endpoint)
        self._threads = [threading.Thread(target=asyncio.run, args=(self._main(),))]

    async def _main(self) -> None:
        ended = await asyncio.gather(*map(self._run, range(32)), return_exceptions=True)
        self.exceptions += [error for error in ended if error is not None]
        await self._transport.aclose()

    async def _run(self, n: int) -> None:
        i = 0
        while not self.stopped:
            i += 1
            started = time.monotonic()
            commands = self.commands(n, i)
            self.took(started, await self._transport.execute("get", started + DEADLINE, commands))
            await asyncio.sleep(0.005)


LOADS = pytest.mark.parametrize("kind", [Threads, Tasks], ids=["threads", "tasks"])


def report(what: str, how: str, load: Load, at: float, there: float) -> None:
    print(
        f"{what}, {how}: the next primary after {there - at:.2f} s,"
        f" our last error {load.last_error - there:+.2f} s after that;"
        f" exceptions {len(load.exceptions)}, {dict(load.kinds)},"
        f" slowest call {load.slowest * 1000:.0f} ms"
    )


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize("how", ["kill", "pause"])
@LOADS
def test_a_failover_of_sentinel(kind: type[Threads | Tasks], how: str) -> None:
    with WithSentinel() as topology:
        endpoint = endpoints.acquire(topology.url, None)
        transport = transport_for(endpoint)
        transport.execute("connect", time.monotonic() + 2, [("PING",)])
        with kind(endpoint) as load:
            eventually(lambda: load.answers > 1000)
            eventually(load.fine, 30)  # a busy machine misses deadlines of its own
            load.kinds.clear()
            old = topology.primary()
            at = time.monotonic()
            getattr(old, how)()
            there = promoted(topology, old)
            eventually(load.fine, 30)
        report(f"sentinel, {kind.__name__}", how, load, at, there)
        assert transport.available
        endpoints.release(endpoint)
    assert load.exceptions == []
    assert load.last_error - there < WITHIN


@pytest.mark.needs("redis-server", "redis-cli")
@pytest.mark.parametrize("how", ["kill", "pause"])
@LOADS
def test_a_failover_of_a_cluster(kind: type[Threads | Tasks], how: str) -> None:
    with Cluster() as topology:
        endpoint = endpoints.acquire(topology.url, None)
        transport = transport_for(endpoint)
        transport.execute_everywhere("connect", time.monotonic() + 2, ("PING",))
        with kind(endpoint) as load:
            eventually(lambda: load.answers > 1000)
            eventually(load.fine, 30)  # a busy machine misses deadlines of its own
            load.kinds.clear()
            old = topology.primary()
            at = time.monotonic()
            getattr(old, how)()
            there = promoted(topology, old)
            eventually(load.fine, 30)
        report(f"cluster, {kind.__name__}", how, load, at, there)
        endpoints.release(endpoint)
    assert load.exceptions == []
    assert load.last_error - there < WITHIN
    assert transport.snapshot().connections_in_use == 0


@pytest.mark.needs("redis-server")
def test_a_demoted_primary_that_kept_its_connections_is_left_at_the_first_read_only_reply() -> None:
    with One() as old, One() as new:
        addresses = [("127.0.0.1", old.primary().port)]
        where = urls.parse("redis+sentinel://unused")
        node = Node("demoted", where, locate=lambda: addresses[0], max_reset=0.5)
        transport = ServerTransport(node)

        def store() -> object:
            reply = transport.execute("set", time.monotonic() + 1, [("SET", "k", "v")])[0]
            return reply.kind if isinstance(reply, RemoteError) else reply

        assert store() == b"OK"
        old.primary().ask("REPLICAOF", "127.0.0.1", new.primary().port)
        assert store() == "readonly"
        assert store() == "readonly", "connected anew, and its role is checked"
        addresses[0] = ("127.0.0.1", new.primary().port)
        assert store() == b"OK"
        node.close()
