"""Real histograms for those who have the SDK: an exporter around theirs that puts them together.

A histogram leaves the cache as three counters (naming.py), because the API has no observable
histogram. The SDK for Python has no MetricProducer either
(open-telemetry/opentelemetry-python#4768), which is where finished histograms could come from. What
it has is the exporter, the last place where data points can be seen before they leave. Nothing is
measured or estimated here: bucket counts, number and sum are those of one snapshot, and the three
counters are taken out of what is exported.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import Metric
from routecache_exporters.opentelemetry.naming import LE, SCOPE, base_name, unit

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

_HISTOGRAMS: Final[Mapping[str, Metric]] = {
    base_name(metric): metric for metric in METRICS if metric.type == "histogram"
}
_PARTS: Final = ("count", "sum", "bucket")


def with_histograms(exporter: "MetricExporter") -> "MetricExporter":
    """An exporter that hands on to `exporter`, with routecache's histograms as histograms.

        PeriodicExportingMetricReader(with_histograms(OTLPMetricExporter()))

    Histograms have the temporality that `exporter` prefers for observable counters. They have no
    minimum and no maximum, and no exemplars; everything that is not routecache's passes as it is.

    Raises ImportError without the SDK.
    """
    try:
        from opentelemetry.sdk.metrics import export as sdk
    except ImportError as error:
        raise ImportError(
            "with_histograms() needs OpenTelemetry's SDK: pip install opentelemetry-sdk"
        ) from error

    class WithHistograms(sdk.MetricExporter):
        """Everything but `export` is the other exporter's, its preferences too."""

        def __init__(self) -> None:
            # Not MetricExporter's, which would set preferences: a reader shall see the other's.
            pass

        def __getattr__(self, name: str) -> Any:
            return getattr(exporter, name)

        def export(
            self, metrics_data: sdk.MetricsData, timeout_millis: float = 10_000, **kwargs: Any
        ) -> sdk.MetricExportResult:
            return exporter.export(_folded(metrics_data, sdk), timeout_millis, **kwargs)

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return exporter.force_flush(timeout_millis)

        def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
            exporter.shutdown(timeout_millis, **kwargs)

    return WithHistograms()


def _folded(data: Any, sdk: Any) -> Any:
    """`data` with the histograms of our scope put together."""
    return replace(
        data,
        resource_metrics=[
            replace(
                resource,
                scope_metrics=[
                    replace(scope, metrics=list(_metrics(scope.metrics, sdk)))
                    if scope.scope.name == SCOPE
                    else scope
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ],
    )


def _metrics(metrics: Iterable[Any], sdk: Any) -> Iterable[Any]:
    parts: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        base, _, part = metric.name.rpartition(".")
        if base in _HISTOGRAMS and part in _PARTS and isinstance(metric.data, sdk.Sum):
            parts.setdefault(base, {})[part] = metric
        else:
            yield metric
    for base, found in parts.items():
        if len(found) < len(_PARTS):  # a view has dropped one: leave the others as they are
            yield from found.values()
            continue
        described = _HISTOGRAMS[base]
        points = _points(described.buckets or (), found, sdk)
        temporality = found["bucket"].data.aggregation_temporality
        yield sdk.Metric(
            name=base,
            description=described.help,
            unit=unit(described),
            data=sdk.Histogram(data_points=points, aggregation_temporality=temporality),
        )


def _points(bounds: tuple[float, ...], parts: Mapping[str, Any], sdk: Any) -> list[Any]:
    buckets: dict[frozenset[tuple[str, Any]], dict[float, int]] = {}
    for point in parts["bucket"].data.data_points:
        attributes = dict(point.attributes)
        le = float(attributes.pop(LE))
        buckets.setdefault(frozenset(attributes.items()), {})[le] = point.value
    sums = _values(parts["sum"])
    points = []
    for point in parts["count"].data.data_points:
        labels = frozenset(point.attributes.items())
        reached = buckets.get(labels, {})
        ends = (*bounds, float("inf"))
        if labels not in sums or reached.keys() != set(ends):
            continue  # half of a histogram is none
        cumulative = [reached[le] for le in ends]
        below = [0, *cumulative[:-1]]
        points.append(
            sdk.HistogramDataPoint(
                attributes=point.attributes,
                start_time_unix_nano=point.start_time_unix_nano,
                time_unix_nano=point.time_unix_nano,
                count=point.value,
                sum=sums[labels],
                bucket_counts=[n - m for n, m in zip(cumulative, below, strict=True)],
                explicit_bounds=bounds,
                min=None,
                max=None,
            )
        )
    return points


def _values(metric: Any) -> Mapping[frozenset[tuple[str, Any]], float]:
    return {frozenset(p.attributes.items()): p.value for p in metric.data.data_points}
