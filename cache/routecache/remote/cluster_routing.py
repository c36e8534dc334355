"""Where the commands to a cluster go, and what their replies call for. Without I/O.

Commands are grouped by the primary that has their key's slot. A node that is not, or not now, the
one to ask says so (MOVED, ASK, TRYAGAIN, CLUSTERDOWN). These commands are sent once more, within
the deadline: where the node sent us, or where a map learnt anew says. The sync and the asyncio
transport both send what is decided here.
"""

from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote.cluster import Cluster
from routecache.remote.node import Node
from routecache.remote.translate import RedirectError
from routecache.remote.transport import Command, routing_key

_ASKING: Command = ("ASKING",)
_LOST = frozenset({"connection", "timeout", "circuit", "readonly"})


class Round:
    """One attempt at `commands`, each at the node in the same place of `nodes`.

    `replies` are in the order of the commands. Where there is no node, because a slot has no
    primary, stands an error of kind "cluster". For one thread or task.
    """

    __slots__ = ("_commands", "_places", "replies")

    def __init__(self, nodes: Sequence[Node | None], commands: Sequence[Command]) -> None:
        self.replies: list[Any] = [RemoteError("cluster")] * len(commands)
        self._commands = commands
        self._places: dict[Node, list[int]] = {}
        for i, node in enumerate(nodes):
            if node is not None:
                self._places.setdefault(node, []).append(i)

    def admitted(self) -> list[Node]:
        """The nodes whose circuits let their commands through. Each circuit is owed an outcome."""
        admitted = []
        for node in self._places:
            if node.breaker.allow():
                admitted.append(node)
            else:
                self.failed(node, CircuitOpenError())
        return admitted

    def commands_for(self, node: Node) -> list[Command]:
        """What `node` is to be sent, in this order."""
        return [self._commands[i] for i in self._places[node]]

    def answered(self, node: Node, replies: Sequence[Any]) -> list[Any]:
        """Put the replies of `node` in their places; returns those that tell how it is.

        A node that sends us elsewhere is well.
        """
        for i, reply in zip(self._places[node], replies, strict=True):
            self.replies[i] = reply
        return [reply for reply in replies if not isinstance(reply, RedirectError)]

    def failed(self, node: Node, error: RemoteError) -> None:
        """Put `error` in the place of each command of `node`."""
        for i in self._places[node]:
            self.replies[i] = error


class SecondRound(Round):
    """Another attempt at those of `commands` whose places are `again`, after their `replies`.

    Asks `cluster` for the nodes, so a map that must be learnt has been.
    """

    __slots__ = ("_originals",)

    def __init__(
        self,
        cluster: Cluster,
        commands: Sequence[Command],
        replies: Sequence[Any],
        again: Sequence[int],
    ) -> None:
        nodes: list[Node | None] = []
        second: list[Command] = []
        self._originals: list[int | None] = []  # None for the reply to ASKING
        for i in again:
            error, node = replies[i], _node_for(cluster, commands[i])
            if isinstance(error, RedirectError) and error.address is not None:
                host, port = error.address
                node = cluster.node_at((host or _host_of(node), port))
                if error.asking:  # holds for the next command of the connection
                    nodes.append(node)
                    second.append(_ASKING)
                    self._originals.append(None)
            nodes.append(node)
            second.append(commands[i])
            self._originals.append(i)
        super().__init__(nodes, second)

    def merge_into(self, replies: list[Any]) -> None:
        """Put what came of it in the places of the first attempt's replies."""
        for i, reply in zip(self._originals, self.replies, strict=True):
            if i is not None:
                replies[i] = reply


def first_round(cluster: Cluster, commands: Sequence[Command]) -> Round:
    """Each command at the primary of its key's slot, as far as is known."""
    return Round([_node_for(cluster, command) for command in commands], commands)


def everywhere(cluster: Cluster, command: Command) -> Round:
    """One command at every primary."""
    nodes = cluster.nodes
    return Round(nodes, [command] * len(nodes))


def redirected(replies: Sequence[Any]) -> list[int]:
    """The places of the commands that are to be sent once more."""
    return [
        i
        for i, reply in enumerate(replies)
        if isinstance(reply, RemoteError) and reply.kind == "cluster"
    ]


def told_where(replies: Sequence[Any], again: Sequence[int]) -> bool:
    """Whether the nodes said where to send all of them; else the map must be learnt anew first."""
    return all(isinstance(replies[i], RedirectError) and replies[i].address for i in again)


def lost(replies: Sequence[Any]) -> bool:
    """Whether a node failed, so that another may have taken over."""
    return any(isinstance(reply, RemoteError) and reply.kind in _LOST for reply in replies)


def _node_for(cluster: Cluster, command: Command) -> Node | None:
    key = routing_key(command)
    if key is None:
        return next(iter(cluster.nodes), None)
    return cluster.node_of(key_slot(key if isinstance(key, bytes) else str(key).encode()))


def _host_of(node: Node | None) -> str:
    address = node.address if node is not None else None
    return address[0] if address is not None else "localhost"
