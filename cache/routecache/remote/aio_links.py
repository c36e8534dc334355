"""The links of one endpoint: one for each event loop, shared by all its asyncio transports."""

import asyncio
import contextlib
import math
import weakref

from routecache import forking
from routecache.remote.aio_calls import OwnDoingError
from routecache.remote.aio_connection import connection_maker
from routecache.remote.aio_link import Link
from routecache.remote.endpoint import Endpoint

_CALLS_PER_CONNECTION = 20

_lock = forking.RenewedLock()

# A child must neither close what its parent uses nor let the garbage collector do so: removing a
# socket from an inherited selector removes it from the parent's.
_inherited: list[Link] = []


class Links:
    """Safe for threads. A forked child starts without links and leaves its parent's alone.

    An event loop is kept alive by its link until the link ends, which is when the loop ends.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.users = 0
        # When the breaker was last told of a failure, in monotonic seconds.
        self.blamed_at = -math.inf
        self._make = connection_maker(endpoint)
        self._clock = endpoint.clock
        self._limit = endpoint.pool.max_connections * _CALLS_PER_CONNECTION
        self._links: dict[asyncio.AbstractEventLoop, Link] = {}
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the parent's links."""
        links, self._links = self._links, {}
        for link in links.values():
            link.forget()
            _inherited.append(link)
        self.blamed_at = -math.inf

    def here(self) -> Link:
        """The link of the running event loop, which may still be connecting.

        Raises OwnDoingError if the last user has gone meanwhile.
        """
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            with _lock:
                if not self.users:
                    raise OwnDoingError("connection")
                link = Link(loop, self._make(), self._clock, self._limit, self._ended)
                self._links[loop] = link
        return link

    def _ended(self, link: Link) -> None:
        if self._links.get(link.loop) is link:
            del self._links[link.loop]

    def counts(self) -> tuple[int, int]:
        """How many connections are in use and how many are idle."""
        links = list(self._links.values())
        return sum(link.busy for link in links), sum(link.idle for link in links)

    def close(self) -> Link | None:
        """End all links, those of other threads' loops as soon as these run; returns the one of
        the running loop."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        mine = None
        for loop, link in list(self._links.items()):
            if loop is here:
                mine = link
                link.close()
            else:
                with contextlib.suppress(RuntimeError):  # closed meanwhile: that ended the link
                    loop.call_soon_threadsafe(link.close)
        return mine


_by_endpoint: "weakref.WeakKeyDictionary[Endpoint, Links]" = weakref.WeakKeyDictionary()


def acquire(endpoint: Endpoint) -> Links:
    """The links of `endpoint`; `release` them after use. Raises ConfigurationError."""
    with _lock:
        links = _by_endpoint.get(endpoint)
        if links is None:
            links = _by_endpoint[endpoint] = Links(endpoint)
        links.users += 1
        return links


def release(links: Links) -> Link | None:
    """Give back what `acquire` gave; the last one ends the links, as `Links.close`."""
    with _lock:
        links.users -= 1
        last = not links.users
    return links.close() if last else None


def counts(endpoint: Endpoint) -> tuple[int, int]:
    """How many asyncio connections of `endpoint` are in use and how many are idle."""
    links = _by_endpoint.get(endpoint)
    return links.counts() if links is not None else (0, 0)
