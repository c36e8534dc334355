"""Where a server tells nobody of writes: when the cache's own messages are sent."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from routecache.errors import RemoteError
from routecache.remote import endpoint as endpoints
from routecache.remote.aio import AsyncioRemote
from routecache.remote.announcing import Announcer
from routecache.remote.listener import listener_for, listener_of
from routecache.remote.sync import SyncRemote


class Publishing:
    """A listener that was refused CLIENT TRACKING."""

    publishes = True

    def ensure(self) -> None:
        pass


class Recording:
    """A transport that keeps what is sent, and answers with the next of `said`."""

    def __init__(self, *said: list[Any]) -> None:
        self.sent: list[list[str]] = []
        self._said = list(said)

    def execute(self, operation: str, deadline: float, commands: Sequence[Any]) -> list[Any]:
        self.sent.append([command[0] for command in commands])
        return self._said.pop(0)


class AsyncRecording(Recording):
    async def execute(  # type: ignore[override]
        self, operation: str, deadline: float, commands: Sequence[Any]
    ) -> list[Any]:
        return super().execute(operation, deadline, commands)


def delete(driver: str, *said: list[Any], apart: bool) -> tuple[list[list[str]], list[Any]]:
    """What is sent by a delete of two keys whose replies are `said`, and its results."""
    remote: Any = object.__new__(SyncRemote)
    remote.announcer = Announcer(Publishing(), b"p:v1:{", apart=apart)  # type: ignore[arg-type]
    pairs = [("p:v1:{a}", "p:lease:{a}"), ("p:v1:{b}", "p:lease:{b}")]
    if driver == "sync":
        remote.transport = Recording(*said)
        return remote.transport.sent, remote.delete_many(pairs, 0.0)
    tasks: Any = object.__new__(AsyncioRemote)
    tasks._sync, tasks.transport = remote, AsyncRecording(*said)
    return tasks.transport.sent, asyncio.run(tasks.delete_many(pairs, 0.0))


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_to_one_server_the_message_travels_behind_the_write(driver: str) -> None:
    sent, results = delete(driver, [1, 0, 2], apart=False)
    assert sent == [["EVALSHA", "EVALSHA", "PUBLISH"]]
    assert results == [True, False]


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_to_a_cluster_the_message_is_sent_when_the_write_was_acknowledged(driver: str) -> None:
    sent, results = delete(driver, [1, RemoteError("noscript")], [0], [2], apart=True)
    assert sent == [["EVALSHA", "EVALSHA"], ["EVAL"], ["PUBLISH"]]
    assert results == [True, False]


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_a_write_of_which_others_could_not_be_told_counts_as_failed(driver: str) -> None:
    lost, forbidden = RemoteError("timeout"), RemoteError("auth")
    assert delete(driver, [1, 0], [lost], apart=True)[1] == [lost, lost]
    assert delete(driver, [1, 0], [forbidden], apart=True)[1] == [True, False]
    assert delete(driver, [lost, lost], apart=True)[0] == [["EVALSHA", "EVALSHA"]], (
        "nothing to tell"
    )


@pytest.mark.parametrize("scheme", ["redis+sentinel", "redis+cluster", "redis"])
def test_an_endpoint_that_nobody_uses_any_more_is_freed_with_its_listener(scheme: str) -> None:
    endpoint = endpoints.acquire(f"{scheme}://127.0.0.1:1", None)
    listener = weakref.ref(listener_for(endpoint))
    assert listener_of(endpoint) is listener()
    endpoints.release(endpoint)
    kept = weakref.ref(endpoint)
    del endpoint
    gc.collect()
    assert kept() is None
    assert listener() is None
