"""What a failure of one server means: to the circuit, to the log and to the pool."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from routecache.errors import RemoteError
from routecache.remote import clock, exchange, pool, urls
from routecache.remote import node as node_module
from routecache.remote.node import Node
from routecache.testing import ManualTimer


@pytest.fixture(name="node")
def one_node() -> Node:
    return Node("redis", urls.parse("redis://:hunter2@localhost"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.TimeoutError("of hunter2"), "timeout"),
        (redis.ConnectionError("to hunter2"), "connection"),
        (redis.AuthenticationError("hunter2 is wrong"), "auth"),
        (redis.BusyLoadingError("loading hunter2"), "loading"),
    ],
)
def test_the_log_names_the_kind_of_failure_and_nothing_else(
    node: Node, error: Exception, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "routecache"):
        for _ in range(5):
            assert node.failed(error).kind == kind
    assert caplog.messages == [f"L2 redis cannot be used ({kind}): going on with L1 alone"]


def test_what_this_process_does_to_itself_opens_no_circuit(node: Node) -> None:
    for _ in range(100):
        node.failed(RemoteError("pool"))
    assert node.breaker.state == "closed"


class Slow:
    """A connection to a server whose clock shows `OFFSET` more, and takes a second to tell."""

    OFFSET = 1_700_000_000.0
    idle_since = 0.0
    generation = 0

    def __init__(self, timer: ManualTimer) -> None:
        self._timer = timer

    def on_connect(self) -> None:
        """Shake hands."""

    def send_command(self, *_: str) -> None:
        """Take a command."""

    def read_response(self) -> tuple[bytes, bytes]:
        self._timer.advance(1.0)
        return str(int(self._timer() + self.OFFSET)).encode(), b"0"


@pytest.mark.parametrize("told_by", ["handshake", "round trip"])
def test_a_slow_reply_never_has_a_writer_stamp_later_than_the_servers_clock(
    node: Node, monkeypatch: pytest.MonkeyPatch, told_by: str
) -> None:
    timer = ManualTimer()
    for module in (clock, exchange, node_module, pool):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=timer))
    connection = cast("Any", Slow(timer))
    sent_at = timer()
    if told_by == "handshake":
        node._handshake(connection)
    else:
        exchange.receive(exchange.Sent(node, connection, sent_at, 0, asked_time=True))
    now = (timer() + Slow.OFFSET) * 1e6
    assert node.clock.earliest() <= now <= node.clock.latest()
    assert node.clock.latest() - node.clock.earliest() == 1e6, "as long as the reply took"
