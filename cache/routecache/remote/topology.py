"""Which transport carries commands to an endpoint, and which servers it consists of."""

import functools
import time
from collections.abc import Callable, Sequence

import redis

from routecache.remote.aio_cluster import AsyncClusterTransport
from routecache.remote.aio_server import AsyncServerTransport
from routecache.remote.cluster import Cluster
from routecache.remote.cluster_transport import ClusterTransport
from routecache.remote.endpoint import Endpoint
from routecache.remote.node import CONNECT_TIMEOUT, Node
from routecache.remote.server import ServerTransport
from routecache.remote.transport import AsyncTransport, Transport


def transport_for(endpoint: Endpoint) -> Transport:
    """A transport to what `endpoint` is: one server, Sentinel's primary or a cluster."""
    return (
        ClusterTransport(endpoint) if isinstance(endpoint, Cluster) else ServerTransport(endpoint)
    )


def async_transport_for(endpoint: Endpoint) -> AsyncTransport:
    """`transport_for` for tasks. Raises ConfigurationError for options that need a sync one."""
    if isinstance(endpoint, Cluster):
        return AsyncClusterTransport(endpoint)
    return AsyncServerTransport(endpoint)


def primaries_of(endpoint: Endpoint) -> Sequence[Node]:
    """The primaries as they are known now; a cluster's may be none yet, and change."""
    return endpoint.nodes if isinstance(endpoint, Cluster) else (endpoint,)


def is_cluster(endpoint: Endpoint) -> bool:
    """Whether its keys are spread over several primaries."""
    return endpoint.target.kind == "cluster"


def moves(endpoint: Endpoint) -> bool:
    """Whether its primaries may be others later: behind Sentinel, or in a cluster."""
    return endpoint.target.kind in {"sentinel", "cluster"}


def clients_of(endpoint: Endpoint) -> Sequence[Callable[[], redis.Redis]]:
    """A factory for each primary as it is now, for the listener. Asks for them: may block."""
    if isinstance(endpoint, Cluster) and not endpoint.nodes:
        endpoint.refresh(time.monotonic() + CONNECT_TIMEOUT)
    return [_client(node) for node in primaries_of(endpoint)]


def _client(node: Node) -> Callable[[], redis.Redis]:
    options = dict(node.target.options)
    address = node.locate() if node.locate is not None else node.address
    if address is not None:
        options |= {"host": address[0], "port": address[1]}
    pool = redis.ConnectionPool(connection_class=node.target.connection_class, **options)
    return functools.partial(redis.Redis, connection_pool=pool)
