"""Which transport carries commands to an endpoint, and which servers it consists of."""

from collections.abc import Sequence

from routecache.remote.cluster import Cluster
from routecache.remote.cluster_transport import ClusterTransport
from routecache.remote.endpoint import Endpoint
from routecache.remote.node import Node
from routecache.remote.server import ServerTransport
from routecache.remote.transport import Transport


def transport_for(endpoint: Endpoint) -> Transport:
    """A transport to what `endpoint` is: one server, Sentinel's primary or a cluster."""
    return (
        ClusterTransport(endpoint) if isinstance(endpoint, Cluster) else ServerTransport(endpoint)
    )


def primaries_of(endpoint: Endpoint) -> Sequence[Node]:
    """The primaries as they are known now; a cluster's may be none yet, and change."""
    return endpoint.nodes if isinstance(endpoint, Cluster) else (endpoint,)
