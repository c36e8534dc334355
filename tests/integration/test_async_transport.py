"""The asyncio transport on a real server: one batch for each turn of a loop, and errors."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from routecache.errors import CircuitOpenError
from routecache.remote.aio_server import AsyncServerTransport
from tests.async_transports import (
    World,
    client,
    come_to,
    kinds,
    nothing_left,
    value_of,
    world,
)
from tests.servers import RedisServer


@pytest.fixture(autouse=True)
def clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with nothing_left(caplog):
        yield


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[World]:
    with world(redis_server.url) as made:
        yield made


def test_what_is_asked_in_one_turn_of_the_loop_travels_in_one_batch(server: World) -> None:
    server.fill(100)

    async def main() -> None:
        await server.connect()
        with client(server.endpoint) as sync:
            before = sync.info("stats")["total_reads_processed"]
            replies = await asyncio.gather(*(server.ask(("GET", f"key{i}")) for i in range(100)))
            after = sync.info("stats")["total_reads_processed"]
        assert replies == [[value_of(f"key{i}")] for i in range(100)]
        assert after - before == 2  # the batch, and the second INFO

    asyncio.run(main())


def test_all_tasks_of_a_loop_share_one_connection(server: World) -> None:
    server.fill(500)

    async def main() -> None:
        with client(server.endpoint) as sync:
            replies = await asyncio.gather(*(server.ask(("GET", f"key{i}")) for i in range(500)))
            assert replies == [[value_of(f"key{i}")] for i in range(500)]
            come_to(1, sync)
        assert server.transport.connections() == (0, 1)

    asyncio.run(main())
    assert server.transport.connections() == (0, 0)


def test_transports_of_one_endpoint_share_the_connection_and_the_last_one_closes_it(
    server: World,
) -> None:
    other = AsyncServerTransport(server.endpoint)

    async def main() -> None:
        await server.connect()
        with client(server.endpoint) as sync:
            come_to(1, sync)
            assert await other.execute("get", time.monotonic() + 5, [("PING",)]) == [b"PONG"]
            come_to(1, sync)
            await other.aclose()
            assert kinds(await other.execute("get", time.monotonic() + 5, [("PING",)])) == {
                "connection"
            }
            await server.connect()
            await server.transport.aclose()
            come_to(0, sync)
        assert kinds(await server.ask(("PING",))) == {"connection"}

    asyncio.run(main())


def test_an_error_in_the_middle_of_a_batch_reaches_only_who_asked(server: World) -> None:
    server.fill(3)

    async def main() -> None:
        first, wrong, script, mixed, last = await asyncio.gather(
            server.ask(("GET", "key0")),
            server.ask(("LPUSH", "key0", "x")),
            server.ask(("EVALSHA", "0" * 40, 1, "key0")),
            server.ask(("GET", "key1"), ("LPUSH", "key1", "x"), ("GET", "key2")),
            server.ask(("GET", "key2")),
        )
        assert (first, last) == ([value_of("key0")], [value_of("key2")])
        assert kinds(wrong) == {"wrongtype"}
        assert kinds(script) == {"noscript"}
        assert (mixed[0], mixed[1].kind, mixed[2]) == (
            value_of("key1"),
            "wrongtype",
            value_of("key2"),
        )

    asyncio.run(main())
    assert server.told.outcomes["succeeded"] == 5


def test_a_command_that_cannot_be_packed_fails_alone(server: World) -> None:
    async def main() -> None:
        good, bad = await asyncio.gather(server.ask(("PING",)), server.ask(("GET", object())))
        assert (good, kinds(bad)) == ([b"PONG"], {"other"})

    asyncio.run(main())


def test_nothing_is_asked_of_a_server_for_no_commands(server: World) -> None:
    assert asyncio.run(server.ask()) == []
    assert server.transport.connections() == (0, 0)


def test_large_values_come_back_whole(server: World) -> None:
    server.fill(20, size=500_000)

    async def main() -> None:
        replies = await asyncio.gather(*(server.ask(("GET", f"key{i}")) for i in range(20)))
        assert replies == [[value_of(f"key{i}", 500_000)] for i in range(20)]

    asyncio.run(main())


def test_the_handshake_tells_the_time_and_so_does_a_later_batch(server: World) -> None:
    clock = server.endpoint.clock

    async def main() -> None:
        await server.connect()
        assert abs(clock.earliest() / 1e6 - time.time()) < 5
        clock._learnt_at = float("-inf")
        assert clock.due(time.monotonic())
        await server.connect()
        await server.connect()
        assert not clock.due(time.monotonic())

    asyncio.run(main())


def test_latency_and_the_wait_for_a_connection_are_counted(server: World) -> None:
    stats = server.endpoint.stats
    before = stats.operation_duration()["get"].count if stats.operation_duration() else 0
    waited = stats.connection_wait()

    async def main() -> None:
        await server.connect()
        assert stats.connection_wait() > waited
        again = stats.connection_wait()
        await server.connect()
        assert stats.connection_wait() == again

    asyncio.run(main())
    assert stats.operation_duration()["get"].count == before + 2


def test_an_open_circuit_sends_nothing(server: World) -> None:
    for _ in range(5):
        server.told.allow()
        server.told.failed()
    replies = asyncio.run(server.ask(("PING",), ("PING",)))
    assert [type(reply) for reply in replies] == [CircuitOpenError] * 2
    assert server.transport.connections() == (0, 0)
