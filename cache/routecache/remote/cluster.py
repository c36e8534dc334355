"""A Redis Cluster as this process knows it: which primary has which slot, and a node for each.

The map is learnt from CLUSTER SLOTS, in the background, one thread at a time and at most four
times a second: when there is none yet, when a node says that it is not the one to ask, and when a
node fails, because another may have taken over. Any node may tell it, and each time another one is
asked first: one that was cut off holds an old map. A node lives for as long as the map names it
and has its own connections, circuit and clock, so that a dead primary costs its own keys only.
"""

import concurrent.futures
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from routecache import forking
from routecache.errors import RemoteError
from routecache.remote.node import MAX_RESET_OF_MOVING, Node
from routecache.remote.pool import Connection, blame
from routecache.remote.target import Address, Target
from routecache.remote.translate import translate
from routecache.stats import EndpointSnapshot

SLOTS = 16384
_REFRESH_EVERY = 0.25
_ASK_TIMEOUT = 0.3  # seconds for one node to tell the map
# Seconds in which a node that the map does not name is kept: a slot is on its way to it.
_GUEST = 10.0

Learning: TypeAlias = concurrent.futures.Future[RemoteError | None]
"""The outcome of learning the map, once it is there: the failure if that failed."""


class Cluster(Node):
    """The primaries of a cluster. Safe for threads; a forked child learns the map anew.

    As a Node it stands for the cluster as a whole: its circuit is that of learning the map, and
    its own pool leads nowhere.
    """

    def __init__(self, alias: str, target: Target) -> None:
        super().__init__(alias, target, locate=_nowhere, max_reset=MAX_RESET_OF_MOVING)
        self._start()
        forking.reset_in_child(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[Address, Node] = {}
        self._primaries: tuple[Node, ...] = ()
        self._guests: dict[Address, float] = {}
        self._slots: list[Node | None] = []
        self._tellers: tuple[Address, ...] = self.target.nodes
        self._learning: Learning | None = None
        self._learning_since = float("inf")
        self._next_refresh = float("-inf")
        self._failure = RemoteError("connection")
        self._over = False

    def reset_after_fork(self) -> None:
        """Know no node, in a forked child."""
        self._start()

    @property
    def nodes(self) -> Sequence[Node]:
        """The primaries that have slots, in no order; empty before the map was learnt."""
        return self._primaries

    def node_of(self, slot: int) -> Node | None:
        """The primary that has `slot`, as far as is known."""
        slots = self._slots
        return slots[slot] if slots else None

    def node_at(self, address: Address) -> Node:
        """The node to which another one has redirected."""
        with self._lock:
            node = self._nodes.get(address)
            if node is None:
                node = self._nodes[address] = self._new_node(address)
                self._guests[address] = time.monotonic() + _GUEST
            return node

    @property
    def circuit(self) -> str:
        """closed if that of any primary is: L2 is used. Else half_open if any is probed, else open.

        Before the map was learnt it is the circuit of learning it.
        """
        states = {node.breaker.state for node in self.nodes} or {self.breaker.state}
        return next(state for state in ("closed", "half_open", "open") if state in states)

    def refresh(self, deadline: float | None = None) -> RemoteError | None:
        """Have the map learnt anew, unless that was done a moment ago.

        With a `deadline` (monotonic seconds) waits for the outcome and returns the failure, if it
        failed or is not known by then.
        """
        learning = self.learn()
        if deadline is None:
            return None
        try:
            return learning.result(max(deadline - time.monotonic(), 0))
        except TimeoutError:
            return self.late(deadline)

    def learn(self) -> Learning:
        """Have the map learnt anew, unless that was done a moment ago. Waits for nothing."""
        started = time.monotonic()
        learning = Learning()
        learning.set_running_or_notify_cancel()  # nobody who waits for it can cancel it
        with self._lock:
            if self._learning is not None:
                return self._learning
            if self._over or sys.is_finalizing():
                learning.set_result(RemoteError("connection"))
            elif started < self._next_refresh:
                learning.set_result(None if self._slots else RemoteError(self._failure.kind))
            else:
                self._learning = learning
                self._next_refresh = started + _REFRESH_EVERY
        if not learning.done():
            self._start_thread()
        return learning

    def late(self, deadline: float) -> RemoteError:
        """Why there was no map at `deadline`, which has passed."""
        return blame(time.monotonic() - deadline, deadline - self._learning_since, crowded=True)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._learn, name="routecache-slots", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            self._learnt(None, RemoteError("pool"))

    def _learn(self) -> None:
        ranges, failure = None, RemoteError("connection")
        with self._lock:
            self._learning_since = time.monotonic()
            first, *rest = self._tellers
            self._tellers = (*rest, first)
        for address in (first, *rest):
            try:
                ranges = _ranges(self._ask(address), address)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next one may know
                failure = translate(error)
            else:
                break
        self._learnt(ranges, failure)

    def _ask_role(self, connection: Any) -> None:
        """Replicas know the map too."""

    def _ask(self, address: Address) -> Any:
        connection: Connection = self._connection_class(
            **self._kwargs
            | {"host": address[0], "port": address[1], "socket_connect_timeout": _ASK_TIMEOUT}
        )
        try:
            now = time.monotonic()
            connection.set_deadline(now + _ASK_TIMEOUT, now)
            connection.connect()
            connection.send_command("CLUSTER", "SLOTS")
            return connection.read_response()
        finally:
            connection.disconnect()

    def _learnt(
        self, ranges: "list[tuple[int, int, list[Address]]] | None", failure: RemoteError
    ) -> None:
        gone: Iterable[Node] = ()
        with self._lock:
            if ranges:
                gone = self._adopt(ranges)
            else:
                self._failure = failure
            outcome = None if self._slots else RemoteError(self._failure.kind)
            self._learning_since = float("inf")
            learning, self._learning = self._learning, None
        if learning is not None:
            learning.set_result(outcome)
        for node in gone:
            node.close()

    def _adopt(self, ranges: "list[tuple[int, int, list[Address]]]") -> list[Node]:
        if self._over:
            return []
        now = time.monotonic()
        named = {addresses[0] for _, _, addresses in ranges}
        self._guests = {
            address: until
            for address, until in self._guests.items()
            if until > now and address not in named
        }
        nodes = {
            address: self._nodes.get(address) or self._new_node(address)
            for address in (*named, *self._guests)
        }
        slots: list[Node | None] = [None] * SLOTS
        for first, last, (primary, *_) in ranges:
            slots[first : last + 1] = [nodes[primary]] * (last + 1 - first)
        gone = [node for address, node in self._nodes.items() if address not in nodes]
        self._nodes, self._slots = nodes, slots
        self._primaries = tuple(nodes[address] for address in named)
        everyone = [address for _, _, addresses in ranges for address in addresses]
        # The seeds stay: a name may lead to new addresses when all of the old ones are gone.
        self._tellers = tuple(dict.fromkeys((*everyone, *self.target.nodes)))
        return gone

    def _new_node(self, address: Address) -> Node:
        return Node(
            self.alias,
            self.target,
            address=address,
            max_reset=MAX_RESET_OF_MOVING,
            what=f"one primary of L2 {self.alias}",
        )

    def has(self, node: Node) -> bool:
        """Whether `node` is one of those that the map names, or to which a slot is on its way."""
        return node in list(self._nodes.values())

    def close(self) -> None:
        """Close the connections to all nodes."""
        with self._lock:
            self._over = True
            nodes, self._nodes, self._slots, self._primaries = self._nodes, {}, [], ()
        for node in nodes.values():
            node.close()
        super().close()

    def snapshot(self) -> EndpointSnapshot:
        """The gauges, summed over the nodes, and the latencies of the whole."""
        nodes = list(self._nodes.values())
        counts = [node.connections() for node in nodes]
        return replace(
            self.stats.snapshot(self.alias, self.circuit),
            connections_in_use=sum(in_use for in_use, _ in counts),
            connections_idle=sum(idle for _, idle in counts),
            max_connections=sum(node.pool.max_connections for node in nodes)
            or self.pool.max_connections,
            circuits=Counter(node.breaker.state for node in self.nodes),
        )


def _nowhere() -> Address:
    raise RemoteError("cluster")


def _ranges(reply: Any, teller: Address) -> list[tuple[int, int, list[Address]]]:
    """First and last slot of each range with its primary's and then its replicas' addresses."""
    found = []
    for first, last, *nodes in reply:
        addresses = [((host or b"").decode() or teller[0], int(port)) for host, port, *_ in nodes]
        found.append((int(first), int(last), addresses))
    if not found:
        raise RemoteError("cluster")  # a node that is in no cluster yet, or in none any more
    return found
