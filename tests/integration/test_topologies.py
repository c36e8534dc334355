"""One contract for all transports: one Redis, one Valkey, Sentinel's primary, a cluster.

The asyncio transports are asked as the sync ones are, from a thread, over an event loop that runs
in another one.
"""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import pytest

from routecache.errors import RemoteError
from routecache.remote import endpoint as endpoints
from routecache.remote.endpoint import Endpoint
from routecache.remote.topology import async_transport_for, primaries_of, transport_for
from routecache.remote.transport import AsyncTransport, Command, Transport
from routecache.stats import EndpointSnapshot
from routecache.typing import Operation
from tests.helpers import eventually
from tests.topologies import Cluster, One, Topology, Valkey, WithSentinel

pytestmark = pytest.mark.needs("redis-server", "redis-cli")

T = TypeVar("T")

KINDS: tuple[type[Topology], ...] = (One, Valkey, WithSentinel, Cluster)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def topology(request: pytest.FixtureRequest) -> Iterator[Topology]:
    with request.param() as topology:
        yield topology


@pytest.fixture
def endpoint(topology: Topology) -> Iterator[Endpoint]:
    endpoint = endpoints.acquire(topology.url, None)
    connected = transport_for(endpoint).execute_everywhere("connect", soon(2), ("PING",))
    assert set(connected) == {b"PONG"}
    yield endpoint
    assert endpoint.snapshot().connections_in_use == 0
    endpoints.release(endpoint)
    assert transport_for(endpoint).snapshot().connections_idle == 0


class Awaited:
    """An asyncio transport as a sync one; the clock and the circuit are those that they share."""

    def __init__(
        self, transport: AsyncTransport, sync: Transport, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport, self._sync, self._loop = transport, sync, loop
        self.alias = sync.alias
        self.earliest, self.latest = sync.earliest, sync.latest
        self.clock_at_least = sync.clock_at_least

    @property
    def available(self) -> bool:
        return self._sync.available

    @property
    def clock_known(self) -> bool:
        return self._sync.clock_known

    def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        return self._wait(self._transport.execute(operation, deadline, commands))

    def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        return self._wait(self._transport.execute_everywhere(operation, deadline, command))

    def scan_targets(self) -> Sequence["Awaited"]:
        targets = self._transport.scan_targets()
        return [Awaited(target, self._sync, self._loop) for target in targets]

    def snapshot(self) -> EndpointSnapshot:
        return self._sync.snapshot()

    def close(self) -> None:
        self._wait(self._transport.aclose())

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(30)


@pytest.fixture(params=["sync", "asyncio"])
def transport(endpoint: Endpoint, request: pytest.FixtureRequest) -> Iterator[Transport]:
    sync = transport_for(endpoint)
    if request.param == "sync":
        yield sync
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    awaited = Awaited(async_transport_for(endpoint), sync, loop)
    yield awaited
    awaited.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def soon(seconds: float = 1.0) -> float:
    return time.monotonic() + seconds


def kinds(replies: list[object]) -> list[object]:
    return [reply.kind if isinstance(reply, RemoteError) else reply for reply in replies]


def test_what_is_set_is_got_and_deleted(transport: Transport) -> None:
    assert transport.execute("set", soon(), [("SET", b"P:v1:{a}", b"1")]) == [b"OK"]
    assert transport.execute("get", soon(), [("GET", b"P:v1:{a}")]) == [b"1"]
    assert transport.execute("get", soon(), [("GET", "P:v1:{a}")]) == [b"1"]
    assert transport.execute("delete", soon(), [("UNLINK", b"P:v1:{a}")]) == [1]
    assert transport.execute("get", soon(), [("GET", b"P:v1:{a}")]) == [None]


def test_a_batch_over_many_slots_is_answered_in_its_order(transport: Transport) -> None:
    keys = [f"batch{i}".encode() for i in range(500)]
    assert transport.execute("set", soon(), [("SET", k, k[5:]) for k in keys]) == [b"OK"] * 500
    assert transport.execute("get", soon(), [("GET", k) for k in keys]) == [k[5:] for k in keys]
    assert transport.execute("get", soon(), []) == []


def test_scanning_all_targets_finds_all_keys_once(transport: Transport) -> None:
    keys = {f"scan{i}".encode() for i in range(200)}
    transport.execute("set", soon(), [("SET", key, b"") for key in keys])
    found: list[bytes] = []
    for target in transport.scan_targets():
        cursor = b"0"
        while True:
            command = ("SCAN", cursor, "MATCH", "scan*", "COUNT", 1000)
            cursor, some = target.execute("clear", soon(), [command])[0]
            found += some
            if cursor == b"0":
                break
    assert sorted(found) == sorted(keys)


def test_a_failed_command_has_its_error_in_its_place(transport: Transport) -> None:
    transport.execute("set", soon(), [("LPUSH", b"list", b"x")])
    replies = transport.execute(
        "get",
        soon(),
        [
            ("SET", b"before", b"1"),
            ("GET", b"list"),
            ("EVALSHA", "0" * 40, 1, b"script"),
            ("NOSUCH", b"command"),
            ("GET", b"before"),
        ],
    )
    transport.execute("delete", soon(), [("UNLINK", b"list")])
    assert kinds(replies) == [b"OK", "wrongtype", "noscript", "other", b"1"]
    assert transport.available


def test_the_clock_is_bounded_by_all_primaries(transport: Transport, endpoint: Endpoint) -> None:
    assert transport.clock_known
    early = transport.earliest()
    told = transport.execute_everywhere("get", soon(), ("TIME",))
    late = transport.latest()
    assert len(told) == len(primaries_of(endpoint))
    for seconds, micros in told:
        assert early - 1000 <= int(seconds) * 1_000_000 + int(micros) <= late + 1000
    assert transport.earliest() <= transport.latest()
    transport.clock_at_least(time.monotonic(), transport.earliest())


def test_a_program_that_asks_nonsense_gets_an_error_and_no_exception(transport: Transport) -> None:
    assert kinds(transport.execute("set", soon(), [("SET", b"k", object())])) == ["other"]
    assert transport.available


def test_a_deadline_that_has_passed_is_no_failure_of_the_server(transport: Transport) -> None:
    for _ in range(20):
        assert kinds(transport.execute("get", soon(-1), [("GET", b"k")])) == ["pool"]
    assert transport.available


def test_a_stopped_server_costs_one_deadline_then_nothing_and_is_used_again(
    topology: Topology, transport: Transport
) -> None:
    keys = [f"stop{i}".encode() for i in range(50)]
    gets = [("GET", key) for key in keys]
    transport.execute("set", soon(), [("SET", key, b"v") for key in keys])
    paused = topology.servers if isinstance(topology, Cluster) else [topology.primary()]
    for server in paused:
        server.pause()
    try:
        for i in range(5):
            started = time.monotonic()
            assert set(kinds(transport.execute("get", soon(0.05), gets))) == {"timeout"}, i
            assert time.monotonic() - started < 0.5
        assert not transport.available
        assert transport.snapshot().circuit == "open"
        assert set(kinds(transport.execute("get", soon(0.05), gets))) <= {"circuit", "timeout"}
    finally:
        for server in paused:
            server.resume()
    eventually(lambda: transport.execute("get", soon(), gets) == [b"v"] * 50)
    assert transport.available


def test_managers_of_one_url_share_an_endpoint(topology: Topology, endpoint: Endpoint) -> None:
    other = endpoints.acquire(topology.url, None)
    assert other is endpoint
    endpoints.release(other)
