"""Where the primary is: what Sentinel says of it, asked anew before each connection.

Asking costs a few milliseconds, and connections are made in the background only, so nothing is
remembered but which sentinel answered last. After a failover the old connections end, or answer
that they are read-only, and the next ones go to the new primary: no subscription to
`+switch-master` could be faster than that.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from routecache.remote.node import MAX_RESET_OF_MOVING, Node
from routecache.remote.target import Address, Target

# Seconds for each step with one sentinel. The first one that knows the primary ends the search.
_STEP_TIMEOUT = 0.25


class PrimaryFinder:
    """Calling it asks the sentinels of `target` for their primary's address, one after another.

    Safe for threads. Raises a redis-py exception if no sentinel knows a primary that is up.
    """

    def __init__(self, target: Target) -> None:
        self._service = target.service
        self._options: dict[str, Any] = {
            **target.sentinel_options,
            "socket_timeout": _STEP_TIMEOUT,
            "socket_connect_timeout": _STEP_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinels: Sequence[Address] = target.nodes

    def __call__(self) -> Address:
        """The primary's host and port."""
        # The first sentinel is another one each time: one that was cut off may name the old
        # primary for ever, and what is found there tells that it is none.
        first, *rest = self._sentinels
        self._sentinels = (*rest, first)
        make: Any = Sentinel  # untyped
        sentinel = make([first, *rest], sentinel_kwargs=self._options)
        try:
            host, port = sentinel.discover_master(self._service)
        finally:
            with contextlib.suppress(RedisError):
                sentinel.close()
        return host, int(port)


def primary_node(alias: str, target: Target) -> Node:
    """The primary that the sentinels of `target` name, wherever it is."""
    return Node(alias, target, locate=PrimaryFinder(target), max_reset=MAX_RESET_OF_MOVING)
