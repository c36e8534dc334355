"""What only a cluster does: slots that move, nodes that come and go, parts that fail alone."""

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from redis.crc import key_slot

from routecache.errors import RemoteError
from routecache.remote import endpoint as endpoints
from routecache.remote import urls
from routecache.remote.cluster import Cluster as ClusterEndpoint
from routecache.remote.cluster_transport import ClusterTransport
from routecache.remote.server import ServerTransport
from tests.helpers import eventually
from tests.topologies import Cluster, One, Server

pytestmark = pytest.mark.needs("redis-server", "redis-cli")

KEY = b"P:v1:{moving}"
SLOT = key_slot(KEY)


@pytest.fixture(scope="module")
def topology() -> Iterator[Cluster]:
    with Cluster() as topology:
        yield topology


@pytest.fixture
def endpoint(topology: Cluster) -> Iterator[ClusterEndpoint]:
    endpoint = endpoints.acquire(topology.url, None)
    assert isinstance(endpoint, ClusterEndpoint)
    yield endpoint
    assert endpoint.snapshot().connections_in_use == 0
    endpoints.release(endpoint)


@pytest.fixture
def transport(endpoint: ClusterEndpoint) -> ClusterTransport:
    transport = ClusterTransport(endpoint)
    assert transport.execute_everywhere("connect", soon(2), ("PING",)) == [b"PONG"] * 3
    return transport


def soon(seconds: float = 1.0) -> float:
    return time.monotonic() + seconds


def text(reply: object) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def owner_and_other(topology: Cluster, endpoint: ClusterEndpoint) -> tuple[Server, Server]:
    node = endpoint.node_of(SLOT)
    assert node is not None
    assert node.address is not None
    primaries = topology.primaries()
    owner = next(server for server in primaries if server.port == node.address[1])
    return owner, next(server for server in primaries if server is not owner)


def identity(server: Server) -> str:
    return text(server.ask("CLUSTER", "MYID"))


def give_slot(topology: Cluster, owner: Server, other: Server) -> None:
    for server in (other, owner, *topology.primaries()):
        server.ask("CLUSTER", "SETSLOT", SLOT, "NODE", identity(other))


