"""The links of one node: one for each event loop, shared by all its asyncio transports."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from routecache import forking
from routecache.errors import RemoteError
from routecache.remote.aio_calls import OwnDoingError
from routecache.remote.aio_connection import connection_maker
from routecache.remote.aio_link import Link
from routecache.remote.node import Node, is_failure
from routecache.remote.translate import translate

_CALLS_PER_CONNECTION = 20

_lock = forking.RenewedLock()

# A child must neither close what its parent uses nor let the garbage collector do so: removing a
# socket from an inherited selector removes it from the parent's.
_inherited: list[Link] = []


class Links:
    """The `Companion` of a node. Safe for threads.

    A forked child starts without links and leaves its parent's alone. An event loop is kept alive
    by its link until the link ends, which is when the loop ends.
    """

    def __init__(self, node: Node) -> None:
        self.users = 0
        # When the breaker was last told of a failure, in monotonic seconds.
        self._blamed_at = -math.inf
        self._node = node
        self._make = connection_maker(node)
        self._limit = node.pool.max_connections * _CALLS_PER_CONNECTION
        self._links: dict[asyncio.AbstractEventLoop, Link] = {}
        self._retired: set[Link] = set()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the parent's links."""
        links, self._links = self._links, {}
        retired, self._retired = self._retired, set()
        for link in (*links.values(), *retired):
            link.forget()
            _inherited.append(link)
        self._blamed_at = -math.inf

    def here(self) -> Link:
        """The link of the running event loop, which may still be connecting.

        Raises OwnDoingError if the last user or the node has gone meanwhile.
        """
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            with _lock:
                if not self.users or self._node.closed:
                    raise OwnDoingError("connection")
                link = Link(loop, self._node, self._make(), self._limit, self._ended)
                self._links[loop] = link
        return link

    def _ended(self, link: Link) -> None:
        self._retired.discard(link)
        if self._links.get(link.loop) is link:
            del self._links[link.loop]

    def failed(self, began: float, error: Exception) -> RemoteError:
        """Tell the node's breaker of a failed call that `began` then; what the core gets to know.

        A link that ends fails all its callers at once, and so does a deadline that they share. To
        the breaker that is one failure: whoever was waiting already when it was last told of one
        has seen the same event, and tells nothing new. Else a single lost packet under 32 calls
        would open the circuit.
        """
        failure = translate(error)
        blames = is_failure(failure) and not isinstance(failure, OwnDoingError)
        if isinstance(failure, OwnDoingError) or (blames and began < self._blamed_at):
            self._node.breaker.abandoned()
            return failure
        if blames:
            self._blamed_at = time.monotonic()
        return self._node.failed(failure)

    def answered(self, began: float, replies: Sequence[Any]) -> None:
        """Tell the node's breaker of a call whose replies are here, errors among them."""
        failure = self._node.failure_among(replies)
        if failure is None:
            self._node.breaker.succeeded()
        else:
            self.failed(began, failure)

    def counts(self) -> tuple[int, int]:
        """How many connections are in use and how many are idle."""
        links = [*self._links.values(), *self._retired]
        return sum(link.busy for link in links), sum(link.idle for link in links)

    def drop_all(self) -> None:
        """Have each connected link end as soon as nobody waits on it; new ones are made at need.

        One that is still connecting goes on, unless the node is closed: it has been told just now
        where the server is.
        """
        self._each(self._retire)

    def _retire(self, link: Link) -> None:
        if link.connected:
            self._ended(link)
            self._retired.add(link)
            link.retire()
        elif self._node.closed:
            link.close()

    def close(self) -> Link | None:
        """End all links, those of other threads' loops as soon as these run; returns the one of
        the running loop."""
        return self._each(Link.close)

    def _each(self, do: Callable[[Link], None]) -> Link | None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        mine = None
        for link in (*self._links.values(), *self._retired):
            if link.loop is here:
                mine = mine or link
                do(link)
            else:
                with contextlib.suppress(RuntimeError):  # closed meanwhile: that ended the link
                    link.loop.call_soon_threadsafe(do, link)
        return mine


def acquire(node: Node) -> Links:
    """The links of `node`; `release` them after use. Raises ConfigurationError."""
    with _lock:
        links = node.companion
        if not isinstance(links, Links):
            links = node.companion = Links(node)
        links.users += 1
        return links


def release(links: Links) -> Link | None:
    """Give back what `acquire` gave; the last one ends the links, as `Links.close`."""
    with _lock:
        links.users -= 1
        last = not links.users
    return links.close() if last else None
