"""The L2 endpoints of this process: what managers of one URL or client share."""

from collections.abc import Callable
from typing import TypeAlias

import redis

from routecache import forking
from routecache.remote import target, urls
from routecache.remote.cluster import Cluster
from routecache.remote.node import CONNECT_TIMEOUT, Node
from routecache.remote.sentinel import primary_node
from routecache.remote.target import Target

__all__ = ["CONNECT_TIMEOUT", "Endpoint", "acquire", "in_use", "release"]

Endpoint: TypeAlias = Node

_MAX_ALIASES = 8


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
        endpoint.close()

    def _alias(self) -> str:
        # Ordinals, because a label must never hold a host; nearly every process has one endpoint.
        if self._aliases >= _MAX_ALIASES:
            return "other"
        return "redis" if not self._aliases else f"redis{self._aliases + 1}"

    def in_use(self) -> list[Endpoint]:
        return list(self._by_target.values())


_endpoints = _Endpoints()


def acquire(url: str | None, client: "redis.Redis | None") -> Endpoint:
    """The endpoint for `url`, or the one that `client` is configured for; `release` it after use.

    A `client` gives its address, credentials and TLS options; its own connections are not used,
    since their time-outs cannot bound a call, and it is never closed. Raises ConfigurationError
    naming what cannot work, without the URL's password.
    """
    if client is not None:
        where = target.from_client(client)
        return _endpoints.acquire(client.connection_pool, lambda alias: _make(alias, where))
    assert url is not None
    return _endpoints.acquire(url, lambda alias: _make(alias, urls.parse(url)))


release = _endpoints.release
in_use = _endpoints.in_use


def _make(alias: str, where: Target) -> Endpoint:
    if where.kind == "sentinel":
        return primary_node(alias, where)
    if where.kind == "cluster":
        return Cluster(alias, where)
    return Node(alias, where)
