"""All workers of a service in one answer, whichever of them is asked.

Counters and histograms come from what the workers counted in their files, ended ones included;
gauges and infos from what the living ones say of themselves. The catalogue decides which is which,
and how values of one label set become one: `Scrape.add` does that for several workers as it does
for several caches.

Each worker serves /metrics as if it were alone: `make_asgi_app`, `make_wsgi_app` and
`start_http_server` notice that `routecache.multiprocess` is in use. A process that is no worker
itself gives `RoutecacheCollector` the directory.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from routecache import forking, multiprocess, publishing
from routecache.cells import Cell, Cells, Histogram, HistogramSnapshot
from routecache.errors import ConfigurationError
from routecache.multiprocess.survey import Survey, Surveyor
from routecache.multiprocess.totals import Totals, rebucketed
from routecache.registry import ProcessSnapshot
from routecache.remote.hearing import ListenerStats
from routecache.stats import CacheStats, EndpointSnapshot, EndpointStats
from routecache_exporters.rows import Row, Value

Select: TypeAlias = Callable[[Iterable[Row]], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Source:
    """A snapshot, and which of its rows are to be exported as what."""

    snapshot: ProcessSnapshot
    select: Select


@dataclass(frozen=True, slots=True)
class Workers:
    """What a directory of workers gives. `problem` tells what had to be left out, or is ""."""

    sources: tuple[Source, ...]
    problem: str


def alone(rows: Iterable[Row]) -> Iterable[Row]:
    """The rows of the only process there is: all of them."""
    return rows


def counted(rows: Iterable[Row]) -> Iterator[Row]:
    """What was counted by all workers that ever were, in the catalogue's buckets."""
    for metric, labels, value in rows:
        if metric.type in ("counter", "histogram"):
            yield metric, labels, _in_buckets(value, metric.buckets or ())


def living(rows: Iterable[Row]) -> Iterator[Row]:
    """What a living worker is like now. Its counters are among those of all, and are 0 here: they
    say which label sets it can reach, and bring its exemplars.
    """
    for metric, labels, value in rows:
        if metric.type in ("gauge", "info"):
            yield metric, labels, value
        else:
            yield metric, labels, _nothing(value, metric.buckets or ())


class WorkersReader:
    """Reads the workers' files for one collector.

    directory: None for the one that this process counts in, if it counts in one.

    Safe for threads.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._directory = None if directory is None else Path(directory).absolute()
        self._surveyor: Surveyor | None = None
        self._lock = threading.Lock()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Replace the lock, which a thread that does not exist here may have held."""
        self._lock = threading.Lock()
        self._surveyor = None

    @property
    def in_use(self) -> bool:
        """Whether there are workers to read, and not this process alone."""
        try:
            return self._directory is not None or multiprocess.current() is not None
        except ConfigurationError:
            return True  # and `read` tells why there are none

    def read(self, own: ProcessSnapshot) -> Workers:
        """All workers, with `own` as the state of this process if it is one of them.

        Raises OSError or UnreadableError if the sums of all cannot be told.
        """
        store = multiprocess.current()
        directory = self._directory
        if directory is None:
            assert store is not None
            directory = store.directory
        with self._lock:
            if self._surveyor is None:
                self._surveyor = Surveyor(directory)
            survey = self._surveyor.survey()
        file = store.file if store is not None and store.directory == directory else None
        return _sources(survey, own, file.name if file is not None else None)


def _sources(survey: Survey, own: ProcessSnapshot, own_file: str | None) -> Workers:
    problems = dict(survey.problems)
    snapshots = [own] if own_file is not None else []
    for name, gauges in survey.gauges.items():
        if not gauges or name == own_file:
            continue
        try:
            snapshots.append(publishing.decode(gauges))
        except ValueError as error:
            problems[name] = type(error).__name__
    sources = (
        Source(snapshot_of(survey.totals), counted),
        *(Source(snapshot, living) for snapshot in snapshots),
    )
    kinds = ", ".join(sorted(set(problems.values())))
    return Workers(sources, f"{kinds} in {len(problems)} files" if problems else "")


class _Sum(Cells):
    """Cells whose sum is known already."""

    def __init__(self, total: Cell) -> None:
        self._total = total

    def total(self) -> Cell:
        return self._total


def snapshot_of(totals: Totals) -> ProcessSnapshot:
    """The counters of `totals` by cache and endpoint, as one process would tell them."""
    names = sorted(totals.by_owner)
    caches = [
        CacheStats(owner[1], _Sum(totals.of(owner))).snapshot()
        for owner in names
        if owner[0] == "cache"
    ]
    endpoints = []
    for alias in sorted({owner[1] for owner in names if owner[0] in ("l2", "listener")}):
        heard = ListenerStats(_Sum(totals.of(("listener", alias)))).snapshot(alias, {})
        stats = EndpointStats(_Sum(totals.of(("l2", alias))))
        endpoints.append(
            EndpointSnapshot(
                alias=alias,
                circuit="",
                operation_duration=stats.operation_duration(),
                connections_in_use=0,
                connections_idle=0,
                max_connections=0,
                connection_wait=stats.connection_wait(),
                circuit_transitions=stats.circuit_transitions(),
                circuit_failures=stats.circuit_failures(),
                listener_reconnects=heard.reconnects,
                invalidation_probes=heard.probes,
                invalidation_lag=heard.lag,
            )
        )
    return ProcessSnapshot(tuple(caches), tuple(endpoints))


def _in_buckets(value: Value, bounds: tuple[float, ...]) -> Value:
    if not isinstance(value, HistogramSnapshot) or value.bounds == bounds:
        return value
    histogram = Histogram(value.bounds)
    histogram.counts, histogram.sum = list(value.counts), value.sum
    return rebucketed(histogram, bounds).freeze()


def _nothing(value: Value, bounds: tuple[float, ...]) -> Value:
    if not isinstance(value, HistogramSnapshot):
        return 0.0
    exemplars = value.exemplars if value.bounds == bounds else {}
    return HistogramSnapshot(bounds, (0,) * (len(bounds) + 1), 0.0, exemplars)
