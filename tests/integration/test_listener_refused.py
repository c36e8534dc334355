"""What a listener does where the server or its access list refuses something."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from routecache import BaseCacheManager, Policy
from routecache.remote.listener import message_for
from routecache_exporters.demo.processes import Processes
from tests.helpers import eventually
from tests.listening import TAGS, VALUES, Listening, Recorder, Server, ask, listening
from tests.members import BlockingAsync

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


PERMITTED = {
    "no tracking": "+@all -client|tracking allchannels",
    "no client commands": "+@all -client allchannels",
    "not the channel of tracking": "+@all resetchannels &fast:*",
}


@pytest.mark.parametrize("permitted", PERMITTED)
def test_where_tracking_is_refused_messages_of_our_own_do_the_work(
    permitted: str,
    server: Server,
    client: "redis.Redis",
    listen: Listening,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = PERMITTED[permitted].split()
    ask(client, "ACL", "SETUSER", "limited", "on", ">pass", "~*", *rules)
    url = f"unix://limited:pass@{server.path}"
    with caplog.at_level(logging.WARNING):
        listener, sink = listen.watched(url, heartbeat_interval=0.05)
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    what = "refuses CLIENT TRACKING: invalidations go by pub/sub messages of our own"
    assert said == [f"L2 {listener.alias} {what}"]
    assert listener.publishes
    before = listener.snapshot().probes["ok"]
    keys = [b"fast:v1:{a}", b"fast:tag:t"]
    client.publish("fast:inv", message_for([*keys, b"other:v1:{a}"]))
    eventually(lambda: sink.keys == keys)
    for everything in (message_for(None), b"garbage"):
        count = sink.count("everything")
        client.publish("fast:inv", everything)
        eventually(lambda count=count: sink.count("everything") == count + 1)  # type: ignore[misc]
    other = Recorder()
    listener.watch([b"slow:v1:{" if "fast" not in PERMITTED[permitted] else b"fast:more"], other)
    eventually(lambda: other.count("reconnected"))
    eventually(lambda: listener.snapshot().probes["ok"] > before + 3)
    ask(client, "CLIENT", "KILL", "TYPE", "pubsub")
    eventually(lambda: sink.transitions() == ["reconnected", "disconnected", "reconnected"])
    assert sum("refuses" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("driver", [BaseCacheManager, BlockingAsync])
def test_others_are_told_after_a_delete_whose_script_the_server_did_not_know(
    driver: Any, server: Server, client: "redis.Redis"
) -> None:
    rules = PERMITTED["no tracking"].split()
    ask(client, "ACL", "SETUSER", "limited", "on", ">pass", "~*", *rules)
    url = f"unix://limited:pass@{server.path}"
    cache = driver(redis_url=url, cache_prefix="fast", policy=Policy(l2_timeout=5.0))
    try:
        eventually(lambda: cache.core.hears)
        cache.set("k", 1, tags=())
        client.script_flush()
        with server.client() as other, other.monitor() as monitor:
            cache.delete("k")
            client.echo("end")
            done: list[str] = []
            while not done or not done[-1].startswith("ECHO end"):
                done.append(monitor.next_command()["command"])
    finally:
        cache.close()
    names = [command.partition(" ")[0] for command in done]
    assert names.index("EVALSHA") < names.index("EVAL")
    assert "PUBLISH" in names[names.index("EVAL") :], "the first message came before the change"


def test_a_user_who_may_listen_to_nothing_is_named_once(
    server: Server,
    client: "redis.Redis",
    listen: Listening,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask(client, "ACL", "SETUSER", "deaf", "on", ">pass", "~*", "+@all", "resetchannels")
    listener = listen.listener(f"unix://deaf:pass@{server.path}")
    sink = Recorder()
    listener.watch([VALUES, TAGS], sink)
    eventually(lambda: "neither" in caplog.text)
    assert listener.state == "disconnected"
    ask(client, "ACL", "SETUSER", "deaf", "allchannels")
    eventually(lambda: listener.state == "connected")
    assert caplog.text.count("neither") == 1
    assert sink.transitions() == ["reconnected"]


def test_heartbeats_that_may_not_be_written_leave_the_connection_alone(
    server: Server,
    client: "redis.Redis",
    listen: Listening,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask(client, "ACL", "SETUSER", "reader", "on", ">pass", "~fast:v1:*", "+@all", "allchannels")
    listener, sink = listen.watched(
        f"unix://reader:pass@{server.path}", heartbeat_interval=0.02, heartbeat_lost=0.2
    )
    before = listener.snapshot().probes
    patience = time.monotonic() + 0.5  # more than twice what a heartbeat may take
    eventually(lambda: time.monotonic() > patience)
    client.set("fast:v1:{a}", 1)
    eventually(lambda: sink.keys)
    assert sink.transitions() == ["reconnected"]
    assert listener.snapshot().probes == before
    assert caplog.text.count("refuses heartbeats (NOPERM)") == 1
