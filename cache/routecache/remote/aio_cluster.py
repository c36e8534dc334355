"""Commands to a cluster, for tasks: `cluster_transport.py` over one link for each primary.

Each group goes out in the same turn of the event loop, with whatever other tasks ask of that
primary in that turn. All are sent before any is awaited, and each ends by the one deadline at the
latest, so that a silent node takes all of the time and costs the others' replies nothing.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from routecache import forking
from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote import aio_links
from routecache.remote import cluster_routing as routing
from routecache.remote.aio_exchange import Sent, drop, receive
from routecache.remote.aio_server import AsyncServerTransport
from routecache.remote.aio_waiting import outcome
from routecache.remote.cluster import Cluster
from routecache.remote.cluster_routing import Round, SecondRound
from routecache.remote.node import Node
from routecache.remote.transport import AsyncTransport, Command
from routecache.typing import Operation


class AsyncClusterTransport:
    """An `AsyncTransport` to the primaries of `cluster`.

    Safe for the tasks of any number of event loops in any number of threads. Map, circuits and
    clocks are those of the sync side. The map is learnt in a thread of the cluster's.

    Raises ConfigurationError at construction if the cluster's options need a sync connection.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # They lead nowhere. What is refused for all nodes is refused here, and what befalls all
        # tasks that wait for the map is one failure.
        self._links = aio_links.acquire(cluster)
        self._lock = forking.RenewedLock()
        self._servers: dict[Node, AsyncServerTransport] = {}
        self._closed = False

    async def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        """Send each command to its key's primary; a reply or a RemoteError for each."""
        began = time.monotonic()
        failure = await self._know_nodes(deadline)
        if failure is not None:
            return [failure] * len(commands)
        cluster = self._cluster
        try:
            replies = await self._run(routing.first_round(cluster, commands), began, deadline)
            again = routing.redirected(replies)
            if again:
                if routing.told_where(replies, again):
                    cluster.learn()
                else:
                    await self._learn(deadline)
                if time.monotonic() < deadline:
                    second = SecondRound(cluster, commands, replies, again)
                    await self._run(second, began, deadline)
                    second.merge_into(replies)
            elif routing.lost(replies):
                cluster.learn()
        finally:
            cluster.stats.observe(operation, time.monotonic() - began)
        return replies

    async def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """Send one command to every primary; a reply or a RemoteError for each."""
        began = time.monotonic()
        failure = await self._know_nodes(deadline)
        if failure is not None:
            return [failure]
        try:
            return await self._run(routing.everywhere(self._cluster, command), began, deadline)
        finally:
            self._cluster.stats.observe(operation, time.monotonic() - began)

    def scan_targets(self) -> Sequence[AsyncTransport]:
        """One transport for each primary; this one, which fails, while none is known."""
        return [self._server(node) for node in self._cluster.nodes] or [self]

    def connections(self) -> tuple[int, int]:
        """How many asyncio connections of the cluster are in use and how many are idle."""
        counts = [server.connections() for server in list(self._servers.values())]
        return sum(in_use for in_use, _ in counts), sum(idle for _, idle in counts)

    async def aclose(self) -> None:
        """Send nothing any more, and return when the running loop's connections are closed."""
        with self._lock:
            closes, self._closed = not self._closed, True
            servers, self._servers = self._servers, {}
        if closes:
            aio_links.release(self._links)
        links = [server.close() for server in servers.values()]
        for link in links:
            if link is not None:
                await link.closed()

    async def _know_nodes(self, deadline: float) -> RemoteError | None:
        if self._closed:
            return RemoteError("connection")
        cluster = self._cluster
        if cluster.nodes:
            return None
        if not cluster.breaker.allow():
            return CircuitOpenError()
        began = time.monotonic()
        try:
            failure = await self._learn(deadline)
        except BaseException:
            cluster.breaker.abandoned()
            raise
        if failure is not None:
            return self._links.failed(began, failure)
        cluster.breaker.succeeded()
        return None

    async def _learn(self, deadline: float) -> RemoteError | None:
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                return await outcome(self._cluster.learn())
        except TimeoutError:
            return self._cluster.late(deadline)

    def _server(self, node: Node) -> AsyncServerTransport:
        server = self._servers.get(node)
        if server is None:
            with self._lock:
                for gone in [known for known in self._servers if not self._cluster.has(known)]:
                    self._servers.pop(gone).close()
                server = self._servers.get(node) or AsyncServerTransport(node)
                if self._closed:
                    server.close()
                else:
                    self._servers[node] = server
        return server

    async def _run(self, attempt: Round, began: float, deadline: float) -> list[Any]:
        """The attempt's replies."""
        nodes = attempt.admitted()
        owing = dict.fromkeys(nodes)  # the breakers that have not been told of the outcome
        sent: list[Sent] = []
        try:
            for node in nodes:
                server = self._server(node)
                try:
                    sent.append(server.send(began, deadline, attempt.commands_for(node)))
                except Exception as error:  # noqa: BLE001  # what cannot be packed, or closed
                    del owing[node]
                    attempt.failed(node, server.links.failed(began, error))
            while sent:
                going = sent.pop(0)
                node = going.node
                got = await receive(going)
                del owing[node]
                if isinstance(got, RemoteError):
                    attempt.failed(node, going.links.failed(began, got))
                else:
                    going.links.answered(began, attempt.answered(node, got))
        except BaseException:
            for going in sent:
                drop(going)
            for node in owing:
                node.breaker.abandoned()
            raise
        return attempt.replies
