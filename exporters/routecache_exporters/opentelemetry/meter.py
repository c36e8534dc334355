"""Every metric of the catalogue as observable instruments, read from one snapshot per collection.

Nothing is recorded when something happens: an SDK's `add` takes longer than an L1 hit. A reader
that collects calls one callback for each instrument, and all of them answer from one snapshot, so
that the books balance within a collection as they do on a page of /metrics. The API does not tell
where a collection begins; it has begun when an instrument is asked that has answered from the
present snapshot already.

An instrument cannot be taken back from a provider. Switched off, its callback observes nothing,
and the SDK exports nothing of it.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from itertools import accumulate
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from prometheus_client.utils import floatToGoString

from routecache import forking
from routecache import registry as caches
from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.typing import Timer
from routecache_exporters.bounds import DEFAULT_LIMIT, LabelBounds
from routecache_exporters.build import build_info
from routecache_exporters.gather import gather
from routecache_exporters.opentelemetry.naming import LE, Instrument, instruments
from routecache_exporters.rows import Value
from routecache_exporters.scrape import Columns, Scrape

_log: Final = logging.getLogger("routecache.exporters")


class Observed:
    """What the instruments of one meter observe. Safe for threads; a forked child reads anew.

    snapshot: where the numbers come from; called once per collection.
    max_caches: how many cache names are told apart; further ones add up under `other`.
    timer: a monotonic clock in seconds, for `routecache.collect.duration`.
    """

    def __init__(
        self,
        max_caches: int,
        snapshot: Callable[[], ProcessSnapshot] = caches.snapshot,
        timer: Timer = time.perf_counter,
    ) -> None:
        self.max_caches = max_caches
        self.on = True
        self._snapshot = snapshot
        self._timer = timer
        self._bounds = LabelBounds(
            {"cache": max_caches, "l2": DEFAULT_LIMIT, "provider": DEFAULT_LIMIT}
        )
        self._build = build_info()
        self._failures: Mapping[str, str] = {}
        self.reset_after_fork()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the snapshot, which is the parent's, and a lock that nobody here holds."""
        self._lock = threading.Lock()
        self._columns: Columns = {}
        self._answered: set[str] = set()

    def create(self, meter: Meter) -> None:
        """Create all instruments on `meter`."""
        make = {
            "counter": meter.create_observable_counter,
            "up_down_counter": meter.create_observable_up_down_counter,
            "gauge": meter.create_observable_gauge,
        }
        for instrument in instruments():
            make[instrument.kind](
                instrument.name,
                callbacks=[partial(self.observe, instrument)],
                unit=instrument.unit,
                description=instrument.description,
            )

    def observe(self, instrument: Instrument, options: CallbackOptions) -> Iterable[Observation]:
        """What `instrument` observes in this collection. Never raises."""
        del options  # a snapshot takes far less than any time-out
        if not self.on:
            return ()
        try:
            column = self._column(instrument)
            return [
                seen for labels, value in column.items() for seen in _of(instrument, labels, value)
            ]
        except Exception as error:  # noqa: BLE001  # the other instruments' numbers are not lost
            self._log_changes({instrument.name: type(error).__name__})
            return ()

    def _column(self, instrument: Instrument) -> Mapping[tuple[str, ...], Value]:
        with self._lock:
            if not self._columns or instrument.name in self._answered:
                scrape = Scrape(self._bounds, self._timer)
                self._columns = gather(scrape, self._snapshot, self._build)
                self._answered = set()
                self._log_changes(scrape.failures)
            self._answered.add(instrument.name)
            return self._columns[instrument.metric]

    def _log_changes(self, failures: Mapping[str, str]) -> None:
        before, self._failures = self._failures, failures
        for collector, error in failures.items():
            if before.get(collector) != error:  # once per change, not once per collection
                _log.warning("collection incomplete: %s raised %s", collector, error)


def _of(instrument: Instrument, labels: tuple[str, ...], value: Value) -> Iterable[Observation]:
    attributes = dict(zip(instrument.metric.labels, labels, strict=True))
    if not isinstance(value, HistogramSnapshot):
        if math.isfinite(value):  # an endless TTL, which the SDK would complain of each time
            yield Observation(value, attributes)
    elif instrument.part == "sum":
        yield Observation(value.sum, attributes)
    elif instrument.part == "count":
        yield Observation(value.count, attributes)
    else:
        for le, number in zip(bounds_as_text(value.bounds), accumulate(value.counts), strict=True):
            yield Observation(number, {**attributes, LE: le})


@lru_cache(maxsize=32)
def bounds_as_text(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """The values of `le`, written as Prometheus writes them."""
    return (*map(floatToGoString, bounds), "+Inf")
