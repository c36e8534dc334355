"""What a row of the catalogue says of a metric."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

PREFIX: Final = "routecache_"
OTHER: Final = "other"
"""The label value that everything beyond a label's bound collapses to."""

MetricType: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Aggregation: TypeAlias = Literal["sum", "max", "min"]


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric family.

    name: the full name; as scraped for counters (`_total`) and infos (`_info`), without suffix
        for histograms.
    labels: label names in the order of the values that collectors give.
    help: one sentence, as served in `# HELP`.
    unit: a base unit, of which the name ends (`seconds`, `bytes`), or "".
    buckets: inclusive upper bounds in `unit`, histograms only; `+Inf` is implied.
    label_values: for a label with a fixed vocabulary, every value that it can have. Any other
        value is exported as `other`. Labels not listed are free, and collectors bound them.
    aggregation: how two values of one label set become one, in a process or over workers.

    Compared and hashed by identity: there is one object per metric.
    """

    name: str
    type: MetricType
    labels: tuple[str, ...]
    help: str
    unit: str = ""
    buckets: tuple[float, ...] | None = None
    label_values: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    aggregation: Aggregation = "sum"


def metric(
    name: str,
    kind: MetricType,
    labels: tuple[str, ...],
    text: str,
    /,
    *,
    unit: str = "",
    buckets: tuple[float, ...] | None = None,
    aggregation: Aggregation = "sum",
    **label_values: tuple[str, ...],
) -> Metric:
    """A `Metric` whose name gets the common prefix; the keywords left over are label values."""
    values = MappingProxyType(label_values)
    return Metric(PREFIX + name, kind, labels, text, unit, buckets, values, aggregation)
