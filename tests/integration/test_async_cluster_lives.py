"""The asyncio transport of a cluster over the lives of loops, threads, nodes and processes."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import pytest
from redis.crc import key_slot

from routecache.errors import ConfigurationError
from routecache.remote import endpoint as endpoints
from routecache.remote import urls
from routecache.remote.aio_cluster import AsyncClusterTransport
from routecache.remote.cluster import Cluster as ClusterEndpoint
from routecache.remote.node import Node
from tests.async_clusters import ClusterWorld, stored
from tests.async_transports import kinds, nothing_left, until
from tests.topologies import Cluster

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


def test_options_that_need_a_sync_connection_are_refused_at_construction() -> None:
    url = "rediss+cluster://127.0.0.1:1?ssl_validate_ocsp_stapled=true"
    with pytest.raises(ConfigurationError, match="ssl_validate_ocsp_stapled"):
        AsyncClusterTransport(ClusterEndpoint("stapled", urls.parse(url)))


def test_loops_in_four_threads_each_have_their_own_links_and_leave_none(
    cluster: ClusterWorld,
) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(4)
    most = 0

    async def rounds() -> None:
        nonlocal most
        held = await stored(cluster, 60)
        for _ in range(10):
            assert await asyncio.gather(*map(cluster.get, held)) == [[v] for v in held.values()]
        await asyncio.to_thread(together.wait, 30)
        most = max(most, sum(cluster.transport.connections()))
        await asyncio.to_thread(together.wait, 30)

    def work() -> None:
        try:
            asyncio.run(rounds())
        except BaseException as error:
            failures.append(error)
            together.abort()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert most == 12
    assert cluster.transport.connections() == (0, 0)


def test_closing_one_of_two_transports_leaves_the_links_to_the_other(cluster: ClusterWorld) -> None:
    other = AsyncClusterTransport(cluster.endpoint)

    async def main() -> None:
        await cluster.connect()
        deadline = time.monotonic() + 5
        assert await other.execute_everywhere("connect", deadline, ("PING",)) == [b"PONG"] * 3
        assert cluster.transport.connections() == other.connections() == (0, 3)
        await other.aclose()
        await other.aclose()
        assert kinds(await other.execute("get", deadline, [("GET", KEY)])) == {"connection"}
        assert kinds(await other.scan_targets()[0].execute("get", deadline, [("GET", KEY)])) == {
            "connection"
        }
        await cluster.connect()
        assert cluster.transport.connections() == (0, 3)

    asyncio.run(main())


def test_the_links_to_a_node_that_the_map_names_no_longer_are_ended(cluster: ClusterWorld) -> None:
    async def main() -> None:
        await cluster.connect()
        stranger = cluster.endpoint.node_at(("127.0.0.1", 1))
        server = cluster.transport._server(stranger)
        cluster.endpoint._guests[("127.0.0.1", 1)] = 0.0
        await until(lambda: cluster.endpoint.learn().done() and stranger.closed)
        assert kinds(await server.execute("get", time.monotonic() + 5, [("PING",)])) == {
            "connection"
        }
        newcomer: Node = cluster.endpoint.node_at(("127.0.0.1", 2))
        cluster.transport._server(newcomer)
        assert stranger not in cluster.transport._servers

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12 warns of fork beside threads
def test_a_forked_child_learns_the_map_and_connects_anew(cluster: ClusterWorld) -> None:
    loop = asyncio.new_event_loop()
    held = loop.run_until_complete(stored(cluster, 30))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert cluster.transport.connections() == (0, 0)
            found = asyncio.run(cluster.get(*held))
            assert cluster.transport.connections() == (0, 0)
            code = 0 if found == list(held.values()) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert cluster.transport.connections() == (0, 3)
    assert loop.run_until_complete(cluster.get(*held)) == list(held.values())
    loop.close()
