"""The asyncio transport over the lives of event loops, threads and processes."""

import asyncio
import contextlib
import gc
import os
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.async_transports import (
    World,
    client,
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
def server(redis_server: RedisServer) -> Iterator[World]:
    with world(redis_server.url) as made:
        made.fill(100)
        yield made


@pytest.fixture
def sync(server: World) -> Iterator["redis.Redis"]:
    with client(server.endpoint) as made:
        yield made


async def read(server: World, n: int = 100) -> None:
    replies = await asyncio.gather(*(server.ask(("GET", f"key{i}")) for i in range(n)))
    assert replies == [[value_of(f"key{i}")] for i in range(n)]


def test_loops_that_follow_each_other_leave_nothing(server: World, sync: "redis.Redis") -> None:
    for _ in range(20):
        asyncio.run(read(server))
    come_to(0, sync)
    assert server.transport.links._links == {}


def test_a_loop_closed_with_the_connection_open_closes_it(
    server: World, sync: "redis.Redis"
) -> None:
    come_to(0, sync)
    files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(read(server))
        come_to(1, sync)
        loop.close()
        come_to(0, sync)
    if files:
        assert len(os.listdir("/proc/self/fd")) == files
    asyncio.run(read(server))


def test_a_loop_closed_with_calls_under_way_or_while_connecting(
    shared_redis: RedisServer,
) -> None:
    with Proxy(shared_redis.url.removeprefix("unix://")) as proxy, world(proxy.url) as server:
        for connected in (True, False):
            loop = asyncio.new_event_loop()
            if connected:
                loop.run_until_complete(server.connect())
            proxy.mode = "black_hole"

            async def ask_and_leave() -> "asyncio.Task[list[object]]":
                task = asyncio.ensure_future(server.ask(("PING",), within=30))
                await asyncio.sleep(0.05)
                return task

            task = loop.run_until_complete(ask_and_leave())
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
            loop.close()
            assert server.transport.links._links == {}
            proxy.mode = "pass"
        asyncio.run(server.connect())


def test_a_call_made_while_asyncio_run_ends_leaves_nothing(
    server: World, sync: "redis.Redis"
) -> None:

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await server.ask(("PING",))

    async def main() -> None:
        await read(server)
        tasks = [asyncio.create_task(cleans_up()) for _ in range(3)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(tasks.clear)

    asyncio.run(main())
    come_to(0, sync)


def test_loops_in_four_threads_at_once(server: World, sync: "redis.Redis") -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            barrier.wait(10)
            for _ in range(5):
                asyncio.run(_rounds(server))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    come_to(0, sync)


async def _rounds(server: World) -> None:
    for _ in range(10):
        await read(server, 50)


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_closing_ends_the_connections_of_all_loops(
    server: World, sync: "redis.Redis", how: str
) -> None:
    ready, done = threading.Barrier(3), threading.Event()
    after: list[set[str]] = []

    async def other() -> None:
        await server.connect()
        await asyncio.to_thread(ready.wait, 10)
        await asyncio.to_thread(done.wait, 10)
        after.append(kinds(await server.ask(("PING",))))

    async def main() -> None:
        await server.connect()
        await asyncio.to_thread(ready.wait, 10)
        come_to(3, sync)
        if how == "aclose":
            await server.transport.aclose()
            assert server.transport.links._links.get(asyncio.get_running_loop()) is None
        else:
            server.transport.close()
            await asyncio.sleep(0)

    threads = [threading.Thread(target=asyncio.run, args=(other(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    asyncio.run(main())
    come_to(0, sync)  # the other loops still run
    done.set()
    for thread in threads:
        thread.join(30)
    assert after == [{"connection"}] * 2


def test_closing_wakes_who_waits_and_blames_nobody(shared_redis: RedisServer) -> None:
    with Proxy(shared_redis.url.removeprefix("unix://")) as proxy, world(proxy.url) as server:

        async def main() -> None:
            await server.connect()
            proxy.mode = "black_hole"
            waiting = asyncio.create_task(server.ask(("PING",), within=30))
            await asyncio.sleep(0.01)
            await server.transport.aclose()
            assert kinds(await waiting) == {"connection"}

        asyncio.run(main())
        assert server.told.outcomes == {"succeeded": 1, "failed": 0, "abandoned": 1}


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its exit status is 0 if it returns."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def test_a_forked_child_has_links_of_its_own_and_leaves_its_parents_alone(
    server: World, sync: "redis.Redis"
) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(read(server))
    come_to(1, sync)
    link = id(next(iter(server.transport.links._links.values())))

    def work() -> None:
        assert server.transport.connections() == (0, 0)
        asyncio.run(read(server))
        loop.close()  # the parent's: this must not end the parent's connection
        assert server.transport.links._links == {}
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            gc.collect()
        assert [str(warning.message) for warning in warned] == []
        server.transport.close()

    for _ in range(3):
        assert in_child(work) == 0
    loop.run_until_complete(read(server))
    assert id(next(iter(server.transport.links._links.values()))) == link
    come_to(1, sync)
    loop.close()
