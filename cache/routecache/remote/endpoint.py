"""One L2 endpoint of this process: pool, circuit breaker, clock and counters, shared per URL."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from routecache import forking, registry
from routecache.breaker import CircuitBreaker
from routecache.errors import ConfigurationError, RemoteError
from routecache.remote.clock import ServerClock
from routecache.remote.deadline import with_deadline
from routecache.remote.pool import Connection, Pool
from routecache.remote.translate import ANSWERED, translate
from routecache.stats import EndpointSnapshot, EndpointStats

_logger = logging.getLogger("routecache")

SCHEMES = ("redis://", "rediss://", "unix://")
CONNECT_TIMEOUT = 1.0
DEFAULT_MAX_CONNECTIONS = 50
_MAX_ALIASES = 8

# Kept out of what a client or a URL configures: the pool, the deadline and the breaker decide.
_OURS = (
    "retry_on_timeout",
    "retry_on_error",
    "health_check_interval",
    "max_connections",
    "timeout",
)


# By alias, so that no counter falls when the last manager of an endpoint goes and another comes.
_stats: dict[str, EndpointStats] = {}


class Endpoint:
    """A Redis or Valkey server as this process knows it. Safe for threads."""

    def __init__(
        self, alias: str, connection_class: type, kwargs: dict[str, Any], max_connections: int
    ) -> None:
        self.alias = alias
        self.users = 0
        self.stats = _stats.setdefault(alias, EndpointStats())
        self.clock = ServerClock()
        self.breaker = CircuitBreaker(time.monotonic, on_change=self._log)
        self._connection_class = with_deadline(connection_class)
        self._on_connect: Callable[[Any], None] | None = kwargs.get("redis_connect_func")
        self._kwargs = {name: value for name, value in kwargs.items() if name not in _OURS} | {
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": CONNECT_TIMEOUT,
            "protocol": 2,
            "decode_responses": False,
            "redis_connect_func": self._handshake,
        }
        self.pool = Pool(self._make, max_connections, CONNECT_TIMEOUT, self.stats)

    def _log(self, state: str) -> None:
        if state == "open":
            _logger.warning("L2 %s does not answer: going on with L1 alone", self.alias)
        else:
            _logger.warning("L2 %s answers again", self.alias)

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
                self.breaker.failed()
                return
        self.breaker.succeeded()

    def failed(self, error: Exception) -> RemoteError:
        """Tell the breaker of a call that failed; returns the error as the core knows it."""
        failure = error if isinstance(error, RemoteError) else translate(error)
        if failure.kind in ANSWERED:
            self.breaker.succeeded()
        elif failure.kind == "pool":
            self.breaker.abandoned()  # this process asks too much at once; the server may be well
        else:
            self.breaker.failed()
        return failure

    def check(self) -> None:
        """Build one unconnected connection, so that a bad option fails at construction."""
        self._make()

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


class _Endpoints:
    """The endpoints in use, by what they connect to."""

    def __init__(self) -> None:
        self._lock = forking.RenewedLock()
        self._by_target: dict[object, Endpoint] = {}
        self._aliases = 0

    def acquire(self, target: object, make: Callable[[str], Endpoint]) -> Endpoint:
        with self._lock:
            endpoint = self._by_target.get(target)
            if endpoint is None:
                endpoint = make(self._alias())
                self._by_target[target] = endpoint
                self._aliases += 1
            endpoint.users += 1
            return endpoint

    def release(self, endpoint: Endpoint) -> None:
        with self._lock:
            endpoint.users -= 1
            if endpoint.users:
                return
            for target, found in list(self._by_target.items()):
                if found is endpoint:
                    del self._by_target[target]
            if not self._by_target:
                self._aliases = 0
        endpoint.pool.close()

    def _alias(self) -> str:
        # Ordinals, because a label must never hold a host; nearly every process has one endpoint.
        if self._aliases >= _MAX_ALIASES:
            return "other"
        return "redis" if not self._aliases else f"redis{self._aliases + 1}"

    def snapshots(self) -> Iterable[EndpointSnapshot]:
        return [endpoint.snapshot() for endpoint in list(self._by_target.values())]


_endpoints = _Endpoints()


def acquire(url: str | None, client: "redis.Redis | None") -> Endpoint:
    """The endpoint for `url`, or the one that `client` is configured for; `release` it after use.

    A `client` gives its address, credentials and TLS options; its own connections are not used,
    since their time-outs cannot bound a call, and it is never closed. Raises ConfigurationError
    naming what cannot work, without the URL's password.
    """
    registry.register_endpoints(_endpoints.snapshots)
    if client is not None:
        if not isinstance(client, redis.Redis):
            raise ConfigurationError(
                f"redis_client is a {type(client).__qualname__}: give a redis.Redis or a Remote"
            )
        pool = client.connection_pool
        return _endpoints.acquire(
            pool,
            lambda alias: Endpoint(
                alias, pool.connection_class, dict(pool.connection_kwargs), pool.max_connections
            ),
        )
    assert url is not None
    return _endpoints.acquire(url, lambda alias: _from_url(alias, url))


release = _endpoints.release


def _from_url(alias: str, url: str) -> Endpoint:
    if not url.startswith(SCHEMES):
        raise ConfigurationError(
            f"the Redis URL starts with {url.partition('://')[0]!r}://: "
            f"use one of {', '.join(SCHEMES)}"
        )
    try:
        parsed = redis.ConnectionPool.from_url(url, max_connections=DEFAULT_MAX_CONNECTIONS)
        limit = parsed.max_connections
        endpoint = Endpoint(alias, parsed.connection_class, dict(parsed.connection_kwargs), limit)
        endpoint.check()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the Redis URL has an option that redis-py refuses: {type(error).__name__}: {error}"
        ) from None
    return endpoint
