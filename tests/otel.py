"""OpenTelemetry's own SDK, in memory: what arrives where a program would send it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from routecache_exporters.opentelemetry import instrument, uninstrument
from tests.helpers import eventually
from tests.snapshots import Samples


class Sdk:
    """Both providers of a program, its readers and what they got."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.tracers = TracerProvider(sampler, shutdown_on_exit=False)
        self.exporter = InMemorySpanExporter()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("the program")

    def metrics(self) -> dict[str, Metric]:
        """What a collection gives now, by name."""
        return by_name(self.reader.get_metrics_data())

    def spans(self, until: str = "") -> list[ReadableSpan]:
        """The spans that have ended, in the order of their ends, once one is called `until`."""
        exporter = self.exporter
        if until:
            eventually(lambda: until in names(exporter.get_finished_spans()))
        return list(exporter.get_finished_spans())


def by_name(data: MetricsData | None) -> dict[str, Metric]:
    """The metrics of a collection."""
    if data is None:
        return {}
    return {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}


@contextmanager
def instrumented(sampler: Sampler | None = None, **options: Any) -> Iterator[Sdk]:
    """An SDK to which this process is instrumented meanwhile."""
    sdk = Sdk(sampler)
    instrument(sdk.meters, sdk.tracers, **options)
    try:
        yield sdk
    finally:
        uninstrument()


def values(metric: Metric) -> dict[frozenset[tuple[str, str]], float]:
    """The numbers of a sum or a gauge by their attributes."""
    data: Any = metric.data
    return {frozenset(point.attributes.items()): point.value for point in data.data_points}


def as_prometheus(metrics: dict[str, Metric]) -> Samples:
    """The numbers under the names that a translation to Prometheus gives, without the prefix."""
    units = {"s": "_seconds", "By": "_bytes"}
    samples: Samples = {}
    for name, metric in metrics.items():
        base, _, part = name.removeprefix("routecache.").rpartition(".")
        suffix = part in {"count", "sum", "bucket"}
        stem = (base if suffix else name.removeprefix("routecache.")).replace(".", "_")
        of = metrics[f"routecache.{base}.sum"] if suffix else metric
        unit = units.get(of.unit or "", "")
        if unit.removeprefix("_") not in stem.split("_"):
            stem += unit
        data: Any = metric.data
        counter = not suffix and getattr(data, "is_monotonic", False)
        stem += f"_{part}" if suffix else "_total" if counter else ""
        samples |= {(stem, labels): value for labels, value in values(metric).items()}
    return samples


class Kept(MetricExporter):
    """An exporter that keeps what it is given."""

    def __init__(self, temporality: Any = None) -> None:
        super().__init__(preferred_temporality=temporality)
        self.exports: list[dict[str, Metric]] = []
        self.flushed = self.closed = 0

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        self.exports.append(by_name(metrics_data))
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        self.flushed += 1
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self.closed += 1


def names(spans: Sequence[ReadableSpan]) -> list[str]:
    """The names of the spans."""
    return [span.name for span in spans]


def one(spans: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    """The only span of that name."""
    (found,) = [span for span in spans if span.name == name]
    return found


def inside(span: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether `parent` is the parent of `span`, in one trace."""
    return (
        span.parent is not None
        and span.parent.span_id == parent.context.span_id
        and span.context.trace_id == parent.context.trace_id
    )


def linked(span: ReadableSpan) -> list[int]:
    """The ids of the spans to which `span` is linked."""
    return [link.context.span_id for link in span.links]


__all__ = ["Kept", "Sdk", "as_prometheus", "by_name", "inside", "instrumented",
           "linked", "names", "one", "values"]  # fmt: skip
