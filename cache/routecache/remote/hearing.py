"""What a listener has heard and in which state it is: the numbers that leave it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from routecache import multiprocess
from routecache.cells import Cells, Histogram, HistogramSnapshot
from routecache.stats import LAG_BOUNDS, EndpointSnapshot

State: TypeAlias = Literal["connected", "disconnected"]


@dataclass(slots=True)
class Status:
    """A listener's state, written by its thread and read by any. Times are the timer's seconds.

    mode: how changes are heard, None until a server was asked; `mute` once a server refused a
    heartbeat, and `forbidden` once one refused to be listened to, each of which is logged once.
    """

    generation: int = 0
    state: State = "disconnected"
    connected_since: float | None = None
    disconnected_since: float | None = None
    up: int = 0
    primaries: int = 0
    mode: Literal["tracking", "pubsub"] | None = None
    mute: bool = False
    forbidden: bool = False

    def connected(self, now: float) -> None:
        """All primaries are listened to."""
        self.generation += 1
        self.connected_since, self.disconnected_since = now, None
        self.state = "connected"

    def disconnected(self, at: float) -> None:
        """What changed after `at` was perhaps not heard."""
        self.state = "disconnected"
        since = self.disconnected_since
        self.connected_since = None
        self.disconnected_since = at if since is None else min(at, since)


@dataclass(frozen=True, slots=True)
class ListenerSnapshot:
    """A listener's counters and gauges at one moment.

    `states` is the number of primaries by state; `probes` heartbeats by result, ok or lost; `lag`
    how long those that were heard took, in seconds; `received` messages, heartbeats apart.
    """

    alias: str
    states: Mapping[str, int]
    reconnects: int
    probes: Mapping[str, int]
    lag: HistogramSnapshot
    received: int

    def with_endpoint(self, endpoint: EndpointSnapshot) -> EndpointSnapshot:
        """`endpoint` with what its listener has heard."""
        return replace(
            endpoint,
            listeners=self.states,
            listener_reconnects=self.reconnects,
            invalidation_probes=self.probes,
            invalidation_lag=self.lag,
        )


class ListenerStats:
    """The counters of the listeners of one alias. Safe for threads; a forked child starts at 0."""

    def __init__(self, cells: Cells | None = None) -> None:
        self._cells = cells or Cells()

    def heard(self, lag: float) -> None:
        """A heartbeat came back after `lag` seconds."""
        with self._cells.recording() as cell:
            cell.add("probes", "ok")
            cell.observe(LAG_BOUNDS, lag, "lag")

    def lost(self, beats: int) -> None:
        """So many heartbeats will not come back."""
        if beats:
            with self._cells.recording() as cell:
                cell.add("probes", "lost", n=beats)

    def reconnected(self) -> None:
        """A primary is listened to again."""
        with self._cells.recording() as cell:
            cell.add("reconnects")

    def received(self) -> None:
        """A message came that was not only a heartbeat."""
        with self._cells.recording() as cell:
            cell.add("received")

    def snapshot(self, alias: str, states: Mapping[str, int]) -> ListenerSnapshot:
        """The sums over all threads."""
        total = self._cells.total()
        counts = total.counts
        return ListenerSnapshot(
            alias=alias,
            states=MappingProxyType(dict(states)),
            reconnects=counts.get(("reconnects",), 0),
            probes=MappingProxyType(
                {result: counts.get(("probes", result), 0) for result in ("ok", "lost")}
            ),
            lag=total.histograms.get(("lag",), Histogram(LAG_BOUNDS)).freeze(),
            received=counts.get(("received",), 0),
        )


# By alias, as the endpoints' own counters: none falls when a listener goes and another comes.
_stats: dict[str, ListenerStats] = {}


def stats_for(alias: str) -> ListenerStats:
    """The counters of the listeners called `alias`, made on first use."""
    return _stats.get(alias) or _stats.setdefault(
        alias, ListenerStats(Cells(multiprocess.cell_maker("listener", alias)))
    )
