"""The asyncio transport to a primary that moves: found without waiting, left in good order."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel

from routecache import AsyncCacheManager, Policy
from routecache.errors import RemoteError
from routecache.remote import urls
from routecache.remote.aio_server import AsyncServerTransport
from routecache.remote.node import Node
from routecache.remote.sentinel import primary_node
from routecache.remote.target import Address
from tests.async_transports import Told, kinds, nothing_left, timed, until
from tests.topologies import SERVICE, One, WithSentinel

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(autouse=True)
def clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with nothing_left(caplog):
        yield


@pytest.fixture(scope="module")
def one() -> Iterator[One]:
    with One() as topology:
        yield topology


class World:
    """A transport to where `locate` says; at its end the circuit was told of every call once."""

    def __init__(self, locate: Callable[[], Address]) -> None:
        self.node = Node("moving", urls.parse("redis+sentinel://unused"), locate=locate)
        self.node.breaker = self.told = Told()
        self.transport = AsyncServerTransport(self.node)

    async def ask(self, *commands: tuple[Any, ...], within: float = 5.0) -> list[Any]:
        return await self.transport.execute("get", time.monotonic() + within, commands)

    async def connections(self, in_use: int, idle: int) -> None:
        """Return when there are so many."""
        await until(lambda: self.transport.connections() == (in_use, idle))

    def close(self) -> None:
        self.transport.close()
        self.node.close()
        assert sum(self.told.outcomes.values()) == self.told.allowed, self.told.outcomes
        assert self.transport.connections() == (0, 0)


@pytest.fixture
def there(one: One) -> Iterator[World]:
    """A World whose primary stays where it is."""
    address = ("127.0.0.1", one.primary().port)
    made = World(lambda: address)
    yield made
    made.close()


def test_asking_where_the_primary_is_holds_up_no_loop_and_no_call(one: One) -> None:
    told, asked = threading.Event(), threading.Event()

    def locate() -> Address:
        asked.set()
        assert told.wait(30)
        return "127.0.0.1", one.primary().port

    world = World(locate)

    async def main() -> None:
        replies, seconds = await timed(world.ask(("PING",), within=0.05))
        assert kinds(replies) <= {"timeout", "pool"}
        assert seconds < 1
        assert asked.is_set()
        patient = asyncio.ensure_future(world.ask(("PING",), within=30))
        turns = 0
        for _ in range(100):
            await asyncio.sleep(0)
            turns += 1
        assert not patient.done()
        told.set()
        assert await patient == [b"PONG"]
        assert turns == 100

    asyncio.run(main())
    world.close()


def test_a_loop_that_ends_while_the_primary_is_sought_leaves_nothing(one: One) -> None:
    told, found = threading.Event(), threading.Event()

    def locate() -> Address:
        assert told.wait(30)
        found.set()
        return "127.0.0.1", one.primary().port

    world = World(locate)
    assert kinds(asyncio.run(world.ask(("PING",), within=0.02))) <= {"timeout", "pool"}
    assert world.transport.connections() == (0, 0)
    told.set()
    assert found.wait(30)
    world.close()


def test_without_another_thread_to_ask_the_call_blames_this_process(
    there: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert kinds(asyncio.run(there.ask(("PING",)))) == {"pool"}
    assert there.told.outcomes["failed"] == 0
    assert asyncio.run(there.ask(("PING",))) == [b"PONG"]


def test_a_demoted_primary_that_kept_its_connections_is_left_at_the_first_read_only_reply() -> None:
    with One() as old, One() as new:
        addresses = [("127.0.0.1", old.primary().port)]
        world = World(lambda: addresses[0])

        async def store() -> object:
            reply = (await world.ask(("SET", "k", "v"), within=1))[0]
            return reply.kind if isinstance(reply, RemoteError) else reply

        async def main() -> None:
            assert await store() == b"OK"
            old.primary().ask("REPLICAOF", "127.0.0.1", new.primary().port)
            crowd = await asyncio.gather(*(store() for _ in range(32)))
            assert set(crowd) == {"readonly"}
            assert world.told.outcomes["failed"] == 1, "32 calls that met one demotion"
            assert await store() == "readonly", "connected anew, and its role is checked"
            addresses[0] = ("127.0.0.1", new.primary().port)
            assert await store() == b"OK"

        asyncio.run(main())
        world.close()


def test_who_may_not_ask_for_the_role_is_served_all_the_same() -> None:
    with One() as server:
        server.primary().ask("ACL", "SETUSER", "default", "-role")
        world = World(lambda: ("127.0.0.1", server.primary().port))
        assert asyncio.run(world.ask(("PING",))) == [b"PONG"]
        world.close()


def test_a_retired_link_still_answers_who_waits_on_it_while_others_get_a_new_one(
    there: World,
) -> None:
    async def main() -> None:
        assert await there.ask(("PING",)) == [b"PONG"]
        waiting = asyncio.ensure_future(there.ask(("BLPOP", "retired", 0)))
        await there.connections(1, 0)
        there.transport.links.drop_all()
        assert await there.ask(("RPUSH", "retired", "x")) == [1]
        assert await waiting == [[b"retired", b"x"]]
        await there.connections(0, 1)

    asyncio.run(main())


def test_a_retired_link_ends_when_its_last_caller_is_cancelled_or_out_of_time(
    there: World,
) -> None:
    async def main() -> None:
        for how in ("cancelled", "out of time"):
            within = 30.0 if how == "cancelled" else 0.1
            waiting = asyncio.ensure_future(there.ask(("BLPOP", "never", 0), within=within))
            await there.connections(1, 0)
            there.transport.links.drop_all()
            assert there.transport.connections() == (1, 0)
            if how == "cancelled":
                waiting.cancel()
            await asyncio.wait([waiting])
            await there.connections(0, 0)
            assert waiting.cancelled() or kinds(waiting.result()) <= {"timeout", "pool"}

    asyncio.run(main())


def test_a_circuit_that_the_sync_side_opens_ends_the_links_of_every_loop(there: World) -> None:
    ready, again = threading.Event(), threading.Event()

    async def other() -> None:
        assert await there.ask(("PING",)) == [b"PONG"]
        ready.set()
        await there.connections(0, 0)
        for _ in range(1000):  # until the circuit is probed
            if await there.ask(("PING",)) == [b"PONG"]:
                again.set()
                break
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(other(),))
    thread.start()
    assert ready.wait(30)
    for _ in range(5):
        there.told.allow()
        there.node.failed(RemoteError("connection"))  # as the sync side finds it dead
    thread.join(30)
    assert again.is_set()


def test_closing_the_node_also_ends_a_link_that_is_still_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port: int = silent.getsockname()[1]
        world = World(lambda: ("127.0.0.1", port))

        async def main() -> None:
            waiting = asyncio.ensure_future(world.ask(("PING",), within=30))
            accepted, _ = await asyncio.to_thread(silent.accept)  # it has come so far
            with accepted:
                replies, seconds = await timed(close_and_wait(waiting))
            assert kinds(replies) == {"connection"}
            assert seconds < 0.5, "before the time for connecting is over"

        async def close_and_wait(waiting: "asyncio.Future[list[Any]]") -> list[Any]:
            world.node.close()
            return await waiting

        asyncio.run(main())
        assert world.told.outcomes["failed"] == 0
        world.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12 warns of fork beside threads
def test_a_forked_child_forgets_retired_links_too_and_leaves_them_to_its_parent(
    there: World,
) -> None:
    loop = asyncio.new_event_loop()

    async def wait() -> "asyncio.Task[list[Any]]":
        waiting = asyncio.ensure_future(there.ask(("BLPOP", "forked", 0), within=30))
        await there.connections(1, 0)
        there.transport.links.drop_all()
        return waiting

    waiting = loop.run_until_complete(wait())
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert there.transport.connections() == (0, 0)
            assert asyncio.run(there.ask(("PING",))) == [b"PONG"]
            there.transport.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert loop.run_until_complete(there.ask(("RPUSH", "forked", "x"))) == [1]
    assert loop.run_until_complete(waiting) == [[b"forked", b"x"]]
    loop.close()


def test_a_manager_of_sentinels_client_follows_its_primary() -> None:
    with WithSentinel() as topology:
        make: Any = Sentinel  # untyped
        sentinel = make(
            [("127.0.0.1", server.port) for server in topology.sentinels],
            sentinel_kwargs={"password": topology.sentinel_password},
            password=topology.password,
        )
        client: redis.Redis = sentinel.master_for(SERVICE)

        async def main() -> None:
            async with AsyncCacheManager(
                redis_client=client, cache_prefix="of.sentinel", policy=Policy(l2_timeout=5)
            ) as cache:
                await cache.set("k", "v")
                assert topology.primary().ask("EXISTS", "of.sentinel:v1:{k}") == 1

        asyncio.run(main())
        client.close()
        sentinel.close()


def test_a_silent_sentinel_costs_one_deadline_and_then_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = urls.parse(f"redis+sentinel://127.0.0.1:{silent.getsockname()[1]}")
        node = primary_node("silent", target)
        node.breaker = told = Told()
        transport = AsyncServerTransport(node)

        async def main() -> None:
            slowest = 0.0
            started = time.monotonic()
            while told.state == "closed":
                deadline = time.monotonic() + 0.05
                replies, seconds = await timed(transport.execute("get", deadline, [("PING",)]))
                assert kinds(replies) <= {"timeout", "connection", "pool"}
                slowest = max(slowest, seconds)
                assert time.monotonic() - started < 20
            assert slowest < 0.5
            deadline = time.monotonic() + 5
            assert kinds(await transport.execute("get", deadline, [("PING",)])) == {"circuit"}
            await transport.aclose()

        asyncio.run(main())
        node.close()
