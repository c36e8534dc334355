"""One L2 server of this process: pool, circuit breaker, clock and counters."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from routecache.breaker import CircuitBreaker
from routecache.errors import RemoteError
from routecache.remote.clock import ServerClock
from routecache.remote.deadline import with_deadline
from routecache.remote.pool import Connection, Pool
from routecache.remote.target import Address, Target
from routecache.remote.translate import ANSWERED, NotPrimaryError, translate
from routecache.stats import EndpointSnapshot, EndpointStats

_logger = logging.getLogger("routecache")

CONNECT_TIMEOUT = 1.0
MAX_RESET = 5.0
# Seconds between two probes at most where another server will take over soon.
MAX_RESET_OF_MOVING = 0.5
_DEMOTED_EVERY = 0.1

# By alias, so that no counter falls when the last manager of an endpoint goes and another comes.
_stats: dict[str, EndpointStats] = {}


class Companion(Protocol):
    """Connections to a node beside those of its pool: the asyncio ones. Safe for threads."""

    def drop_all(self) -> None:
        """As `Pool.drop_all`; if the node is closed, also those that are still in the making."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many are in use and how many are idle."""
        ...


class Node:
    """A Redis or Valkey server as this process knows it. Safe for threads.

    `locate`, if there is one, tells where the server is now (host, port); it is asked before each
    attempt to connect, in the background, and what answers there has to be a primary. `address` is
    where it is if `target` does not say. `max_reset`
    is the circuit's, `what` the node's name in the log.
    """

    def __init__(
        self,
        alias: str,
        target: Target,
        *,
        locate: Callable[[], Address] | None = None,
        address: Address | None = None,
        max_reset: float | None = None,
        what: str = "",
    ) -> None:
        self.alias = alias
        self.target = target
        self.locate = locate
        self.address = address
        self.users = 0
        self.stats = _stats.get(alias) or _stats.setdefault(alias, EndpointStats.of(alias))
        self.clock = ServerClock()
        self.breaker = CircuitBreaker(
            time.monotonic,
            max_reset=max_reset or MAX_RESET,
            on_change=self._log,
            on_enter=self.stats.circuit_entered,
        )
        self._what = what or f"L2 {alias}"
        self._last_kind = ""
        self._demoted_at = float("-inf")
        self._connection_class = with_deadline(target.connection_class)
        self._on_connect: Callable[[Any], None] | None = target.options.get("redis_connect_func")
        self._kwargs: dict[str, Any] = {
            **target.options,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": CONNECT_TIMEOUT,
            "protocol": 2,
            "decode_responses": False,
            "redis_connect_func": self._handshake,
        }
        if address is not None:
            self._kwargs |= {"host": address[0], "port": address[1]}
        self.pool = Pool(self._make, target.max_connections, CONNECT_TIMEOUT, self.stats)
        self.companion: Companion | None = None
        self.closed = False

    def _log(self, state: str) -> None:
        if state == "open":
            _logger.warning(
                "%s cannot be used (%s): going on with L1 alone", self._what, self._last_kind
            )
        else:
            _logger.warning("%s can be used again", self._what)

    def _make(self) -> Connection:
        if self.locate is None:
            return cast("Connection", self._connection_class(**self._kwargs))
        host, port = self.locate()
        return cast("Connection", self._connection_class(**self._kwargs, host=host, port=port))

    def _handshake(self, connection: Any) -> None:
        if self._on_connect is not None:
            self._on_connect(connection)
        else:
            connection.on_connect()
        if self.locate is not None:
            self._ask_role(connection)
        sent = time.monotonic()
        connection.send_command("TIME")
        reply = connection.read_response()
        self.clock.told(sent, time.monotonic(), reply)

    def _ask_role(self, connection: Any) -> None:
        connection.send_command("ROLE")
        try:
            role = connection.read_response()
        except redis.ResponseError:
            return  # not for this user to ask
        require_primary(role)

    def answered(self, replies: Sequence[Any]) -> None:
        """Tell the breaker of a round trip whose replies were all read, errors among them."""
        failure = self.failure_among(replies)
        if failure is None:
            self.breaker.succeeded()
        else:
            self._fail(failure)

    def failure_among(self, replies: Sequence[Any]) -> RemoteError | None:
        """The first reply that counts against the server, for `failed`; None if there is none."""
        for reply in replies:
            if isinstance(reply, RemoteError):
                if isinstance(reply, NotPrimaryError):
                    self._demoted()
                if reply.kind not in ANSWERED or (
                    self.locate is not None and isinstance(reply, NotPrimaryError)
                ):
                    return reply
        return None

    def failed(self, error: Exception) -> RemoteError:
        """Tell the breaker of a call that failed; returns the error as the core knows it."""
        failure = translate(error)
        if failure.kind == "pool":
            self.breaker.abandoned()  # this process asks too much at once; the server may be well
        elif is_failure(failure):
            self._fail(failure)
        else:
            self.breaker.succeeded()
        return failure

    def _fail(self, failure: RemoteError) -> None:
        self._last_kind = failure.kind
        was = self.breaker.state
        self.stats.circuit_failed()
        self.breaker.failed()
        if was != "open" and self.breaker.state == "open":
            # What is left would be found dead one time-out after the other, one at each probe;
            # and wherever the server is now, a new connection finds it.
            self._drop_all()

    def _demoted(self) -> None:
        # A failover that left the connections open. Rate-limited, because a program may be
        # configured to use a replica.
        now = time.monotonic()
        if now - self._demoted_at >= _DEMOTED_EVERY:
            self._demoted_at = now
            self._drop_all()

    def _drop_all(self) -> None:
        self.pool.drop_all()
        if self.companion is not None:
            self.companion.drop_all()

    def close(self) -> None:
        """Close all connections, those in use when they are given back, and make no more."""
        self.closed = True
        self.pool.close()
        if self.companion is not None:
            self.companion.drop_all()

    def connections(self) -> tuple[int, int]:
        """How many connections are in use and how many are idle, the asyncio ones among them."""
        in_use, idle = self.pool.counts()
        if self.companion is not None:
            busy, at_rest = self.companion.counts()
            return in_use + busy, idle + at_rest
        return in_use, idle

    def snapshot(self) -> EndpointSnapshot:
        """The endpoint's gauges and latencies."""
        in_use, idle = self.connections()
        return replace(
            self.stats.snapshot(self.alias, self.breaker.state),
            connections_in_use=in_use,
            connections_idle=idle,
            max_connections=self.pool.max_connections,
        )


def is_failure(error: RemoteError) -> bool:
    """Whether a call that ended with `error` counts against the server."""
    return error.kind == "readonly" or (error.kind != "pool" and error.kind not in ANSWERED)


def require_primary(role: Sequence[Any]) -> None:
    """Raise NotPrimaryError unless `role`, the reply to ROLE, is a primary's."""
    if role[0] != b"master":
        raise NotPrimaryError