def test_a_slot_that_is_moving_is_asked_for_where_it_goes(
    topology: Cluster, endpoint: ClusterEndpoint, transport: ClusterTransport
) -> None:
    owner, other = owner_and_other(topology, endpoint)
    other.ask("CLUSTER", "SETSLOT", SLOT, "IMPORTING", identity(owner))
    owner.ask("CLUSTER", "SETSLOT", SLOT, "MIGRATING", identity(other))
    try:
        keys = [b"a", KEY, b"b", KEY + b"2", b"c"]
        stored = transport.execute("set", soon(), [("SET", key, key) for key in keys])
        assert stored == [b"OK"] * 5
        assert transport.execute("get", soon(), [("GET", key) for key in keys]) == keys
        assert other.ask("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 2
        give_slot(topology, owner, other)
        assert transport.execute("get", soon(), [("GET", key) for key in keys]) == keys
        assert transport.execute("delete", soon(), [("UNLINK", key) for key in keys]) == [1] * 5
    finally:
        give_slot(topology, other, owner)
    eventually(lambda: transport.execute("get", soon(), [("GET", KEY)]) == [None])
    assert transport.available


def test_nothing_is_lost_while_a_slot_goes_to_and_fro_under_load(
    topology: Cluster, endpoint: ClusterEndpoint, transport: ClusterTransport
) -> None:
    owner, other = owner_and_other(topology, endpoint)
    wrong: list[object] = []
    twice = 0  # moved again between a command's two attempts
    stop = threading.Event()

    def work(n: int) -> None:
        nonlocal twice
        keys = [KEY, f"{n}a".encode(), f"{n}b".encode(), f"{n}c".encode()]
        while not stop.is_set():
            replies = transport.execute("get", soon(), [("GET", key) for key in keys])
            kinds = [r.kind if isinstance(r, RemoteError) else r for r in replies]
            if kinds == ["cluster", None, None, None]:
                twice += 1
            elif kinds != [None] * 4:
                wrong.append(kinds)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            give_slot(topology, owner, other)
            give_slot(topology, other, owner)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    print("commands whose slot moved twice meanwhile:", twice)
    assert wrong == []
    assert transport.available
    eventually(lambda: transport.execute("get", soon(), [("GET", KEY)]) == [None])


def test_a_silent_primary_costs_its_own_keys_only(
    topology: Cluster, endpoint: ClusterEndpoint, transport: ClusterTransport
) -> None:
    keys = [f"part{i}".encode() for i in range(60)]
    transport.execute("set", soon(), [("SET", key, key) for key in keys])
    silent, _ = owner_and_other(topology, endpoint)
    node = endpoint.node_of(SLOT)
    own = [key for key in keys if endpoint.node_of(key_slot(key)) is node]
    silent.pause()
    try:
        took = []
        for _ in range(8):
            started = time.monotonic()
            replies = transport.execute("get", soon(0.05), [("GET", key) for key in keys])
            took.append(time.monotonic() - started)
            for key, reply in zip(keys, replies, strict=True):
                if key in own:
                    assert isinstance(reply, RemoteError)
                    assert reply.kind in {"timeout", "circuit", "pool"}  # the last one when busy
                else:
                    assert reply == key
        print("ms per batch beside a silent primary:", [round(t * 1000, 1) for t in took])
        assert transport.available, "the others are used"
    finally:
        silent.resume()
    eventually(lambda: transport.execute("get", soon(), [("GET", key) for key in keys]) == keys)


def test_the_nodes_follow_the_map(topology: Cluster, endpoint: ClusterEndpoint) -> None:
    assert endpoint.refresh(soon(2)) is None
    before = set(endpoint.nodes)
    stranger = endpoint.node_at(("127.0.0.1", 1))
    assert endpoint.node_at(("127.0.0.1", 1)) is stranger
    assert set(endpoint.nodes) == before, "it has no slots"
    eventually(lambda: endpoint.refresh(soon()) is None and set(endpoint.nodes) == before)
    for node in before:
        assert endpoint.node_at(node.address or ("", 0)) is node


def test_a_dead_seed_is_passed_over(topology: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"127.0.0.1:{closed.getsockname()[1]}"
    endpoint = ClusterEndpoint("seeds", urls.parse(f"redis+cluster://{dead},{topology.url[16:]}"))
    transport = ClusterTransport(endpoint)
    assert transport.execute("set", soon(2), [("SET", b"k", b"v")]) == [b"OK"]
    endpoint.close()
    assert isinstance(transport.execute("get", soon(), [("GET", KEY)])[0], RemoteError)


@pytest.mark.parametrize("silent", [False, True])
def test_no_cluster_at_all_costs_one_deadline_and_then_nothing(silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis+cluster://127.0.0.1:{listener.getsockname()[1]}"
        if not silent:
            listener.close()
        endpoint = ClusterEndpoint("none", urls.parse(url))
        transport = ClusterTransport(endpoint)
        for _ in range(20):
            started = time.monotonic()
            replies = transport.execute("get", soon(0.05), [("GET", b"k"), ("GET", b"l")])
            assert time.monotonic() - started < 0.5
            assert all(isinstance(reply, RemoteError) for reply in replies)
        assert not transport.available
        assert not transport.clock_known
        assert transport.snapshot().circuit == "open"
        assert transport.scan_targets() == [transport]
        endpoint.close()


def test_a_server_that_is_in_no_cluster_is_no_exception() -> None:
    with One() as alone:
        endpoint = ClusterEndpoint("alone", urls.parse(f"redis+cluster://{alone.url[8:]}"))
        reply = ClusterTransport(endpoint).execute("get", soon(), [("GET", b"k")])[0]
        assert isinstance(reply, RemoteError)
        endpoint.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12 warns of fork beside threads
def test_a_forked_child_learns_the_map_and_connects_anew(transport: ClusterTransport) -> None:
    transport.execute("set", soon(), [("SET", b"k", b"v")])
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if transport.execute("get", soon(2), [("GET", b"k")]) == [b"v"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert transport.execute("get", soon(), [("GET", b"k")]) == [b"v"]


def test_as_a_single_server_a_cluster_leads_nowhere_rather_than_to_localhost(
    endpoint: ClusterEndpoint,
) -> None:
    reply = ServerTransport(endpoint).execute("get", soon(), [("GET", b"k")])[0]
    assert isinstance(reply, RemoteError)
    assert reply.kind == "cluster"


def test_a_burst_of_threads_opens_no_circuit(endpoint: ClusterEndpoint) -> None:
    transport = ClusterTransport(endpoint)  # cold: the map and all connections are still to come
    barrier = threading.Barrier(100)
    kinds: set[str] = set()

    def work(n: int) -> None:
        for _ in range(5):
            barrier.wait(60)
            gets = [("GET", f"burst{n}.{i}".encode()) for i in range(4)]
            for reply in transport.execute("get", soon(0.05), gets):
                kinds.add(reply.kind if isinstance(reply, RemoteError) else "answer")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert kinds <= {"answer", "pool", "timeout"}  # the last one on a busy machine
    assert {node.breaker.state for node in endpoint.nodes} == {"closed"}
