"""The last minutes, for a page that was opened just now and for what happened lately.

A thread reads the counters every five seconds, because nobody else comes by regularly: a scraper
may come each minute or never, and an operator opens the page when the trouble has begun already.
It starts when the site is first asked for something or told to serve, not when it is made: what
makes a WSGI application may fork before it serves. It costs a snapshot each time, and what it
keeps is bounded: whole readings for one minute, and four numbers per cache for five.
"""

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from routecache import forking
from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, EndpointSnapshot
from routecache.typing import Timer
from routecache_exporters.bounds import DEFAULT_LIMIT
from routecache_exporters.performance_shapes import CacheHistory, EndpointHistory
from routecache_exporters.performance_shapes import History as HistoryShape
from routecache_exporters.prometheus import DEFAULT_MAX_CACHES
from routecache_exporters.reading import Reading, read, together

INTERVAL: Final = 5.0
"""Seconds between two readings."""

POINTS: Final = 60
"""Readings that are kept in part: five minutes of them."""

MINUTE: Final = 60.0
"""Seconds for which readings are kept whole."""

LATELY: Final = 5.0
"""Seconds for which a problem that shows in counters alone lasts at least."""

_log = logging.getLogger("routecache.exporters")


@dataclass(frozen=True, slots=True)
class _Point:
    time: float
    caches: Mapping[str, tuple[int, int, int, int]]
    endpoints: Mapping[str, tuple[int, float, str]]


class History:
    """Reads `source` every `INTERVAL` seconds once it is started, and keeps the last minutes.

    The first 64 caches and 16 endpoints are kept. Safe for threads; a forked child starts empty
    and stopped. Ends with its last reference too.
    """

    def __init__(
        self,
        source: Callable[[], ProcessSnapshot],
        *,
        timer: Timer = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._timer = timer
        self._clock = clock
        self._lock = threading.Lock()
        self._forget()
        forking.reset_in_child(self)

    def _forget(self) -> None:
        self._thread: threading.Thread | None = None
        self._end: Callable[[], object] | None = None
        self._ended = threading.Event()
        self._points: deque[_Point] = deque(maxlen=POINTS)
        # One more than fits in the minute, so that there is always one that is a minute old.
        self._readings: deque[Reading] = deque(maxlen=round(MINUTE / INTERVAL) + 1)

    def reset_after_fork(self) -> None:
        """Forget the parent's minutes; its thread does not exist here."""
        self._lock = threading.Lock()
        self._forget()

    def start(self) -> None:
        """Take readings from now on; without effect if that has begun already."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                # The thread holds no reference to this object between two readings, so that a
                # site that nobody holds any more takes its thread with it.
                self._thread = threading.Thread(
                    target=_run,
                    args=(weakref.ref(self), self._ended),
                    name="routecache-history",
                    daemon=True,
                )
                # Also at exit, before daemon threads freeze with a lock in their hands.
                self._end = weakref.finalize(self, self._ended.set)
                self._thread.start()

    def stop(self) -> None:
        """Take no more readings until `start`, and forget those that there are."""
        with self._lock:
            if self._end is not None:
                self._end()
                self._forget()

    def read(self) -> Reading:
        """Read the source now, keeping nothing; raises what it raises."""
        return read(self._source, self._timer, self._clock)

    def take(self) -> None:
        """Take one reading and keep it; a source that raises leaves a gap."""
        try:
            reading = self.read()
            snapshot = reading.snapshot
            point = _Point(
                reading.time,
                {each.name: _counts(each) for each in islice(snapshot.caches, DEFAULT_MAX_CACHES)},
                {each.alias: _state(each) for each in islice(snapshot.endpoints, DEFAULT_LIMIT)},
            )
        except Exception as error:  # noqa: BLE001  # the next one may succeed
            _log.debug("no reading for the history: %s", type(error).__name__)
            return
        with self._lock:
            self._readings.append(reading)
            self._points.append(point)

    def pause(self) -> float:
        """Seconds until the next reading: all processes read at the same moments of the clock.

        So answers of several workers in turn compare with the same moment, and agree.
        """
        left = INTERVAL - self._clock() % INTERVAL
        return left if left > INTERVAL / 10 else left + INTERVAL

    def before(self, now: Reading, seconds: float) -> Reading | None:
        """The newest reading at least `seconds` older than `now`, else the oldest; None without."""
        with self._lock:
            # The thread may have read since `now`: compared with that, no counter has grown but
            # all have fallen, and what a process counted in a week would have happened just now.
            readings = [each for each in self._readings if each.at <= now.at]
        old = [each for each in readings if now.at - each.at >= seconds]
        return old[-1] if old else next(iter(readings), None)

    def columns(self) -> HistoryShape:
        """What is kept, as JSON types."""
        with self._lock:
            points = list(self._points)
        caches = dict.fromkeys(name for point in points for name in point.caches)
        endpoints = dict.fromkeys(alias for point in points for alias in point.endpoints)
        return {
            "interval_seconds": INTERVAL,
            "times": [point.time for point in points],
            "caches": {name: _cache_columns(points, name) for name in caches},
            "endpoints": {alias: _endpoint_columns(points, alias) for alias in endpoints},
        }


def _run(history: "weakref.ref[History]", ended: threading.Event) -> None:
    while True:
        alive = history()
        if alive is None:
            return
        alive.take()
        pause = alive.pause()
        del alive
        if ended.wait(pause):
            return


def _counts(each: CacheSnapshot) -> tuple[int, int, int, int]:
    return each.requests, each.l1_hits, each.l2_hits, each.misses.get("l2_unavailable", 0)


def _state(each: EndpointSnapshot) -> tuple[int, float, str]:
    operations = together(each.operation_duration.values())
    return operations.count, operations.sum, each.circuit


def _cache_columns(points: list[_Point], name: str) -> CacheHistory:
    rows = [point.caches.get(name) for point in points]
    return {
        "requests": [row and row[0] for row in rows],
        "l1_hits": [row and row[1] for row in rows],
        "l2_hits": [row and row[2] for row in rows],
        "l2_unavailable": [row and row[3] for row in rows],
    }


def _endpoint_columns(points: list[_Point], alias: str) -> EndpointHistory:
    rows = [point.endpoints.get(alias) for point in points]
    return {
        "operations": [row and row[0] for row in rows],
        "operation_seconds": [row and row[1] for row in rows],
        "circuit": [row and row[2] for row in rows],
    }
