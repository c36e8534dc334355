"""Commands to a cluster, for threads: to all the nodes concerned in one round trip.

What goes where, and what redirections call for, is in cluster_routing.py. All groups are sent
before any reply is read, so a batch over many nodes takes as long as the slowest of them. Their
deadline is one: a silent node takes all of the time, and what the others answered meanwhile is
read then (see deadline.py). A failed group has its error in the place of each of its commands.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote import cluster_routing as routing
from routecache.remote.cluster import Cluster
from routecache.remote.cluster_routing import Round, SecondRound
from routecache.remote.exchange import Sent, drop, receive, send
from routecache.remote.server import ServerTransport
from routecache.remote.transport import Command, Transport
from routecache.stats import EndpointSnapshot
from routecache.typing import Operation


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
        began = time.monotonic()
        failure = self._know_nodes(deadline)
        if failure is not None:
            return [failure] * len(commands)
        cluster = self._cluster
        try:
            replies = self._run(routing.first_round(cluster, commands), began, deadline)
            again = routing.redirected(replies)
            if again:
                if routing.told_where(replies, again):
                    cluster.learn()
                else:
                    self._learn(deadline)
                if time.monotonic() < deadline:
                    second = SecondRound(cluster, commands, replies, again)
                    self._run(second, began, deadline)
                    second.merge_into(replies)
            elif routing.lost(replies):
                cluster.learn()
        finally:
            cluster.stats.observe(operation, time.monotonic() - began)
        return replies

    def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """Send one command to every primary; a reply or a RemoteError for each."""
        began = time.monotonic()
        failure = self._know_nodes(deadline)
        if failure is not None:
            return [failure]
        try:
            return self._run(routing.everywhere(self._cluster, command), began, deadline)
        finally:
            self._cluster.stats.observe(operation, time.monotonic() - began)

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
        failure = self._learn(deadline)
        if failure is not None:
            return cluster.failed(failure)
        cluster.breaker.succeeded()
        return None

    def _learn(self, deadline: float) -> RemoteError | None:
        return self._cluster.refresh(deadline)

    def _run(self, attempt: Round, began: float, deadline: float) -> list[Any]:
        """The attempt's replies."""
        nodes = attempt.admitted()
        if len(nodes) > 1:
            # Who has to connect does so while the others are sent to; False sorts first.
            nodes.sort(key=lambda node: not node.pool.connect_ahead())
        owing = dict.fromkeys(nodes)  # the breakers that have not been told of the outcome
        sent: list[Sent] = []
        try:
            for node in nodes:
                try:
                    sent.append(send(node, began, deadline, attempt.commands_for(node)))
                except Exception as error:  # noqa: BLE001  # whatever redis-py raises
                    del owing[node]
                    attempt.failed(node, node.failed(error))
            while sent:
                going = sent.pop(0)
                node = going.node
                try:
                    got = receive(going)
                except Exception as error:  # noqa: BLE001  # as above
                    del owing[node]
                    attempt.failed(node, node.failed(error))
                    continue
                del owing[node]
                node.answered(attempt.answered(node, got))
        except BaseException as error:
            for going in sent:
                drop(going, error)
            for node in owing:
                node.breaker.abandoned()
            raise
        return attempt.replies
