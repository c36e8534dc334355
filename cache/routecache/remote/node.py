"""One L2 server of this process: pool, circuit breaker, clock and counters."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from redis.backoff import NoBackoff
from redis.retry import Retry

from routecache.breaker import CircuitBreaker
from routecache.errors import RemoteError
from routecache.remote.clock import ServerClock
from routecache.remote.deadline import with_deadline
from routecache.remote.pool import Connection, Pool
from routecache.remote.target import Target
from routecache.remote.translate import ANSWERED, translate
from routecache.stats import EndpointSnapshot, EndpointStats

_logger = logging.getLogger("routecache")

CONNECT_TIMEOUT = 1.0

# By alias, so that no counter falls when the last manager of an endpoint goes and another comes.
_stats: dict[str, EndpointStats] = {}


class Node:
    """A Redis or Valkey server as this process knows it. Safe for threads."""

    def __init__(self, alias: str, target: Target) -> None:
        self.alias = alias
        self.users = 0
        self.stats = _stats.setdefault(alias, EndpointStats())
        self.clock = ServerClock()
        self.breaker = CircuitBreaker(time.monotonic, on_change=self._log)
        self._last_kind = ""
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
        self.pool = Pool(self._make, target.max_connections, CONNECT_TIMEOUT, self.stats)

    def _log(self, state: str) -> None:
        if state == "open":
            _logger.warning(
                "L2 %s cannot be used (%s): going on with L1 alone", self.alias, self._last_kind
            )
        else:
            _logger.warning("L2 %s can be used again", self.alias)

    def _make(self) -> Connection:
        return cast("Connection", self._connection_class(**self._kwargs))

    def _handshake(self, connection: Any) -> None:
        if self._on_connect is not None:
            self._on_connect(connection)
        else:
            connection.on_connect()
        sent = time.monotonic()
        connection.send_command("TIME")
        self.clock.told(sent, time.monotonic(), connection.read_response())

    def answered(self, replies: Sequence[Any]) -> None:
        """Tell the breaker of a round trip whose replies were all read, errors among them."""
        for reply in replies:
            if isinstance(reply, RemoteError) and reply.kind not in ANSWERED:
                self._last_kind = reply.kind
                self.breaker.failed()
                return
        self.breaker.succeeded()

    def failed(self, error: Exception) -> RemoteError:
        """Tell the breaker of a call that failed; returns the error as the core knows it."""
        failure = translate(error)
        if failure.kind in ANSWERED:
            self.breaker.succeeded()
        elif failure.kind == "pool":
            self.breaker.abandoned()  # this process asks too much at once; the server may be well
        else:
            self._last_kind = failure.kind
            self.breaker.failed()
        return failure

    def close(self) -> None:
        """Close all connections; those in use when they are given back."""
        self.pool.close()

    def snapshot(self) -> EndpointSnapshot:
        """The endpoint's gauges and latencies."""
        in_use, idle = self.pool.counts()
        return EndpointSnapshot(
            alias=self.alias,
            circuit=self.breaker.state,
            operation_duration=self.stats.operation_duration(),
            connections_in_use=in_use,
            connections_idle=idle,
            max_connections=self.pool.max_connections,
            connection_wait=self.stats.connection_wait(),
        )
