"""Snapshots of several workers as one: what all of them counted, and what the living are like now.

A field is a gauge if it is in a table below, which says how the gauges of two workers become one;
everything else is a counter or a histogram. So what is counted in future is merged without a word
here, and a gauge without one shows in the tests, which compare the result with the catalogue's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import reduce
from operator import add, or_
from typing import Any, Final, TypeAlias, TypeVar

from routecache.cells import Histogram, HistogramSnapshot
from routecache.multiprocess.totals import rebucketed
from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, EndpointSnapshot
from routecache_exporters import catalog
from routecache_exporters.metric import Metric

Join: TypeAlias = Callable[[Any, Any], Any]
_Snapshot = TypeVar("_Snapshot", CacheSnapshot, EndpointSnapshot)

_BEST_FIRST: Final = ("closed", "half_open", "open")
_NAMES: Final = ("name", "alias")


def _known(choose: Callable[[Any, Any], Any]) -> Join:
    """`choose` between two values that may be None, which is nothing to choose."""
    return lambda one, other: other if one is None else one if other is None else choose(one, other)


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def _best(one: str, other: str) -> str:
    return min(one, other, key=_BEST_FIRST.index)


# The largest of two names, so that every worker that is asked chooses the same one.
CACHE_GAUGES: Final[Mapping[str, Join]] = {
    "start_timestamp": max,
    "l1_entries": add,
    "l1_max_entries": add,
    "l1_size_bytes": add,
    "loads_in_flight": add,
    "recovery_pending": add,
    "l1_ttl": max,
    "l2_ttl": _known(max),
    "policy": max,
    "serializer": max,
    "l2": _known(max),
    "stale_reasons": or_,
    "refresh_kinds": or_,
    "last_invalidation": _known(max),
    "warm_entries": add,
    "warm_up_started": _known(max),
    "warm_up_completed": _known(min),
}
ENDPOINT_GAUGES: Final[Mapping[str, Join]] = {
    "circuit": _best,
    "connections_in_use": add,
    "connections_idle": add,
    "max_connections": add,
    "circuits": _added,
    "listeners": _added,
}
HISTOGRAMS: Final[Mapping[str, Metric]] = {
    "l1_hit_duration": catalog.L1_HIT_DURATION,
    "request_duration": catalog.REQUEST_DURATION,
    "load_duration": catalog.LOAD_DURATION,
    "value_size": catalog.VALUE_SIZE,
    "operation_duration": catalog.L2_OPERATION_DURATION,
    "invalidation_lag": catalog.INVALIDATION_LAG,
}
"""The metric whose buckets a field has: those that another release counted in are translated."""


def merge(counted: ProcessSnapshot, living: Sequence[ProcessSnapshot]) -> ProcessSnapshot:
    """One snapshot of all workers.

    counted: what all that ever were have counted.
    living: what each of those that are there says of itself. Its counters are among those of all:
        they say only which label values it can reach, and bring its exemplars.

    Caches and endpoints are in the order of their names, whoever asks. One that no living worker
    knows keeps its counters and has no gauges: its `start_timestamp` is 0, its `circuit` "".
    """
    endpoints = (_with_circuits(each) for snapshot in living for each in snapshot.endpoints)
    providers: dict[str, bool] = {}
    broken: dict[str, str] = {}
    for snapshot in living:
        broken.update(snapshot.broken)
        for provider, healthy in snapshot.providers.items():
            providers[provider] = healthy and providers.get(provider, True)
    return ProcessSnapshot(
        tuple(
            _together(CACHE_GAUGES, *group)
            for _, group in _by_name(
                (replace(each, start_timestamp=0.0) for each in counted.caches),
                (each for snapshot in living for each in snapshot.caches),
                lambda each: each.name,
            )
        ),
        tuple(
            _together(ENDPOINT_GAUGES, *group)
            for _, group in _by_name(counted.endpoints, endpoints, lambda each: each.alias)
        ),
        providers,
        broken,
    )


def _with_circuits(each: EndpointSnapshot) -> EndpointSnapshot:
    return each if each.circuits else replace(each, circuits={each.circuit: 1})


def _by_name(
    counted: Iterable[_Snapshot], living: Iterable[_Snapshot], name: Callable[[_Snapshot], str]
) -> list[tuple[str, tuple[_Snapshot | None, list[_Snapshot]]]]:
    sums = {name(each): each for each in counted}
    alive: dict[str, list[_Snapshot]] = {}
    for each in living:
        alive.setdefault(name(each), []).append(each)
    return [(key, (sums.get(key), alive.get(key, []))) for key in sorted({**sums, **alive})]


def _together(
    gauges: Mapping[str, Join], counted: _Snapshot | None, living: Sequence[_Snapshot]
) -> _Snapshot:
    merged: dict[str, Any] = {}
    some = living[0] if counted is None else counted
    for field in fields(some):
        name = field.name
        values = [getattr(each, name) for each in living]
        if name in gauges:
            if values:
                merged[name] = reduce(gauges[name], values)
        elif name not in _NAMES:
            metric = HISTOGRAMS.get(name)
            bounds = (metric and metric.buckets) or ()
            value = getattr(some, name)
            total = _nothing(value, bounds) if counted is None else _in_buckets(value, bounds)
            for each in values:
                total = _reach(total, each, bounds)
            merged[name] = total
    return replace(some, **merged)


def _reach(total: Any, each: Any, bounds: tuple[float, ...]) -> Any:
    """`total` with the label values of `each`, at 0 if they are new, and its exemplars."""
    if isinstance(each, HistogramSnapshot):
        if not each.exemplars or each.bounds != bounds:
            return total
        newest = dict(total.exemplars)
        for bucket, exemplar in each.exemplars.items():
            kept = newest.get(bucket)
            if kept is None or kept.timestamp < exemplar.timestamp:
                newest[bucket] = exemplar
        return replace(total, exemplars=newest)
    if isinstance(each, Mapping):
        reached: dict[Any, Any] = dict(total)
        for key, value in each.items():
            known = reached[key] if key in reached else _nothing(value, bounds)
            reached[key] = _reach(known, value, bounds)
        return reached
    return total


def _nothing(value: Any, bounds: tuple[float, ...]) -> Any:
    if isinstance(value, HistogramSnapshot):
        return HistogramSnapshot(bounds, (0,) * (len(bounds) + 1), 0.0)
    return {} if isinstance(value, Mapping) else type(value)()


def _in_buckets(value: Any, bounds: tuple[float, ...]) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_buckets(each, bounds) for key, each in value.items()}
    if not isinstance(value, HistogramSnapshot) or value.bounds == bounds:
        return value
    histogram = Histogram(value.bounds)
    histogram.counts, histogram.sum = list(value.counts), value.sum
    return rebucketed(histogram, bounds).freeze()
