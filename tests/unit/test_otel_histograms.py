"""An exporter with routecache's histograms as histograms."""

import builtins
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    Metric,
    MetricExporter,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import DropAggregation, View

from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import REQUEST_BOUNDS
from routecache_exporters.opentelemetry import with_histograms
from routecache_exporters.opentelemetry.meter import Observed
from tests.otel import Kept, values
from tests.snapshots import cache

NAME = "routecache.request.duration"
LABELS = {"cache": "model", "outcome": "load"}


def durations(*counts: int, total: float) -> HistogramSnapshot:
    rest = (0,) * (len(REQUEST_BOUNDS) + 1 - len(counts))
    return HistogramSnapshot(REQUEST_BOUNDS, (*counts, *rest), total)


class Program:
    """A program whose reader has an exporter with histograms."""

    def __init__(self, kept: Kept, **options: Any) -> None:
        self.kept = kept
        self.wrapped: MetricExporter = with_histograms(kept)
        self.reader = PeriodicExportingMetricReader(self.wrapped, export_interval_millis=1e9)
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False, **options)
        self.now: Mapping[str, HistogramSnapshot] = {}
        Observed(64, self._snapshot).create(self.provider.get_meter("routecache"))

    def _snapshot(self) -> ProcessSnapshot:
        return ProcessSnapshot((cache("model", request_duration=self.now),), ())

    def export(self, **now: HistogramSnapshot) -> dict[str, Metric]:
        self.now = now
        self.reader.collect()
        return self.kept.exports[-1]


def point(metric: Metric) -> Any:
    assert isinstance(metric.data, Histogram)
    (found,) = [p for p in metric.data.data_points if p.attributes == LABELS]
    return found


def temporality(metric: Metric) -> AggregationTemporality:
    assert isinstance(metric.data, Histogram)
    return metric.data.aggregation_temporality


def test_three_counters_become_one_histogram_with_the_counts_of_the_snapshot() -> None:
    program = Program(Kept())
    exported = program.export(load=durations(1, 0, 3, 0, 2, total=0.25))
    metric = exported[NAME]
    found = point(metric)
    assert (found.count, found.sum) == (6, 0.25)
    assert list(found.bucket_counts[:6]) == [1, 0, 3, 0, 2, 0]
    assert sum(found.bucket_counts) == found.count
    assert tuple(found.explicit_bounds) == REQUEST_BOUNDS
    assert found.start_time_unix_nano <= found.time_unix_nano
    assert metric.unit == "s"
    assert temporality(metric) == AggregationTemporality.CUMULATIVE
    assert not [n for n in exported if n.endswith((".bucket", ".count", ".sum"))]
    assert "routecache.hits" in exported
    program.provider.shutdown()


def test_observations_beyond_the_last_bound_are_counted() -> None:
    program = Program(Kept())
    beyond = HistogramSnapshot(REQUEST_BOUNDS, (0,) * len(REQUEST_BOUNDS) + (4,), 99.0)
    found = point(program.export(load=beyond)[NAME])
    assert (found.bucket_counts[-1], found.count) == (4, 4)
    program.provider.shutdown()


def test_an_exporter_that_prefers_deltas_gets_what_came_since_the_last_export() -> None:
    program = Program(Kept({ObservableCounter: AggregationTemporality.DELTA}))
    program.export(load=durations(1, 2, total=0.5))
    exported = program.export(load=durations(1, 5, 1, total=0.75))
    assert temporality(exported[NAME]) == AggregationTemporality.DELTA
    found = point(exported[NAME])
    assert (found.count, found.sum, list(found.bucket_counts[:3])) == (4, 0.25, [0, 3, 1])
    program.provider.shutdown()


def test_what_is_not_ours_passes_as_it_is() -> None:
    program = Program(Kept())
    others = program.provider.get_meter("the program")
    others.create_counter(f"{NAME}.count").add(3)
    others.create_histogram("latency").record(0.2)
    exported = program.export(load=durations(1, total=0.1))
    assert values(exported[f"{NAME}.count"]) == {frozenset(): 3}
    assert isinstance(exported["latency"].data, Histogram)
    assert point(exported[NAME]).count == 1
    program.provider.shutdown()


def test_a_view_that_drops_a_part_leaves_the_others_as_counters() -> None:
    drop = View(instrument_name=f"{NAME}.sum", aggregation=DropAggregation())
    program = Program(Kept(), views=[drop])
    exported = program.export(load=durations(1, total=0.1))
    assert NAME not in exported
    assert {f"{NAME}.count", f"{NAME}.bucket"} <= exported.keys()
    program.provider.shutdown()


def test_preferences_flush_and_shutdown_are_the_other_exporters() -> None:
    preferred = {ObservableCounter: AggregationTemporality.DELTA}
    program = Program(Kept(preferred))
    assert program.wrapped._preferred_temporality == preferred
    assert isinstance(program.wrapped, MetricExporter)
    program.provider.force_flush()
    assert program.kept.flushed == 1
    program.provider.shutdown()
    assert program.kept.closed == 1


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("opentelemetry.sdk"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match="pip install opentelemetry-sdk"):
        with_histograms(Kept())
