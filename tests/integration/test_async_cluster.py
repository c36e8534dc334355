"""The asyncio transport of a cluster: batches, slots that move, parts that fail."""

import asyncio
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from routecache.errors import RemoteError
from routecache.remote import aio_connection, urls
from routecache.remote import endpoint as endpoints
from routecache.remote.cluster import Cluster as ClusterEndpoint
from routecache.remote.cluster import Learning
from tests.async_clusters import ClusterWorld, stored
from tests.async_transports import Told, kinds, nothing_left, until
from tests.topologies import Cluster, One, Server

pytestmark = pytest.mark.needs("redis-server", "redis-cli")

KEY = b"P:v1:{moving}"
SLOT = key_slot(KEY)


@pytest.fixture(scope="module")
def topology() -> Iterator[Cluster]:
    with Cluster() as topology:
        yield topology


@pytest.fixture(autouse=True)
def clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with nothing_left(caplog):
        yield


@pytest.fixture
def cluster(topology: Cluster) -> Iterator[ClusterWorld]:
    endpoint = endpoints.acquire(topology.url, None)
    assert isinstance(endpoint, ClusterEndpoint)
    made = ClusterWorld(endpoint)
    yield made
    asyncio.run(made.transport.aclose())
    assert endpoint.snapshot().connections_in_use == 0
    assert made.transport.connections() == (0, 0)
    endpoints.release(endpoint)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The port and the number of commands of each write to a socket."""
    seen: list[tuple[int, int]] = []
    write = aio_connection._PlainCalls.write

    def recorded(self: aio_connection._PlainCalls, data: bytes) -> None:
        seen.append((self.port, data.count(b"\r\n*") + 1))
        write(self, data)

    monkeypatch.setattr(aio_connection._PlainCalls, "write", recorded)
    return seen


def test_what_is_asked_in_one_turn_of_the_loop_travels_in_one_batch_for_each_primary(
    cluster: ClusterWorld, writes: list[tuple[int, int]]
) -> None:
    async def main() -> None:
        held = await stored(cluster, 90)
        writes.clear()
        assert await asyncio.gather(*map(cluster.get, held)) == [[v] for v in held.values()]
        own = Counter(port_of(cluster, key) for key in held)
        assert sorted(writes) == sorted(own.items())
        assert len(own) == 3

    asyncio.run(main())


def test_a_batch_over_all_slots_is_one_write_for_each_primary_and_answered_in_its_order(
    cluster: ClusterWorld, writes: list[tuple[int, int]]
) -> None:
    async def main() -> None:
        held = await stored(cluster, 300)
        writes.clear()
        assert await cluster.get(*held) == list(held.values())
        assert len(writes) == 3
        assert sum(commands for _, commands in writes) == 300

    asyncio.run(main())


def port_of(cluster: ClusterWorld, key: bytes) -> int:
    node = cluster.endpoint.node_of(key_slot(key))
    assert node is not None
    assert node.address is not None
    return node.address[1]


def owner_and_other(topology: Cluster, cluster: ClusterWorld) -> tuple[Server, Server]:
    """The primary that has SLOT, and another one."""
    primaries = topology.primaries()
    owner = next(server for server in primaries if server.port == port_of(cluster, KEY))
    return owner, next(server for server in primaries if server is not owner)


def identity(server: Server) -> str:
    found = server.ask("CLUSTER", "MYID")
    return found.decode() if isinstance(found, bytes) else str(found)


def give_slot(topology: Cluster, owner: Server, other: Server) -> None:
    for server in (other, owner, *topology.primaries()):
        server.ask("CLUSTER", "SETSLOT", SLOT, "NODE", identity(other))


def test_a_slot_that_is_moving_is_asked_for_where_it_goes(
    topology: Cluster, cluster: ClusterWorld
) -> None:
    async def main() -> None:
        await cluster.connect()
        owner, other = owner_and_other(topology, cluster)
        other.ask("CLUSTER", "SETSLOT", SLOT, "IMPORTING", identity(owner))
        owner.ask("CLUSTER", "SETSLOT", SLOT, "MIGRATING", identity(other))
        try:
            keys = [b"a", KEY, b"b", KEY + b"2", b"c"]
            assert await cluster.ask(*(("SET", key, key) for key in keys)) == [b"OK"] * 5
            assert await cluster.get(*keys) == keys
            assert other.ask("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 2
            # Many tasks share the link, and ASKING holds for the next command on it alone.
            tasks = [cluster.get(key) for key in keys for _ in range(20)]
            assert await asyncio.gather(*tasks) == [[key] for key in keys for _ in range(20)]
            give_slot(topology, owner, other)
            assert await cluster.get(*keys) == keys
            assert await cluster.ask(*(("UNLINK", key) for key in keys)) == [1] * 5
        finally:
            give_slot(topology, other, owner)
        await answers(cluster, KEY, None)
        assert cluster.endpoint.circuit == "closed"

    asyncio.run(main())


async def answers(
    cluster: ClusterWorld, key: bytes, value: bytes | None, seconds: float = 10.0
) -> None:
    """Return when `key` is found to hold `value`."""
    deadline = time.monotonic() + seconds
    while await cluster.get(key) != [value]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_nothing_is_lost_while_a_slot_goes_to_and_fro_under_load(
    topology: Cluster, cluster: ClusterWorld
) -> None:
    wrong: list[object] = []
    twice = 0  # moved again between a command's two attempts
    stop = threading.Event()

    async def work(n: int) -> None:
        nonlocal twice
        keys = [KEY, f"{n}a".encode(), f"{n}b".encode(), f"{n}c".encode()]
        while not stop.is_set():
            found = [r.kind if isinstance(r, RemoteError) else r for r in await cluster.get(*keys)]
            if found == ["cluster", None, None, None]:
                twice += 1
            elif found != [None] * 4:
                wrong.append(found)

    def move(owner: Server, other: Server) -> None:
        try:
            for _ in range(5):
                give_slot(topology, owner, other)
                give_slot(topology, other, owner)
        finally:
            stop.set()

    async def main() -> None:
        await cluster.connect()
        told = cluster.count()
        mover = asyncio.to_thread(move, *owner_and_other(topology, cluster))
        await asyncio.gather(mover, *map(work, range(16)))
        assert all(sum(t.outcomes.values()) == t.allowed for t in told)
        await answers(cluster, KEY, None)

    asyncio.run(main())
    print("commands whose slot moved twice meanwhile:", twice)
    assert wrong == []
    assert cluster.endpoint.circuit == "closed"


def test_a_silent_primary_costs_its_own_keys_only(topology: Cluster, cluster: ClusterWorld) -> None:
    async def main() -> None:
        held = await stored(cluster, 60)
        silent, _ = owner_and_other(topology, cluster)
        silent.pause()
        try:
            node = cluster.endpoint.node_of(SLOT)
            assert node is not None
            slowest, began = 0.0, time.monotonic()
            while node.breaker.state == "closed":
                started = time.monotonic()
                assert started < began + 20
                found = await cluster.get(*held, within=0.05)
                slowest = max(slowest, time.monotonic() - started)
                for (key, value), reply in zip(held.items(), found, strict=True):
                    if port_of(cluster, key) == silent.port:
                        assert kinds([reply]) <= {"timeout", "pool"}  # the latter when busy
                    else:
                        assert reply == value
            print(f"slowest batch beside a silent primary: {slowest * 1000:.1f} ms")
            assert slowest < 0.5
            assert cluster.endpoint.circuit == "closed", "the others are used"
        finally:
            silent.resume()
        for key, value in held.items():
            await answers(cluster, key, value)

    asyncio.run(main())


def test_thousands_of_tasks_cancelled_anywhere_get_no_wrong_reply(cluster: ClusterWorld) -> None:
    random_ = random.Random(11)
    answered = cancelled = 0

    async def one(keys: list[bytes], held: dict[bytes, bytes]) -> None:
        nonlocal answered
        assert await cluster.get(*keys, within=10) == [held[key] for key in keys]
        answered += 1

    async def main() -> None:
        nonlocal cancelled
        held = await stored(cluster, 100)
        names = list(held)
        told = cluster.count()
        for _ in range(10):
            tasks = [asyncio.ensure_future(one(random_.sample(names, 4), held)) for _ in range(400)]
            victims = random_.sample(tasks, 300)
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
        await cluster.connect()
        await until(lambda: cluster.transport.connections() == (0, 3))
        assert all(sum(t.outcomes.values()) == t.allowed for t in told), [t.outcomes for t in told]
        assert all(t.outcomes["abandoned"] for t in told)

    asyncio.run(main())
    print(f"{answered} answered, {cancelled} cancelled")
    assert answered + cancelled == 4000
    assert answered >= 1000
    assert cancelled > 100


def test_a_batch_that_is_cancelled_before_the_links_are_connected_is_never_sent(
    cluster: ClusterWorld,
) -> None:
    async def main() -> None:
        await cluster.connect()
        for node in cluster.endpoint.nodes:
            node.companion.drop_all()  # type: ignore[union-attr]  # it has connected just now
        assert cluster.transport.connections() == (0, 0)
        keys = [f"unsent{i}".encode() for i in range(30)]
        task = asyncio.ensure_future(cluster.ask(*(("INCR", key) for key in keys)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert cluster.transport.connections() == (0, 0), "still connecting"
        assert await cluster.get(*keys) == [None] * 30

    asyncio.run(main())


def test_a_timeout_of_the_callers_own_leaves_nothing_behind(
    topology: Cluster, cluster: ClusterWorld
) -> None:
    async def main() -> None:
        held = await stored(cluster, 30)
        told = cluster.count()
        silent, _ = owner_and_other(topology, cluster)
        silent.pause()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await cluster.get(*held, within=30)
        finally:
            silent.resume()
        assert await cluster.get(*held) == list(held.values())
        assert all(sum(t.outcomes.values()) == t.allowed for t in told)
        assert sum(t.outcomes["failed"] for t in told) == 0

    asyncio.run(main())


def test_a_cold_burst_of_tasks_opens_no_circuit_and_learns_the_map_once(
    cluster: ClusterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = []
    ask = ClusterEndpoint._ask

    def counted(self: ClusterEndpoint, address: tuple[str, int]) -> Any:
        learnt.append(address)
        return ask(self, address)

    monkeypatch.setattr(ClusterEndpoint, "_ask", counted)

    async def main() -> None:
        keys = [f"burst{i}".encode() for i in range(500)]
        assert await asyncio.gather(*map(cluster.get, keys)) == [[None]] * 500
        assert cluster.transport.connections() == (0, 3)

    asyncio.run(main())
    assert len(learnt) == 1
    assert {node.breaker.state for node in cluster.endpoint.nodes} == {"closed"}


@pytest.mark.parametrize("silent", [False, True])
def test_no_cluster_at_all_costs_one_deadline_and_then_nothing(silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis+cluster://127.0.0.1:{listener.getsockname()[1]}"
        if not silent:
            listener.close()
        cluster = ClusterWorld(ClusterEndpoint("none", urls.parse(url)))
        cluster.endpoint.breaker = told = Told()

        async def main() -> None:
            assert cluster.transport.scan_targets() == [cluster.transport]
            started = time.monotonic()
            crowd = await asyncio.gather(*(cluster.get(b"k", b"l", within=0.05) for _ in range(32)))
            assert all(kinds(r) <= {"connection", "timeout", "pool"} for r in crowd), crowd
            assert told.outcomes["failed"] <= 1, "32 tasks that waited for one map"
            while cluster.endpoint.circuit == "closed":
                assert "" not in kinds(await cluster.get(b"k", within=0.05))
                assert time.monotonic() - started < 20
                await asyncio.sleep(0.01)
            assert kinds(await cluster.get(b"k", within=30)) == {"circuit"}
            await cluster.transport.aclose()
            assert kinds(await cluster.get(b"k")) == {"connection"}

        asyncio.run(main())
        assert sum(told.outcomes.values()) == told.allowed
        cluster.endpoint.close()


def test_a_task_cancelled_while_the_map_is_learnt_owes_the_circuit_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis+cluster://127.0.0.1:{listener.getsockname()[1]}"
        cluster = ClusterWorld(ClusterEndpoint("slow", urls.parse(url)))
        cluster.endpoint.breaker = told = Told()
        learning: list[Learning] = []

        async def main() -> None:
            task = asyncio.ensure_future(cluster.get(b"k", within=30))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            assert told.outcomes == {"succeeded": 0, "failed": 0, "abandoned": 1}
            learning.append(cluster.endpoint.learn())
            await cluster.transport.aclose()

        asyncio.run(main())  # and the thread that learns finds a loop that is closed
        assert isinstance(learning[0].result(10), RemoteError)
        cluster.endpoint.close()


def test_a_server_that_is_in_no_cluster_is_no_exception() -> None:
    with One() as alone:
        cluster = ClusterWorld(
            ClusterEndpoint("alone", urls.parse(f"redis+cluster://{alone.url[8:]}"))
        )

        async def main() -> None:
            assert "" not in kinds(await cluster.get(b"k"))
            await cluster.transport.aclose()

        asyncio.run(main())
        cluster.endpoint.close()
