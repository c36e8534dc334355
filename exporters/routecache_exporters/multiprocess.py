"""All workers of a service in one answer, whichever of them is asked.

Counters and histograms come from what the workers counted in their files, ended ones included;
gauges and infos from what the living ones say of themselves. `merging.py` makes one snapshot of
them, which /metrics, /stats.json and the status page then treat as that of a single process.

Each worker serves as if it were alone: `make_asgi_app`, `make_wsgi_app` and `start_http_server`
notice that `routecache.multiprocess` is in use. A process that is no worker itself is given the
directory: `routecache exporter --multiproc-dir`, `RoutecacheCollector(workers=...)`.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from routecache import forking, multiprocess, publishing
from routecache.cells import Cell, Cells
from routecache.errors import ConfigurationError
from routecache.multiprocess.survey import Survey, Surveyor
from routecache.multiprocess.totals import Totals
from routecache.registry import ProcessSnapshot
from routecache.remote.hearing import ListenerStats
from routecache.stats import CacheStats, EndpointStats
from routecache_exporters.merging import merge


@dataclass(frozen=True, slots=True)
class WorkersSnapshot(ProcessSnapshot):
    """All workers of a directory as one process.

    processes: how many of them live. A master that preloads the application is one of them.
    since: when the directory began to be counted in, in seconds since the epoch; None if nobody
        has yet.
    problem: what had to be left out, or "".
    """

    processes: int = 0
    since: float | None = None
    problem: str = ""


class WorkersReader:
    """Reads the workers' files for one collector or site.

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

    def read(self, own: ProcessSnapshot) -> WorkersSnapshot:
        """All workers, with `own` as the state of this process if it is one of them.

        Raises OSError or UnreadableError if the sums of all cannot be told, ConfigurationError if
        this process cannot count where it should.
        """
        # Who only reads the files of others does not become one of them.
        store = multiprocess.current() if self._directory is None else multiprocess.counting()
        directory = self._directory
        if directory is None:
            assert store is not None
            directory = store.directory
        file = store.file if store is not None and store.directory == directory else None
        if file is not None and store is not None:
            # Whoever is asked next tells the same of this process, so that answers that come from
            # several workers in turn do not go back and forth.
            store.publish(lambda: publishing.encode(own))
        with self._lock:
            if self._surveyor is None:
                self._surveyor = Surveyor(directory)
            survey = self._surveyor.survey()
        return _merged(survey, own, None if file is None else file.name)


def _merged(survey: Survey, own: ProcessSnapshot, own_file: str | None) -> WorkersSnapshot:
    problems = dict(survey.problems)
    living = [] if own_file is None else [own]
    for name, gauges in survey.gauges.items():
        if not gauges or name == own_file:
            continue
        try:
            living.append(publishing.decode(gauges))
        except ValueError as error:
            problems[name] = type(error).__name__
    merged = merge(snapshot_of(survey.totals), living)
    kinds = ", ".join(sorted(set(problems.values())))
    return WorkersSnapshot(
        merged.caches,
        merged.endpoints,
        merged.providers,
        merged.broken,
        processes=len(survey.gauges),
        since=survey.since,
        problem=f"{kinds} in {len(problems)} files" if problems else "",
    )


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
    endpoints = [
        ListenerStats(_Sum(totals.of(("listener", alias))))
        .snapshot(alias, {})
        .with_endpoint(EndpointStats(_Sum(totals.of(("l2", alias)))).snapshot(alias))
        for alias in sorted({owner[1] for owner in names if owner[0] in ("l2", "listener")})
    ]
    return ProcessSnapshot(tuple(caches), tuple(endpoints))
