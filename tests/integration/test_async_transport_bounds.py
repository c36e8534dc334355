"""The asyncio transport's queues are bounded, and cancelled callers leave nothing behind."""

import asyncio
import random
import time
from collections.abc import Iterator

import pytest
import redis

from tests.async_transports import (
    World,
    come_to,
    kinds,
    nothing_left,
    value_of,
    world,
)
from tests.proxy import Proxy
from tests.servers import RedisServer


@pytest.fixture(autouse=True)
def clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with nothing_left(caplog):
        yield


@pytest.fixture
def server(shared_redis: RedisServer) -> Iterator[World]:
    with world(shared_redis.url) as made:
        yield made


def test_calls_beyond_the_bound_wait_for_room(shared_redis: RedisServer) -> None:
    with world(f"{shared_redis.url}?max_connections=1") as server:  # 20 calls in flight
        server.fill(1000)

        async def main() -> None:
            await server.connect()
            replies = await asyncio.gather(*(server.ask(("GET", f"key{i}")) for i in range(1000)))
            assert replies == [[value_of(f"key{i}")] for i in range(1000)]

        asyncio.run(main())
        assert server.endpoint.stats.connection_wait() > 0


def test_calls_without_room_give_up_at_their_deadline_and_blame_nobody(
    shared_redis: RedisServer,
) -> None:
    with (
        Proxy(shared_redis.url.removeprefix("unix://")) as proxy,
        world(f"{proxy.url}?max_connections=1") as server,
    ):

        async def main() -> None:
            await server.connect()
            proxy.mode = "black_hole"
            stuck = [asyncio.create_task(server.ask(("PING",), within=30)) for _ in range(20)]
            await asyncio.sleep(0)
            replies = await asyncio.gather(*(server.ask(("PING",), within=0.1) for _ in range(50)))
            assert [kinds(reply) for reply in replies] == [{"pool"}] * 50
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

        asyncio.run(main())
        assert server.told.outcomes == {"succeeded": 1, "failed": 0, "abandoned": 70}


def test_the_queue_of_cancelled_calls_stays_bounded(shared_redis: RedisServer) -> None:
    with (
        Proxy(shared_redis.url.removeprefix("unix://")) as proxy,
        world(f"{proxy.url}?max_connections=1") as server,
    ):

        async def main() -> None:
            await server.connect()
            proxy.mode = "black_hole"
            longest = 0
            for _ in range(500):
                task = asyncio.create_task(server.ask(("PING",), within=30))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                task.cancel()
                calls = next(iter(server.transport.links._links.values()))._calls
                longest = max(longest, len(calls._queue) + len(calls._pending))
            assert longest <= 3 * 20

        asyncio.run(main())


def test_a_cancelled_call_that_was_not_written_is_never_sent(server: World) -> None:
    async def main() -> None:
        await server.connect()
        task = asyncio.create_task(server.ask(("INCR", "cancelled")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await server.ask(("GET", "cancelled")) == [None]

    asyncio.run(main())


def test_ten_thousand_tasks_cancelled_anywhere_get_no_wrong_reply(
    redis_server: RedisServer,
) -> None:
    random_ = random.Random(7)
    started = time.monotonic()
    path = redis_server.url.removeprefix("unix://")
    with Proxy(path) as proxy, world(proxy.url) as server:
        server.fill(100)
        answered = cancelled = 0

        async def one(i: int) -> None:
            nonlocal answered
            first, second = f"key{i % 100}", f"key{(i * 7) % 100}"
            replies = await server.ask(("GET", first), ("GET", second), within=10)
            assert replies == [value_of(first), value_of(second)], replies
            answered += 1

        async def main() -> None:
            nonlocal cancelled
            for wave in range(20):
                tasks = [asyncio.create_task(one(wave * 500 + i)) for i in range(500)]
                victims = random_.sample(tasks, 400)
                while victims:
                    for _ in range(random_.randrange(6)):
                        await asyncio.sleep(0)
                    for _ in range(min(25, len(victims))):
                        victims.pop().cancel()
                await asyncio.wait(tasks)
                for task in tasks:
                    if task.cancelled():
                        cancelled += 1
                    else:
                        task.result()
            await server.connect()

        with redis.Redis(unix_socket_path=path) as sync:
            come_to(0, sync)
            asyncio.run(main())
            come_to(0, sync)
    took = time.monotonic() - started
    print(f"{answered} answered, {cancelled} cancelled in {took:.2f} s")
    assert answered + cancelled == 10_000
    assert answered >= 20 * 100
    assert cancelled > 100
    assert took < 20
