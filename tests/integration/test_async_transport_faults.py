"""The asyncio transport before servers that refuse, stay silent, drip or restart, and before
event loops that stall.

The bounds asserted are generous, for busy machines; what was measured is printed (`pytest -s`).
"""

import asyncio
import random
import socket
import time
from collections.abc import Iterator

import pytest

from routecache.remote import aio_link
from tests.async_transports import Told, World, kinds, nothing_left, timed, value_of, world
from tests.helpers import eventually
from tests.proxy import Proxy
from tests.servers import RedisServer

DEADLINE = 0.05
BOUND = DEADLINE + 0.5


@pytest.fixture(autouse=True)
def clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with nothing_left(caplog):
        yield


@pytest.fixture
def proxy(shared_redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(shared_redis.url.removeprefix("unix://")) as proxy:
        yield proxy


@pytest.fixture
def server(proxy: Proxy) -> Iterator[World]:
    with world(proxy.url) as made:
        yield made


async def bounded(server: World, n: int, what: str) -> set[str]:
    """The kinds of what `n` calls at once got, each for another key, all within their bound."""
    results = await asyncio.gather(
        *(timed(server.ask(("GET", f"key{i}"), within=DEADLINE)) for i in range(n))
    )
    for i, (replies, _) in enumerate(results):
        assert kinds(replies) != {""} or replies == [value_of(f"key{i}")]
    slowest = max(seconds for _, seconds in results)
    print(f"{what}, {n} at once: {(slowest - DEADLINE) * 1000:+.1f} ms to the deadline")
    assert slowest < BOUND
    return set[str]().union(*(kinds(replies) for replies, _ in results))


async def eventually_answers(server: World, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    for _ in iter(lambda: time.monotonic() < deadline, False):
        if await server.ask(("PING",)) == [b"PONG"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


def test_a_refused_port_fails_at_once_and_opens_the_circuit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with world(f"redis://127.0.0.1:{port}") as server:

        async def main() -> None:
            started = time.monotonic()
            asked = (server.ask(("PING",), within=30) for _ in range(32))
            assert [kinds(replies) for replies in await asyncio.gather(*asked)] == [
                {"connection"}
            ] * 32
            assert server.told.outcomes == {"succeeded": 0, "failed": 1, "abandoned": 31}
            for _ in range(4):
                assert kinds(await server.ask(("PING",), within=30)) == {"connection"}
            print(f"refused, 36 calls: {(time.monotonic() - started) * 1000:.1f} ms")
            assert time.monotonic() - started < BOUND
            assert await bounded(server, 1, "circuit open") == {"circuit"}

        asyncio.run(main())


@pytest.mark.parametrize("mode", ["black_hole", "drip"])
def test_no_call_outlasts_its_deadline_on_an_open_connection(
    proxy: Proxy, server: World, mode: str
) -> None:
    server.fill(32, size=20_000)

    async def main() -> None:
        await server.connect()
        proxy.mode = mode  # type: ignore[assignment]  # one of its modes
        for _ in range(20):
            seen = await bounded(server, 32, mode)
            assert seen <= {"timeout", "pool"}  # "pool": so busy a machine that it proves nothing
            if "timeout" in seen:
                break
        assert server.told.outcomes["failed"] == 1  # 32 calls, one silence
        assert server.transport.connections() == (0, 0)  # and that connection is no more

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["black_hole", "drip"])
def test_no_call_outlasts_its_deadline_while_connecting(
    proxy: Proxy, server: World, mode: str
) -> None:
    proxy.mode = mode  # type: ignore[assignment]  # one of its modes

    async def main() -> None:
        rounds = 0
        while server.told.state == "closed":
            rounds += 1
            assert await bounded(server, 32, f"{mode}, connecting") <= {"timeout", "pool"}
            assert server.told.outcomes["failed"] <= rounds
        assert rounds >= 5
        assert await bounded(server, 1, "circuit open") == {"circuit"}
        proxy.mode = "pass"
        await eventually_answers(server)

    asyncio.run(main())


def test_who_waits_longer_learns_of_a_silent_connection_at_once(
    proxy: Proxy, server: World
) -> None:
    async def main() -> None:
        await server.connect()
        proxy.mode = "black_hole"
        patient = asyncio.create_task(timed(server.ask(("PING",), within=30)))
        assert kinds(await server.ask(("PING",), within=0.5)) == {"timeout"}
        replies, seconds = await patient
        assert kinds(replies) == {"timeout"}
        assert seconds < 0.5 + BOUND
        assert server.told.outcomes == {"succeeded": 1, "failed": 1, "abandoned": 1}

    asyncio.run(main())


def test_who_asks_more_than_comes_back_in_time_blames_himself(proxy: Proxy, server: World) -> None:
    server.fill(500)
    proxy.drip_every = 0.0001

    async def main() -> None:
        await server.connect()
        link = server.transport.links.here()
        proxy.mode = "drip"
        asked = (server.ask(("GET", f"key{i}"), within=0.3) for i in range(500))
        seen = [kinds(replies) for replies in await asyncio.gather(*asked)]
        assert seen[0] == {""}
        assert seen[-1] == {"pool"}
        assert server.told.outcomes["failed"] == 0
        assert server.transport.links.here() is link

    asyncio.run(main())


def test_a_call_with_hardly_any_time_left_costs_the_others_nothing(
    proxy: Proxy, server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio_link, "_PATIENCE", 5.0)

    async def main() -> None:
        await server.connect()
        proxy.mode = "black_hole"
        hasty = await server.ask(("PING",), within=0.001)
        assert kinds(hasty) <= {"timeout", "pool"}
        assert sum(server.transport.connections()) == 1

    asyncio.run(main())


def test_dripped_replies_never_reach_the_wrong_caller(proxy: Proxy, server: World) -> None:
    server.fill(50)
    proxy.drip_every = 0.0001
    random_ = random.Random(3)
    server.endpoint.breaker = Told(threshold=10**6, window=10**6)  # let all of them through

    async def main() -> None:
        answered = failed = 0
        for turn in range(12):
            proxy.mode = "drip" if turn % 3 else "pass"
            asked = [server.ask(("GET", f"key{i}"), within=random_.random() / 2) for i in range(50)]
            for i, replies in enumerate(await asyncio.gather(*asked)):
                right = replies == [value_of(f"key{i}")]
                answered += right
                failed += not right
                assert right or "" not in kinds(replies), replies
        print(f"{answered} answered, {failed} failed")
        assert answered > 50
        assert failed > 50

    asyncio.run(main())


def test_a_stalled_loop_still_takes_the_reply_that_has_come_meanwhile(server: World) -> None:
    server.fill(60, size=2000)

    async def main() -> None:
        await server.connect()
        asked = [
            asyncio.create_task(server.ask(("GET", f"key{i}"), within=DEADLINE)) for i in range(60)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # now it is written
        stall(3 * DEADLINE)
        assert await asyncio.gather(*asked) == [[value_of(f"key{i}", 2000)] for i in range(60)]

    asyncio.run(main())
    assert server.told.outcomes == {"succeeded": 61, "failed": 0, "abandoned": 0}


def test_a_loop_that_stalls_before_it_writes_blames_itself(server: World) -> None:
    async def main() -> None:
        await server.connect()
        asked = asyncio.create_task(server.ask(("INCR", "stalled"), within=DEADLINE))
        await asyncio.sleep(0)
        stall(3 * DEADLINE)
        assert kinds(await asked) == {"pool"}
        assert await server.ask(("GET", "stalled")) == [None]

    asyncio.run(main())
    assert server.told.outcomes == {"succeeded": 2, "failed": 0, "abandoned": 1}


def stall(seconds: float) -> None:
    time.sleep(seconds)


def test_a_restarted_server_is_used_again(redis_server: RedisServer) -> None:
    with world(redis_server.url) as server:
        server.fill(10)

        async def main() -> None:
            await server.connect()
            await asyncio.to_thread(redis_server.stop)
            await bounded(server, 10, "stopped")
            await asyncio.to_thread(redis_server.start)
            await eventually_answers(server)
            replies = await asyncio.gather(*(server.ask(("GET", f"key{i}")) for i in range(10)))
            assert replies == [[value_of(f"key{i}")] for i in range(10)]

        asyncio.run(main())


def test_the_circuit_is_shared_with_the_sync_side(proxy: Proxy, server: World) -> None:
    async def main() -> None:
        proxy.close()
        for _ in range(5):
            assert kinds(await server.ask(("PING",))) == {"connection"}
        assert server.endpoint.breaker.state == "open"

    asyncio.run(main())


def test_two_endpoints_of_one_loop_do_not_share_their_trouble(
    proxy: Proxy, server: World, shared_redis: RedisServer
) -> None:
    with world(shared_redis.url) as other:

        async def main() -> None:
            await asyncio.gather(server.connect(), other.connect())
            proxy.mode = "black_hole"
            lost, kept = await asyncio.gather(
                server.ask(("PING",), within=0.5), other.ask(("PING",))
            )
            assert (kinds(lost), kept) == ({"timeout"}, [b"PONG"])

        asyncio.run(main())
    assert eventually(lambda: server.transport.connections() == (0, 0))
