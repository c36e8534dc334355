"""What a listener says when its connections fail, and that nothing is missed in silence."""

import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest
import redis

from routecache_exporters.demo.processes import Processes
from tests.helpers import eventually
from tests.listening import VALUES, Listening, Recorder, Server, ask, listening
from tests.proxy import Proxy

KINDS = [pytest.param("redis", marks=pytest.mark.needs("redis-server")), "valkey"]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Processes() as processes:
        yield Server(processes, request.param)


@pytest.fixture
def client(server: Server) -> "Iterator[redis.Redis]":
    with server.client() as client:
        client.flushall()
        yield client


listen = pytest.fixture(listening, name="listen")


def unexplained(sink: Recorder, writes: list[tuple[bytes, float, float]]) -> list[bytes]:
    """The keys written at (sent, answered) that were neither told nor lie in a gap."""
    told = set(sink.keys)
    gaps, start = [], None
    for name, at, when in sink.events:
        if name == "disconnected":
            start = at if start is None else min(at, start)
        elif name == "reconnected" and start is not None:
            gaps.append((start, when))
            start = None
    if start is not None:
        gaps.append((start, float("inf")))
    return [
        key
        for key, sent, answered in writes
        if key not in told and not any(low <= answered and sent <= high for low, high in gaps)
    ]


class Writer:
    """Writes new keys in a thread as fast as it can; a write that fails is not counted."""

    def __init__(self, server: Server) -> None:
        self.writes: list[tuple[bytes, float, float]] = []
        self._server = server
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        with self._server.client() as client:
            for n in range(10_000_000):
                if self._enough.is_set():
                    return
                key = b"fast:v1:{%d}" % n
                sent = time.monotonic()
                client.set(key, 1, px=60_000)
                self.writes.append((key, sent, time.monotonic()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        self._thread.join()


def test_a_connection_killed_ten_times_a_second_misses_nothing_outside_the_gaps_it_tells(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    listener, sink = listen.watched(server.url, heartbeat_interval=0.02)
    before = listener.snapshot().reconnects
    with Writer(server) as writer:
        for n in range(1, 21):
            ask(client, "CLIENT", "KILL", "TYPE", "pubsub")
            eventually(lambda n=n: sink.count("reconnected") == n + 1, every=0.001)  # type: ignore[misc]
            pause = time.monotonic() + 0.1
            eventually(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
    last = b"fast:v1:{last}"
    client.set(last, 1)
    eventually(lambda: last in sink.keys)
    assert sink.transitions() == ["reconnected"] + ["disconnected", "reconnected"] * 20
    assert unexplained(sink, writer.writes) == []
    missed = {key for key, _, _ in writer.writes} - set(sink.keys)
    assert missed  # or the gaps were not tested
    assert listener.generation == 21
    assert listener.snapshot().reconnects == before + 20
    assert listener.state == "connected"
    assert listener.disconnected_since is None


def test_losing_the_connection_of_heartbeats_is_a_gap_too(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    _, sink = listen.watched(server.url, heartbeat_interval=0.05)
    ask(client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    eventually(lambda: sink.transitions() == ["reconnected", "disconnected", "reconnected"])


def test_a_black_hole_is_noticed_by_the_heartbeat_that_stays_out(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    with Proxy(server.path) as proxy:
        listener, sink = listen.watched(proxy.url, heartbeat_interval=0.05, heartbeat_lost=0.5)
        before = dict(listener.snapshot().probes)
        eventually(lambda: listener.snapshot().probes["ok"] > before["ok"] + 3)
        proxy.mode = "black_hole"
        silent = time.monotonic()
        client.set("fast:v1:{unheard}", 1)
        eventually(lambda: sink.count("disconnected"))
        _, at, noticed = sink.events[-1]
        assert silent - 0.5 < at < silent + 0.1
        assert 0.3 < noticed - silent < 2.0
        assert listener.state == "disconnected"
        assert listener.disconnected_since == at
        assert dict(listener.states) == {"connected": 0, "disconnected": 1}
        assert listener.snapshot().probes["lost"] > before["lost"]
        assert b"fast:v1:{unheard}" not in sink.keys
        proxy.mode = "pass"
        eventually(lambda: listener.state == "connected", seconds=15)
        client.set("fast:v1:{heard}", 1)
        eventually(lambda: b"fast:v1:{heard}" in sink.keys)
        assert sink.transitions() == ["reconnected", "disconnected", "reconnected"]


def test_messages_that_come_byte_by_byte_are_understood(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    with Proxy(server.path, drip_every=0.0005) as proxy:
        listener, sink = listen.watched(proxy.url)
        proxy.mode = "drip"
        keys = [b"fast:v1:{%d}" % n for n in range(5)]
        for key in keys:
            client.set(key, 1)
        eventually(lambda: set(sink.keys) == set(keys))
        proxy.mode = "pass"
        assert listener.generation == 1


def test_a_server_that_restarts_is_listened_to_again(listen: Listening) -> None:
    with Processes() as processes:
        server = Server(processes, "valkey")
        listener, sink = listen.watched(server.url)
        server.stop()
        eventually(lambda: listener.state == "disconnected", seconds=2)
        server.start()
        eventually(lambda: listener.state == "connected")
        with server.client() as client:
            client.set("fast:v1:{a}", 1)
            eventually(lambda: sink.keys == [b"fast:v1:{a}"])
        assert sink.transitions() == ["reconnected", "disconnected", "reconnected"]
        listener.close()


def test_a_server_that_is_not_there_yet_is_waited_for(listen: Listening) -> None:
    with Processes() as processes:
        server = Server(processes, "valkey")
        server.stop()
        listener, sink = listen.listener(server.url), Recorder()
        listener.watch([VALUES], sink)
        assert listener.state == "disconnected"
        assert listener.publishes
        server.start()
        eventually(lambda: sink.transitions() == ["reconnected"])
        eventually(lambda: not listener.publishes)
        listener.close()


def test_after_a_failover_the_factory_names_the_new_primary(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    with Processes() as processes:
        old = Server(processes, "valkey")
        primary = [old]
        clients = [old.client(), server.client()]
        listener, sink = (
            listen.listener(
                old.url,
                connect=lambda: [lambda: clients[primary[0] is server]],
                heartbeat_interval=0.1,
                heartbeat_lost=0.3,
            ),
            Recorder(),
        )
        listener.watch([VALUES], sink)
        eventually(lambda: sink.count("reconnected"))
        primary[0] = server
        old.stop()
        eventually(lambda: sink.transitions() == ["reconnected", "disconnected", "reconnected"])
        client.set("fast:v1:{a}", 1)
        eventually(lambda: sink.keys == [b"fast:v1:{a}"])
        for one in clients:
            one.close()


def test_a_demoted_primary_is_left(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    listener, sink = listen.watched(server.url, heartbeat_interval=0.05)
    client.replicaof("127.0.0.1", 1)
    try:
        eventually(lambda: listener.state == "disconnected")
    finally:
        client.replicaof("NO", "ONE")
    eventually(lambda: listener.state == "connected")
    assert sink.transitions()[:2] == ["reconnected", "disconnected"]
