"""What the tests of the asyncio transport of a cluster share."""

import time
from typing import Any

from routecache.remote.aio_cluster import AsyncClusterTransport
from routecache.remote.cluster import Cluster
from tests.async_transports import Told


class ClusterWorld:
    """An asyncio transport to `endpoint`, whose nodes count what their circuits are told."""

    def __init__(self, endpoint: Cluster) -> None:
        self.endpoint = endpoint
        self.transport = AsyncClusterTransport(endpoint)

    async def ask(self, *commands: tuple[Any, ...], within: float = 5.0) -> list[Any]:
        return await self.transport.execute("get", time.monotonic() + within, commands)

    async def get(self, *keys: bytes, within: float = 5.0) -> list[Any]:
        return await self.ask(*(("GET", key) for key in keys), within=within)

    async def connect(self) -> None:
        deadline = time.monotonic() + 5
        pongs = await self.transport.execute_everywhere("connect", deadline, ("PING",))
        assert pongs == [b"PONG"] * 3

    def count(self) -> list[Told]:
        """Have the nodes' circuits count from now on."""
        told = []
        for node in self.endpoint.nodes:
            node.breaker = Told()
            told.append(node.breaker)
        return told


def values(n: int) -> dict[bytes, bytes]:
    """Keys of all slots, each with a value that says whose it is."""
    return {f"key{i}".encode(): f"key{i}=".encode() for i in range(n)}


async def stored(world: ClusterWorld, n: int) -> dict[bytes, bytes]:
    held = values(n)
    assert await world.ask(*(("SET", k, v) for k, v in held.items())) == [b"OK"] * n
    return held
