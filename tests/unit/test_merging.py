"""Workers' snapshots as one: nothing that the catalogue names is forgotten or added up wrongly."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from routecache import multiprocess
from routecache.cells import Cell, HistogramSnapshot
from routecache.exemplars import Exemplar
from routecache.multiprocess.totals import Totals
from routecache.registry import ProcessSnapshot
from routecache.stats import LOAD_BOUNDS, CacheSnapshot, EndpointSnapshot, empty
from routecache.testing import ManualTimer
from routecache_exporters import catalog
from routecache_exporters.bounds import LabelBounds
from routecache_exporters.gather import gather
from routecache_exporters.merging import CACHE_GAUGES, ENDPOINT_GAUGES, HISTOGRAMS, merge
from routecache_exporters.multiprocess import snapshot_of
from routecache_exporters.scrape import Columns, Scrape
from tests import snapshots

# The exporter's own, which no worker's snapshot holds.
EXPORTERS = {
    catalog.COLLECT_DURATION,
    catalog.COLLECT_SUCCESS,
    catalog.LABEL_OVERFLOW,
    catalog.BUILD_INFO,
}
# What a mapping of label values is by, for those that rows do not begin with.
KEYS: Mapping[str, Any] = {
    "errors": ("l2", "get", "timeout"),
    "evictions": ("l1", "size"),
    "removals": ("l1", "cleared"),
    "whatif_misses": "1",
    "circuits": "open",
    "circuit_transitions": "open",
    "listeners": "connected",
    "invalidation_probes": "lost",
    "writes": "l1",
    "deletes": "l1",
    "misses": "cold",
    "l1_misses": "cold",
    "load_failures": "error",
    "stale_hits": "error",
    "refreshes": "early",
    "request_duration": "load",
    "operation_duration": "get",
}


def full(snapshot: Any, n: int) -> Any:
    """`snapshot` with a number that depends on `n` in every field that can hold one."""
    changes: dict[str, Any] = {}
    for i, field in enumerate(fields(snapshot)):
        value = getattr(snapshot, field.name)
        number = n * (i + 3)
        metric = HISTOGRAMS.get(field.name)
        if metric is not None:
            bounds = metric.buckets or ()
            histogram = HistogramSnapshot(bounds, (number,) * (len(bounds) + 1), float(number))
            mapped = isinstance(value, Mapping)
            changes[field.name] = {KEYS[field.name]: histogram} if mapped else histogram
        elif isinstance(value, Mapping):
            changes[field.name] = {KEYS[field.name]: number}
        elif isinstance(value, int | float) or "float" in str(field.type):
            value = 0.0 if value is None else value
            changes[field.name] = type(value)(number)
    return replace(snapshot, **changes)


def process(n: int) -> ProcessSnapshot:
    """A worker on which everything has happened."""
    return ProcessSnapshot(
        (full(snapshots.cache(), n),), (full(snapshots.endpoint(), n),), {"provider": True}
    )


def columns(*each: ProcessSnapshot) -> Columns:
    """The catalogue's sums of these processes, as if all their caches were in one."""
    together = ProcessSnapshot(
        tuple(cache for one in each for cache in one.caches),
        tuple(endpoint for one in each for endpoint in one.endpoints),
        {"provider": all(one.providers["provider"] for one in each)},
    )
    return gather(Scrape(LabelBounds({}), ManualTimer()), lambda: together, ("", "", ""))


def test_every_metric_of_the_catalogue_is_merged_as_the_catalogue_says() -> None:
    """A family that is added in future is in here by itself: every field holds a number, and every
    metric has to come out of the merge as its aggregation makes it of the two workers."""
    one, two = process(1), process(2)
    counted = ProcessSnapshot(
        (_summed(one.caches[0], two.caches[0], CACHE_GAUGES),),
        (_summed(one.endpoints[0], two.endpoints[0], ENDPOINT_GAUGES),),
    )
    merged, expected = columns(merge(counted, [one, two])), columns(one, two)
    for metric in catalog.METRICS:
        if metric not in EXPORTERS:
            assert any(_amount(v) for v in merged[metric].values()), f"{metric.name} is forgotten"
            assert merged[metric] == expected[metric], metric.name


