"""Promise 5's ears: whatever changes in L2 is told, on Redis and on Valkey."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from routecache_exporters.demo.processes import Processes
from tests.helpers import eventually
from tests.listening import TAGS, VALUES, Listening, Recorder, Server, listening, threads

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


def test_set_delete_expiry_and_tags_are_told_and_nothing_else_is(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    _, sink = listen.watched(server.url)
    client.delete("fast:v1:{absent}")
    client.set("faster:v1:{k}", 1)
    client.set("fast:lease:{k}", 1)
    for write in (
        lambda: client.set("fast:v1:{a}", 1),
        lambda: client.delete("fast:v1:{a}"),
        lambda: client.set("fast:tag:t", 1),
        lambda: client.set("fast:v1:{b}", 1, px=30),
    ):
        write()
    want = [b"fast:v1:{a}"] * 2 + [b"fast:tag:t"] + [b"fast:v1:{b}"] * 2
    eventually(lambda: len(sink.keys) >= len(want))
    assert sink.keys == want
    assert sink.transitions() == ["reconnected"]


def test_an_evicted_key_is_told(server: Server, client: "redis.Redis", listen: Listening) -> None:
    _, sink = listen.watched(server.url)
    client.set("fast:v1:{evicted}", "x" * 1000)
    eventually(lambda: len(sink.keys) == 1)
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory-policy", "allkeys-random")
    client.config_set("maxmemory", used + 200_000)
    try:
        fillers = itertools.count()

        def evicted() -> bool:
            for _ in range(200):
                client.set(f"filler:{next(fillers)}", "x" * 2000)
            return sink.keys.count(b"fast:v1:{evicted}") == 2

        eventually(evicted)
    finally:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        client.flushall()


def test_a_flush_drops_everything(server: Server, client: "redis.Redis", listen: Listening) -> None:
    _, sink = listen.watched(server.url)
    client.set("fast:v1:{a}", 1)
    client.flushall()
    eventually(lambda: sink.count("everything"))


def test_a_server_that_is_full_is_listened_to_without_heartbeats(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    client.set("fast:v1:{a}", 1)
    client.config_set("maxmemory", 1)
    try:
        listener, sink = listen.watched(server.url, heartbeat_interval=0.02, heartbeat_lost=0.5)
        before = listener.snapshot().probes
        since = listener.connected_since
        assert since is not None
        eventually(lambda: sink.events[-1][2] + 1 < time.monotonic())
        client.delete("fast:v1:{a}")
        eventually(lambda: sink.keys == [b"fast:v1:{a}"])
        assert sink.transitions() == ["reconnected"]
        assert listener.connected_since == since
        assert listener.snapshot().probes == before
    finally:
        client.config_set("maxmemory", 0)


def test_each_sink_hears_of_its_own_prefixes_also_where_one_covers_the_other(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    listener, wide = listen.watched(server.url)
    narrow, apart = Recorder(), Recorder()
    listener.watch([VALUES + b"n"], narrow)
    listener.watch([b"slow:v1:{"], apart)
    eventually(lambda: narrow.count("reconnected") and apart.count("reconnected"))
    for key in ("fast:v1:{n1}", "fast:v1:{m1}", "slow:v1:{n}"):
        client.set(key, 1)
    eventually(lambda: apart.keys)
    assert set(wide.keys) == {b"fast:v1:{n1}", b"fast:v1:{m1}"}
    assert set(narrow.keys) == {b"fast:v1:{n1}"}
    assert set(apart.keys) == {b"slow:v1:{n}"}
    assert wide.transitions() == ["reconnected"]
    assert len(threads()) == 1


def test_no_key_is_lost_while_prefixes_are_added(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    listener, first = listen.watched(server.url)
    written: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with server.client() as writer:
            for n in range(1_000_000):
                if enough.is_set():
                    return
                with writer.pipeline(transaction=False) as pipe:
                    for i in range(20):
                        pipe.set(f"fast:v1:{{{n}.{i}}}", 1, px=60_000)
                    pipe.execute()
                written.append(n)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for n in range(100):
            sink = Recorder()
            listener.watch([b"more%d:v1:{" % n], sink)
            eventually(lambda sink=sink: sink.count("reconnected"), every=0.001)  # type: ignore[misc]
    finally:
        enough.set()
        thread.join()
    want = {b"fast:v1:{%d.%d}" % (n, i) for n in written for i in range(20)}
    eventually(lambda: want <= set(first.keys))
    assert len(want) > 1000
    assert first.transitions() == ["reconnected"]
    assert listener.generation == 1
    client.flushall()


def test_the_last_sink_closes_the_connections_and_a_new_one_opens_them_again(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    def connections() -> int:
        return len(client.client_list())

    eventually(lambda: connections() == 1)
    listener, sink = listen.watched(server.url)
    assert connections() == 3
    assert listener.states == {"connected": 1, "disconnected": 0}
    listener.unwatch(sink)
    assert listener.state == "disconnected"
    assert listener.states == {"connected": 0, "disconnected": 0}
    eventually(lambda: connections() == 1 and not threads())
    again = Recorder()
    listener.watch([VALUES], again)
    eventually(lambda: again.count("reconnected"))
    assert listener.generation == 2


def test_a_sink_that_raises_is_named_by_its_error_and_stops_nobody(
    server: Server,
    client: "redis.Redis",
    listen: Listening,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Recorder):
        def invalidated(self, keys: object) -> None:
            raise ZeroDivisionError("the key is secret")

    listener = listen.listener(server.url)
    broken, sink = Broken(), Recorder()
    listener.watch([VALUES], broken)
    listener.watch([VALUES], sink)
    eventually(lambda: sink.count("reconnected"))
    client.set("fast:v1:{a}", 1)
    eventually(lambda: sink.keys)
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text
    assert "fast" not in caplog.text


def test_heartbeats_come_back_and_reach_no_other_listener(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    first, _ = listen.watched(server.url, heartbeat_interval=0.01)
    second, _ = listen.watched(server.url, heartbeat_interval=0.01)
    before = first.snapshot()  # both count under their endpoints' alias
    eventually(lambda: first.snapshot().probes["ok"] >= before.probes["ok"] + 20)
    after = first.snapshot()
    assert after.lag.count == after.probes["ok"]
    assert after.probes["lost"] == before.probes["lost"]
    assert after.received == before.received
    assert second.state == "connected"
    eventually(lambda: len(client.keys("fast:hb:*")) <= 6)


def test_a_listener_refuses_prefixes_that_would_take_other_applications_keys(
    server: Server, listen: Listening
) -> None:
    listener = listen.listener(server.url)
    for prefixes in ([], [b""], [TAGS, b""]):
        with pytest.raises(ValueError, match="prefix"):
            listener.watch(prefixes, Recorder())
    assert not threads()


def test_a_storm_of_keys_is_told_and_starves_no_heartbeat(
    server: Server, client: "redis.Redis", listen: Listening
) -> None:
    listener, sink = listen.watched(server.url, heartbeat_interval=0.02, heartbeat_lost=5.0)
    before = listener.snapshot().probes
    script = "for i = 1, 200000 do redis.call('SET', 'fast:v1:{' .. i .. '}', '') end"
    client.eval(script, 0)
    eventually(lambda: len(sink.keys) == 200_000, seconds=30)
    eventually(lambda: listener.snapshot().probes["ok"] > before["ok"] + 5)
    assert listener.snapshot().probes["lost"] == before["lost"]
    assert max(len(e[1]) for e in sink.events if e[0] == "invalidated") <= 1024
    assert sink.transitions() == ["reconnected"]
    client.flushall()
