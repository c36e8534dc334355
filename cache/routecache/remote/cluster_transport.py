"""Commands to a cluster, for threads: to all the nodes concerned in one round trip.

Commands are grouped by the primary that has their key's slot. All groups are sent before any
reply is read, so a batch over many nodes takes as long as the slowest of them. Their deadline is
one: a silent node takes all of the time, and what the others answered meanwhile is read then
(see deadline.py). A failed group has its error in the place of each of its commands.

A node that is not, or not now, the one to ask says so (MOVED, ASK, TRYAGAIN, CLUSTERDOWN). These
commands are sent once more, within the deadline: where the node sent us, or where a map learnt
anew says.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote.cluster import Cluster
from routecache.remote.exchange import Sent, drop, receive, send
from routecache.remote.node import Node
from routecache.remote.server import ServerTransport
from routecache.remote.translate import RedirectError
from routecache.remote.transport import Command, Transport, routing_key
from routecache.stats import EndpointSnapshot
from routecache.typing import Operation

_ASKING: Command = ("ASKING",)


class ClusterTransport:
    """A `Transport` to the primaries of `cluster`. Safe for threads.

    The clock is bounded over all primaries, so that what is stamped with it can be compared on
    any of them.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def alias(self) -> str:
        """The endpoint's bounded label."""
        return self._cluster.alias

    @property
    def available(self) -> bool:
        """Whether the circuit of any primary is closed."""
        return self._cluster.circuit == "closed"

    @property
    def clock_known(self) -> bool:
        """Whether the time of any primary was ever learnt; one never reached says nothing."""
        return any(node.clock.known for node in self._cluster.nodes)

    def earliest(self) -> int:
        """The earliest that any primary's clock can say now, in microseconds."""
        return min(node.clock.earliest() for node in self._cluster.nodes if node.clock.known)

    def latest(self) -> int:
        """The latest that any primary's clock can say now, in microseconds."""
        return max(node.clock.latest() for node in self._cluster.nodes if node.clock.known)

    def clock_at_least(self, received: float, server_us: int) -> None:
        """Without effect: it is not said which primary's clock told the time.

        Raising the others' bounds could make an entry younger than it is. Left alone, entries
        made within the clocks' difference after an invalidation may be taken for older.
        """

    def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        """Send each command to its key's primary; a reply or a RemoteError for each."""
        started = time.monotonic()
        failure = self._know_nodes(deadline)
        if failure is not None:
            return [failure] * len(commands)
        cluster = self._cluster
        nodes = [self._node_for(command) for command in commands]
        try:
            replies = self._run(nodes, started, deadline, commands)
            again = [i for i, reply in enumerate(replies) if _is_redirection(reply)]
            if again:
                self._run_again(again, replies, started, deadline, commands)
            elif any(isinstance(reply, RemoteError) and _is_lost(reply) for reply in replies):
                cluster.refresh()
        finally:
            cluster.stats.observe(operation, time.monotonic() - started)
        return replies

    def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """Send one command to every primary; a reply or a RemoteError for each."""
        started = time.monotonic()
        failure = self._know_nodes(deadline)
        if failure is not None:
            return [failure]
        try:
            nodes = self._cluster.nodes
            return self._run(nodes, started, deadline, [command] * len(nodes))
        finally:
            self._cluster.stats.observe(operation, time.monotonic() - started)

    def scan_targets(self) -> Sequence[Transport]:
        """One transport for each primary; this one, which fails, while none is known."""
        return [ServerTransport(node) for node in self._cluster.nodes] or [self]

    def snapshot(self) -> EndpointSnapshot:
        """The endpoint's gauges and latencies."""
        return self._cluster.snapshot()

    def _know_nodes(self, deadline: float) -> RemoteError | None:
        if sys.is_finalizing():  # daemon threads may have ended with any lock in their hands
            return RemoteError("pool")
        cluster = self._cluster
        if cluster.nodes:
            return None
        if not cluster.breaker.allow():
            return CircuitOpenError()
        failure = cluster.refresh(deadline)
        if failure is not None:
            return cluster.failed(failure)
        cluster.breaker.succeeded()
        return None

    def _node_for(self, command: Command) -> Node | None:
        key = routing_key(command)
        if key is None:
            return next(iter(self._cluster.nodes), None)
        return self._cluster.node_of(key_slot(key if isinstance(key, bytes) else str(key).encode()))

    def _run(
        self,
        nodes: Sequence[Node | None],
        began: float,
        deadline: float,
        commands: Sequence[Command],
    ) -> list[Any]:
        """The replies of each node in `nodes` to the command in the same place."""
        replies: list[Any] = [RemoteError("cluster")] * len(commands)  # of slots without a primary
        groups: dict[Node, list[int]] = {}
        for i, node in enumerate(nodes):
            if node is not None:
                groups.setdefault(node, []).append(i)
        allowed: list[Node] = []
        for node, places in groups.items():
            if node.breaker.allow():
                allowed.append(node)
            else:
                _fill(replies, places, CircuitOpenError())
        if len(allowed) > 1:
            # Who has to connect does so while the others are sent to; False sorts first.
            allowed.sort(key=lambda node: not node.pool.connect_ahead())
        owing = dict.fromkeys(allowed)  # the breakers that have not been told of the outcome
        sent: list[Sent] = []
        try:
            for node in allowed:
                places = groups[node]
                try:
                    sent.append(send(node, began, deadline, [commands[i] for i in places]))
                except Exception as error:  # noqa: BLE001  # whatever redis-py raises
                    del owing[node]
                    _fill(replies, places, node.failed(error))
            while sent:
                going = sent.pop(0)
                node, places = going.node, groups[going.node]
                try:
                    got = receive(going)
                except Exception as error:  # noqa: BLE001  # as above
                    del owing[node]
                    _fill(replies, places, node.failed(error))
                    continue
                del owing[node]
                # A node that sends us elsewhere is well.
                node.answered([r for r in got if not isinstance(r, RedirectError)])
                for i, reply in zip(places, got, strict=True):
                    replies[i] = reply
        except BaseException as error:
            for going in sent:
                drop(going, error)
            for node in owing:
                node.breaker.abandoned()
            raise
        return replies

    def _run_again(
        self,
        again: list[int],
        replies: list[Any],
        began: float,
        deadline: float,
        commands: Sequence[Command],
    ) -> None:
        cluster = self._cluster
        if all(isinstance(replies[i], RedirectError) and replies[i].address for i in again):
            cluster.refresh()
        else:
            cluster.refresh(deadline)
        if time.monotonic() >= deadline:
            return
        nodes: list[Node | None] = []
        second: list[Command] = []
        places: list[int | None] = []  # None for the reply to ASKING
        for i in again:
            error, node = replies[i], self._node_for(commands[i])
            if isinstance(error, RedirectError) and error.address is not None:
                host, port = error.address
                node = cluster.node_at((host or _host_of(node), port))
                if error.asking:
                    nodes.append(node)
                    second.append(_ASKING)
                    places.append(None)
            nodes.append(node)
            second.append(commands[i])
            places.append(i)
        for place, reply in zip(places, self._run(nodes, began, deadline, second), strict=True):
            if place is not None:
                replies[place] = reply


def _fill(replies: list[Any], places: list[int], error: RemoteError) -> None:
    for i in places:
        replies[i] = error


def _is_redirection(reply: Any) -> bool:
    return isinstance(reply, RemoteError) and reply.kind == "cluster"


def _is_lost(error: RemoteError) -> bool:
    return error.kind in {"connection", "timeout", "circuit", "readonly"}


def _host_of(node: Node | None) -> str:
    address = node.address if node is not None else None
    return address[0] if address is not None else "localhost"