def _amount(value: float | HistogramSnapshot) -> float:
    return value.count if isinstance(value, HistogramSnapshot) else value


def _summed(one: Any, two: Any, gauges: Mapping[str, Any]) -> Any:
    """What both counted, with the gauges of none."""
    changes: dict[str, Any] = {}
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if field.name not in gauges:
            changes[field.name] = _sum(a, b)
    return replace(one, **changes)


def _sum(a: Any, b: Any) -> Any:
    if isinstance(a, Mapping):
        return {key: _sum(a[key], b[key]) for key in a}
    if isinstance(a, HistogramSnapshot):
        counts = tuple(map(sum, zip(a.counts, b.counts, strict=True)))
        return HistogramSnapshot(a.bounds, counts, a.sum + b.sum)
    return a if isinstance(a, str) else a + b


def test_every_histogram_has_the_buckets_of_its_metric() -> None:
    for snapshot in (snapshots.cache(), snapshots.endpoint()):
        for field in fields(snapshot):
            if "HistogramSnapshot" in str(field.type):
                assert field.name in HISTOGRAMS


def test_every_gauge_of_the_tables_is_a_field() -> None:
    assert set(CACHE_GAUGES) <= {field.name for field in fields(CacheSnapshot)}
    assert set(ENDPOINT_GAUGES) <= {field.name for field in fields(EndpointSnapshot)}


def test_every_kind_of_cell_that_there_is_reaches_the_snapshot() -> None:
    """A kind that nobody reads would be counted and never seen."""
    for kind in get_args(multiprocess.Owner):
        totals = Totals()
        totals.by_owner[kind, "x"] = Cell()
        found = snapshot_of(totals)
        assert len(found.caches) + len(found.endpoints) == 1, kind


def test_counters_of_the_ended_stay_and_their_gauges_go() -> None:
    alone = gather(
        Scrape(LabelBounds({}), ManualTimer()), lambda: merge(_ended(), []), ("", "", "")
    )
    assert alone[catalog.LOADS]
    assert alone[catalog.L2_CONNECTION_WAIT]
    for metric in catalog.METRICS:
        if metric.type in ("gauge", "info") and metric not in EXPORTERS:
            assert not alone[metric], metric.name


def _ended() -> ProcessSnapshot:
    totals = Totals()
    totals.of(("cache", "model")).add("loads", n=3)
    totals.of(("l2", "redis")).add("failures", n=3)
    return snapshot_of(totals)


def test_what_another_release_counted_comes_in_the_buckets_of_this_one() -> None:
    """Exemplars are no counts: those of the living are kept, the newest of each bucket."""
    old = HistogramSnapshot((1.0, 60.0), (3, 2, 1), 70.0)
    exemplars = {i: Exemplar((("trace_id", str(i)),), 0.1, float(i)) for i in (1, 2)}
    worker = replace(empty(LOAD_BOUNDS), exemplars=exemplars)
    merged = merge(
        ProcessSnapshot((snapshots.cache(load_duration=old, loads=6),), ()),
        [ProcessSnapshot((snapshots.cache(load_duration=worker),), ())],
    ).caches[0]
    assert merged.load_duration.bounds == LOAD_BOUNDS
    assert (merged.load_duration.count, merged.load_duration.sum) == (6, 70.0)
    assert merged.load_duration.exemplars == exemplars
    assert merged.loads == 6


def test_circuits_of_workers_are_counted_and_the_best_names_the_state() -> None:
    one = ProcessSnapshot((), (snapshots.endpoint(circuit="open"),))
    two = ProcessSnapshot((), (snapshots.endpoint(circuit="closed"),))
    for living in ([one, two], [two, one]):
        merged = merge(ProcessSnapshot((), ()), living).endpoints[0]
        assert merged.circuit == "closed"
        assert merged.circuits == {"open": 1, "closed": 1}
