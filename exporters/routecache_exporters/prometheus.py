"""The Prometheus collector: one snapshot per scrape, turned into metric families.

With several workers it is the snapshots of all of them (multiprocess.py).

Nothing is counted here and nothing happens between scrapes, so an idle exporter costs the cache
nothing. A collector must not raise, or the whole scrape is lost, the program's own metrics with
it. So each piece (reading the snapshot, each cache, each endpoint) is complete or left out: a
missing series is a gap that rate() and increase() bridge, whereas half a cache would break the
books, and a sum without one of its parts would look like a counter reset. What is left out shows
in `collect_success`.

The families carry no creation time, so no `_created` series are exported, whatever
`prometheus_client.enable_created_metrics()` says.
"""

import logging
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

from prometheus_client.core import (
    REGISTRY,
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from routecache import exemplars, forking
from routecache import registry as caches
from routecache.cells import HistogramSnapshot
from routecache.errors import ConfigurationError
from routecache.registry import ProcessSnapshot
from routecache.typing import Timer
from routecache_exporters.bounds import DEFAULT_LIMIT, LabelBounds
from routecache_exporters.build import build_info
from routecache_exporters.catalog import METRICS
from routecache_exporters.gather import gather
from routecache_exporters.metric import Metric
from routecache_exporters.multiprocess import WorkersReader
from routecache_exporters.rows import Value
from routecache_exporters.scrape import Scrape
from routecache_exporters.tracing import trace_labels

DEFAULT_MAX_CACHES: Final = 64

_log = logging.getLogger("routecache.exporters")


class RoutecacheCollector(Collector):
    """Exports all caches and L2 endpoints of this process.

    snapshot: where the numbers come from; called once per scrape.
    max_caches: how many cache names get their own `cache` label, first come, first served; all
        further ones add up under `other`.
    timer: a monotonic clock in seconds, for `collect_duration_seconds`.
    workers: a directory of `routecache.multiprocess` whose workers to export all together; None
        is the one that this process counts in, if it counts in one.

    Safe for threads; scrapes may overlap. Raises ConfigurationError if `max_caches` is below 1.
    Most programs want `register()` instead of this constructor.
    """

    def __init__(
        self,
        snapshot: Callable[[], ProcessSnapshot] = caches.snapshot,
        *,
        max_caches: int = DEFAULT_MAX_CACHES,
        timer: Timer = time.perf_counter,
        workers: str | os.PathLike[str] | None = None,
    ) -> None:
        if max_caches < 1:
            raise ConfigurationError(f"max_caches={max_caches!r}: give a number of at least 1")
        self.max_caches = max_caches
        self._snapshot = snapshot
        self._workers = WorkersReader(workers)
        self._timer = timer
        self._bounds = LabelBounds(
            {"cache": max_caches, "l2": DEFAULT_LIMIT, "provider": DEFAULT_LIMIT}
        )
        self._build = build_info()
        self._failures: Mapping[str, str] = {}

    def describe(self) -> Iterable[Family]:
        """All families without samples, from which a registry learns the names."""
        return [_family(metric, {}) for metric in METRICS]

    def collect(self) -> Iterable[Family]:
        """All families of one snapshot taken now. Never raises."""
        scrape = Scrape(self._bounds, self._timer)
        columns = gather(scrape, self._snapshot, self._build, self._workers)
        self._log_changes(scrape.failures)
        return [_family(metric, column) for metric, column in columns.items()]

    def _log_changes(self, failures: Mapping[str, str]) -> None:
        before, self._failures = self._failures, failures
        for collector, error in failures.items():
            if before.get(collector) != error:  # once per change, not once per scrape
                _log.warning("scrape incomplete: collector %s raised %s", collector, error)


_collectors: "weakref.WeakKeyDictionary[CollectorRegistry, RoutecacheCollector]" = (
    weakref.WeakKeyDictionary()
)
_lock = forking.RenewedLock()


def register(
    registry: CollectorRegistry = REGISTRY,
    *,
    max_caches: int | None = None,
    workers: str | os.PathLike[str] | None = None,
) -> RoutecacheCollector:
    """Add routecache's metrics to `registry`, once; further calls return the same collector.

    From then on observations off the hit path that are made under a sampled OpenTelemetry span
    are remembered as exemplars, see `tracing.py`.

    registry: by default prometheus_client's global one, which a program's own /metrics serves.
    max_caches: see `RoutecacheCollector`; 64 unless said.
    workers: see there; counts only where the registry has no collector of routecache's yet.

    Raises ConfigurationError if the registry has a collector with another `max_caches` already,
    and ValueError if something else there exports one of the names. Safe for threads.
    """
    with _lock:
        known = _collectors.get(registry)
        if known is not None and max_caches not in (None, known.max_caches):
            raise ConfigurationError(
                f"max_caches={max_caches!r}: this registry already exports routecache with "
                f"max_caches={known.max_caches}; give it in the first call of register()"
            )
        collector = known or RoutecacheCollector(
            max_caches=max_caches or DEFAULT_MAX_CACHES, workers=workers
        )
        try:
            registry.register(collector)
        except ValueError:  # duplicate names: its own, unless it is new here
            if known is None:
                raise
        _collectors[registry] = collector
        if not exemplars.has_source():  # the program's own has precedence
            exemplars.set_exemplar_source(trace_labels)
        return collector


def _family(metric: Metric, column: Mapping[tuple[str, ...], Value]) -> Family:
    if metric.type == "histogram":
        histogram = HistogramMetricFamily(
            metric.name, metric.help, labels=metric.labels, unit=metric.unit
        )
        for labels, value in column.items():
            assert isinstance(value, HistogramSnapshot)
            histogram.add_metric(labels, _buckets(value), value.sum)
        return histogram
    if metric.type == "info":
        info = InfoMetricFamily(
            metric.name.removesuffix("_info"), metric.help, labels=metric.labels
        )
        for labels in column:
            info.add_metric(labels, {})
        return info
    single = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = single(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
    for labels, value in column.items():
        assert not isinstance(value, HistogramSnapshot)
        family.add_metric(labels, value)
    return family


def _buckets(value: HistogramSnapshot) -> list[Any]:
    """Name and cumulative count of each bucket, with its exemplar as a third item if it has one."""
    buckets = zip(_bucket_labels(value.bounds), accumulate(value.counts), strict=True)
    if not value.exemplars:
        return list(buckets)
    found = value.exemplars
    return [
        (*bucket, _exemplar(found[i])) if i in found else bucket for i, bucket in enumerate(buckets)
    ]


def _exemplar(exemplar: exemplars.Exemplar) -> Exemplar:
    return Exemplar(dict(exemplar.labels), exemplar.value, exemplar.timestamp)


@lru_cache(maxsize=32)
def _bucket_labels(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(floatToGoString, bounds), "+Inf")
