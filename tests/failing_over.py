"""When the next primary is there: what Sentinel and Redis take of a failover."""

import time

import redis

from tests.helpers import eventually
from tests.topologies import SERVICE, Cluster, Server, Topology, WithSentinel


def promoted(topology: Topology, gone: Server) -> float:
    """Wait until another than `gone` is primary in its place; the monotonic time then."""
    if isinstance(topology, WithSentinel):
        return _named(topology, gone)
    assert isinstance(topology, Cluster)
    return _elected(topology, gone, 3)


def _elected(topology: Cluster, gone: Server, primaries: int) -> float:
    def is_primary(server: Server) -> bool:
        try:
            return server.running and server.ask("ROLE")[0] in ("master", b"master")
        except redis.RedisError:
            return False

    others = [server for server in topology.servers if server is not gone]
    eventually(lambda: sum(map(is_primary, others)) == primaries, 30)
    return time.monotonic()


def _named(topology: WithSentinel, gone: Server) -> float:
    def names_another() -> bool:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        ports = {int(sentinel.ask(*command)[1]) for sentinel in topology.sentinels}
        return bool(ports - {gone.port})

    eventually(names_another, 30)
    return time.monotonic()
