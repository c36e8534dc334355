"""What L2 is: one server, the primary that Sentinel names, or a cluster, and how to connect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import redis
from redis.sentinel import SentinelConnectionPool

from routecache.errors import ConfigurationError

Kind: TypeAlias = Literal["server", "sentinel", "cluster"]
Address: TypeAlias = tuple[str, int]

# Kept out of what a client or a URL configures: the pool, the deadline and the breaker decide.
_OURS = (
    "retry_on_timeout",
    "retry_on_error",
    "health_check_interval",
    "max_connections",
    "timeout",
)


@dataclass(frozen=True, slots=True)
class Target:
    """How to build connections to L2.

    `options` are the arguments of `connection_class`, a redis-py connection class. `nodes` are the
    sentinels or the cluster's seeds, whose host and port are then not among `options`; `service` is
    the primary's name for Sentinel, and `sentinel_options` are the arguments of redis.Redis for the
    sentinels themselves.
    """

    kind: Kind
    connection_class: type
    options: Mapping[str, Any] = field(repr=False)
    max_connections: int
    nodes: tuple[Address, ...] = ()
    service: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def without_ours(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` without those that the pool, the deadline and the breaker decide."""
    return {name: value for name, value in options.items() if name not in _OURS}


def from_client(client: object) -> Target:
    """Where `client`, a redis.Redis, connects to.

    Raises ConfigurationError, without any value, if it is something else or has an option that
    its connections refuse.
    """
    if not isinstance(client, redis.Redis):
        raise ConfigurationError(
            f"redis_client is a {type(client).__qualname__}: give a redis.Redis or a Remote, "
            f"or redis_url='redis+cluster://...' for a cluster"
        )
    pool = client.connection_pool
    options = without_ours(pool.connection_kwargs)
    target = Target("server", pool.connection_class, options, pool.max_connections)
    if isinstance(pool, SentinelConnectionPool):
        target = _from_sentinel(pool, options)
    try:
        target.connection_class(**target.options)
    except Exception as error:  # noqa: BLE001  # whatever redis-py refuses, and however
        raise ConfigurationError(
            f"redis_client has an option that its connections refuse ({type(error).__qualname__})"
        ) from None
    return target


def _from_sentinel(pool: SentinelConnectionPool, options: dict[str, Any]) -> Target:
    if not pool.is_master:
        raise ConfigurationError("redis_client reads from replicas: give Sentinel's master_for()")
    manager = pool.sentinel_manager
    sentinels = [client.connection_pool.connection_kwargs for client in manager.sentinels]
    is_tls = issubclass(pool.connection_class, redis.SSLConnection)
    return Target(
        "sentinel",
        redis.SSLConnection if is_tls else redis.Connection,
        {name: value for name, value in options.items() if name != "connection_pool"},
        pool.max_connections,
        tuple((options["host"], options["port"]) for options in sentinels),
        pool.service_name,
        dict(manager.sentinel_kwargs),
    )
