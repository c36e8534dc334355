"""What a failure of one server means: to the circuit, to the log and to the pool."""

import logging

import pytest
import redis

from routecache.errors import RemoteError
from routecache.remote import urls
from routecache.remote.node import Node


@pytest.fixture
def node() -> Node:
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
