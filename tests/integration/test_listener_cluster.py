"""A listener of a cluster hears every primary, each over a connection of its own."""

import socket
from collections.abc import Iterator, Sequence

import pytest
import redis
from redis.crc import key_slot

from routecache_exporters.demo.processes import Processes
from tests.helpers import eventually
from tests.listening import VALUES, Listening, Recorder, Server, ask, listening, threads

KINDS = [pytest.param("redis", marks=pytest.mark.needs("redis-server")), "valkey"]
SLOTS = ((0, 5000), (5001, 11000), (11001, 16383))

listen = pytest.fixture(listening, name="listen")


class Cluster:
    """Three primaries on TCP ports, without replicas."""

    def __init__(self, processes: Processes, kind: str) -> None:
        self.ports = [_port() for _ in SLOTS]
        self.servers = [
            Server(
                processes,
                kind,
                port=port,
                cluster_enabled="yes",
                cluster_port=port + 10_000,
                cluster_node_timeout=2000,
            )
            for port in self.ports
        ]
        self.clients = [redis.Redis(port=port) for port in self.ports]
        for client, (low, high) in zip(self.clients, SLOTS, strict=True):
            ask(client, "CLUSTER", "ADDSLOTSRANGE", low, high)
            ask(client, "CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        eventually(self.is_whole, seconds=30)

    def is_whole(self) -> bool:
        """Whether all know that all slots are served."""
        infos = [str(ask(client, "CLUSTER", "INFO")) for client in self.clients]
        return all("cluster_state:ok" in i and "cluster_known_nodes:3" in i for i in infos)

    def factories(self, count: int = len(SLOTS)) -> "Sequence[_Factory]":
        return [_Factory(port) for port in self.ports[:count]]

    def write(self, keys: Sequence[str]) -> None:
        """Set each key where it belongs."""
        for key in keys:
            self.clients[_owner(key)].set(key, 1, px=60_000)


class _Factory:
    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self) -> "redis.Redis":
        return redis.Redis(port=self._port)


def _port() -> int:
    while True:
        with socket.create_server(("127.0.0.1", 0)) as one:
            port: int = one.getsockname()[1]
            if port < 50_000:
                return port


@pytest.fixture(scope="module", params=KINDS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Processes() as processes:
        made = Cluster(processes, request.param)
        yield made
        for client in made.clients:
            client.close()


KEYS = [f"fast:v1:{{{n}}}" for n in range(60)]
WIRE = {key.encode() for key in KEYS}


def test_every_primary_is_heard_and_sends_heartbeats_back(
    cluster: Cluster, listen: Listening
) -> None:
    url = f"redis://127.0.0.1:{cluster.ports[0]}"
    listener = listen.listener(url, connect=cluster.factories, heartbeat_interval=0.05)
    sink = Recorder()
    before = listener.snapshot().probes
    listener.watch([VALUES], sink)
    eventually(lambda: sink.count("reconnected"))
    assert dict(listener.states) == {"connected": 3, "disconnected": 0}
    assert len(threads()) == 1
    cluster.write(KEYS)
    eventually(lambda: set(sink.keys) == WIRE)
    eventually(lambda: listener.snapshot().probes["ok"] > before["ok"] + 30)
    assert listener.snapshot().probes["lost"] == before["lost"]
    other = Recorder()
    listener.watch([b"slow:v1:{"], other)
    eventually(lambda: other.count("reconnected"))
    assert sink.transitions() == ["reconnected"]


def test_one_lost_primary_is_a_gap_and_the_others_are_still_heard(
    cluster: Cluster, listen: Listening
) -> None:
    url = f"redis://127.0.0.1:{cluster.ports[0]}"
    listener = listen.listener(url, connect=cluster.factories, heartbeat_interval=0.05)
    sink = Recorder()
    listener.watch([VALUES], sink)
    eventually(lambda: sink.count("reconnected"))
    before = listener.snapshot().reconnects
    cluster.servers[1].stop()
    try:
        eventually(lambda: sink.count("disconnected"))
        assert listener.state == "disconnected"
        assert dict(listener.states) == {"connected": 2, "disconnected": 1}
        heard = [key for key in KEYS if _owner(key) != 1]
        cluster.clients[0].config_set("cluster-require-full-coverage", "no")
        cluster.clients[2].config_set("cluster-require-full-coverage", "no")
        cluster.write(heard)
        eventually(lambda: set(sink.keys) >= {key.encode() for key in heard})
    finally:
        cluster.servers[1].start()
    eventually(lambda: listener.state == "connected", seconds=20)
    # A primary that comes back answers CLUSTERDOWN for two seconds, sometimes not at first.
    gaps = sink.count("disconnected")
    assert sink.transitions() == ["reconnected", *["disconnected", "reconnected"] * gaps]
    assert listener.snapshot().reconnects >= before + 1
    eventually(cluster.is_whole, seconds=20)


def test_a_primary_that_joins_is_a_gap_until_it_is_heard(
    cluster: Cluster, listen: Listening
) -> None:
    url = f"redis://127.0.0.1:{cluster.ports[0]}"
    count = [2]
    listener = listen.listener(
        url,
        connect=lambda: cluster.factories(count[0]),
        heartbeat_interval=0.05,
        heartbeat_lost=0.4,
    )
    sink = Recorder()
    listener.watch([VALUES], sink)
    eventually(lambda: sink.count("reconnected"))
    count[0] = 3
    eventually(lambda: sink.transitions() == ["reconnected", "disconnected", "reconnected"])
    cluster.write(KEYS)
    eventually(lambda: set(sink.keys) == WIRE)
    count[0] = 2
    eventually(lambda: dict(listener.states) == {"connected": 2, "disconnected": 0})
    assert sink.count("disconnected") == 1


def _owner(key: str) -> int:
    slot = key_slot(key.encode())
    return next(n for n, (low, high) in enumerate(SLOTS) if low <= slot <= high)
