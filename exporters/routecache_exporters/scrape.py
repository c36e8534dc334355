"""One scrape: the rows of a snapshot, checked, bounded, and summed where labels fall together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import add
from typing import Final, TypeAlias, TypeVar

from routecache.cells import HistogramSnapshot
from routecache.typing import Timer
from routecache_exporters import catalog
from routecache_exporters.bounds import LabelBounds, LabelFilter
from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import Aggregation, Metric
from routecache_exporters.rows import Row, Value

Columns: TypeAlias = Mapping[Metric, Mapping[tuple[str, ...], Value]]
"""For every metric of the catalogue, its values by label values."""

_Item = TypeVar("_Item")
_TOGETHER: Final[Mapping[Aggregation, Callable[[float, float], float]]] = {
    "sum": add,
    "max": max,
    "min": min,
}
_SNAPSHOT: Final = "snapshot"


class Scrape:
    """Collects the rows of one scrape and survives whatever goes wrong. For one thread.

    `failures` holds the type of the last error by collector, for the log: an error's text may
    quote a key or a URL and is never kept.
    """

    def __init__(self, bounds: LabelBounds, timer: Timer) -> None:
        self.failures: dict[str, str] = {}
        self._bounds = bounds
        self._timer = timer
        self._filter = LabelFilter(bounds)
        self._columns: dict[Metric, dict[tuple[str, ...], Value]] = {m: {} for m in METRICS}

    @contextmanager
    def part(self, collector: str) -> Iterator[None]:
        """Time what runs inside, and turn its exception into a failure of `collector`."""
        began = self._timer()
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, the scrape goes on
            self.failures[collector] = type(error).__name__
        self._columns[catalog.COLLECT_DURATION][(collector,)] = self._timer() - began

    def group(
        self, label: str, items: Iterable[_Item], value: Callable[[_Item], str]
    ) -> Iterable[tuple[str, list[_Item]]]:
        """`items` by the value of their `label` once that is bounded."""
        groups: dict[str, list[_Item]] = {}
        for item in items:
            groups.setdefault(self._filter.one(label, value(item)), []).append(item)
        return groups.items()

    def add(self, collector: str, rows: Iterable[Row]) -> None:
        """Add all of `rows`, or, if one of them is broken, none: half a cache is a wrong sum."""
        try:
            checked = [self._checked(row) for row in rows]
        except Exception as error:  # noqa: BLE001  # whatever it is, the scrape goes on
            self.failures[collector] = type(error).__name__
            return
        for metric, labels, value in checked:
            column = self._columns[metric]
            old = column.get(labels)
            column[labels] = value if old is None else _merge(metric, old, value)

    def finish(self, build: tuple[str, str, str]) -> Columns:
        """Everything added, and what the exporter says about itself."""
        columns = self._columns
        lost = catalog.COLLECTORS if _SNAPSHOT in self.failures else self.failures
        for (collector,) in columns[catalog.COLLECT_DURATION]:
            columns[catalog.COLLECT_SUCCESS][(collector,)] = 0.0 if collector in lost else 1.0
        for label, n in self._bounds.overflow(self._filter.collapsed).items():
            columns[catalog.LABEL_OVERFLOW][(label,)] = n
        columns[catalog.BUILD_INFO][build] = 1.0
        return columns

    def _checked(self, row: Row) -> Row:
        metric, labels, value = row
        labels = self._filter.row(metric, labels)
        if metric.buckets is None:
            if isinstance(value, HistogramSnapshot):
                raise TypeError(f"{metric.name} is not a histogram")
            return metric, labels, float(value)
        if not isinstance(value, HistogramSnapshot):
            raise TypeError(f"{metric.name} is a histogram")
        if value.bounds != metric.buckets or len(value.counts) != len(value.bounds) + 1:
            raise ValueError(f"{metric.name} has other buckets than its catalogue entry")
        return metric, labels, value


def _merge(metric: Metric, one: Value, other: Value) -> Value:
    if isinstance(one, HistogramSnapshot) and isinstance(other, HistogramSnapshot):
        counts = tuple(map(add, one.counts, other.counts))
        exemplars = dict(one.exemplars)
        for bucket, exemplar in other.exemplars.items():
            kept = exemplars.get(bucket)
            if kept is None or kept.timestamp < exemplar.timestamp:
                exemplars[bucket] = exemplar
        return HistogramSnapshot(one.bounds, counts, one.sum + other.sum, exemplars)
    assert not isinstance(one, HistogramSnapshot)
    assert not isinstance(other, HistogramSnapshot)
    return _TOGETHER[metric.aggregation](one, other)
