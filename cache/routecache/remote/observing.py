"""The L2 endpoints of this process, as exporters see them: servers and listener together."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby

from routecache.remote import endpoint as endpoints
from routecache.remote.listener import listener_of
from routecache.stats import EndpointSnapshot


def snapshots() -> Iterable[EndpointSnapshot]:
    """One snapshot for each alias. Safe for threads; asks no server."""
    seen = sorted(map(_observed, endpoints.in_use()), key=_alias)
    return [_together(list(same)) for _, same in groupby(seen, _alias)]


def _alias(snapshot: EndpointSnapshot) -> str:
    return snapshot.alias


def _observed(endpoint: endpoints.Endpoint) -> EndpointSnapshot:
    seen, listener = endpoint.snapshot(), listener_of(endpoint)
    return seen if listener is None else listener.snapshot().with_endpoint(seen)


def _together(same: list[EndpointSnapshot]) -> EndpointSnapshot:
    # Endpoints beyond the bound on aliases share one, and with it the counters: those are equal in
    # all of them, up to what was counted meanwhile, and only the gauges add up.
    *others, last = same
    if not others:
        return last
    return replace(
        last,
        circuit=min((s.circuit for s in same), key=("closed", "half_open", "open").index),
        circuits=_sum([s.circuits or {s.circuit: 1} for s in same]),
        listeners=_sum([s.listeners for s in same]),
        connections_in_use=sum(s.connections_in_use for s in same),
        connections_idle=sum(s.connections_idle for s in same),
        max_connections=sum(s.max_connections for s in same),
    )


def _sum(counts: list[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total
