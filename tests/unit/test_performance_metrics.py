"""The performance metrics: right, complete, JSON-ready, and of a shape that does not change."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routecache import MISS, BaseCacheManager, CacheError, Policy
from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import L1_HIT_BOUNDS, L2_BOUNDS, REQUEST_BOUNDS, CacheSnapshot
from routecache_exporters import performance_metrics
from routecache_exporters.performance_metrics import metrics_of
from routecache_exporters.reading import Reading
from routecache_exporters.web.history import History
from tests import snapshots

GOLDEN = Path(__file__).parents[1] / "golden" / "stats-schema-1.json"


def histogram(bounds: tuple[float, ...], **at: int) -> HistogramSnapshot:
    """A histogram with `n` observations in bucket `i` for each `_i=n`, each at its upper bound."""
    counts = [0] * (len(bounds) + 1)
    for index, n in at.items():
        counts[int(index[1:])] = n
    total = sum(n * bound for n, bound in zip(counts, bounds, strict=False))
    return HistogramSnapshot(bounds, tuple(counts), total)


def reading(at: float, *caches: CacheSnapshot, **endpoint: Any) -> Reading:
    """What was read `at` seconds: these caches and one endpoint."""
    return Reading(at, 1e9 + at, ProcessSnapshot(caches, (snapshots.endpoint(**endpoint),)))


def busy() -> CacheSnapshot:
    """A cache that has seen one of everything."""
    return snapshots.cache(
        "model",
        start_timestamp=1e9,
        l1_hits=900,
        l2_hits=60,
        misses={"cold": 30, "l2_unavailable": 10},
        l1_misses={"cold": 90, "evicted": 10},
        errors={("l2", "get", "timeout"): 10, ("l1", "set", "oversize"): 3},
        evictions={("l1", "size"): 4},
        removals={("l1", "cleared"): 2},
        loads=40,
        load_failures={"error": 20},
        stale_hits={"error": 1},
        l1_hit_duration=histogram(L1_HIT_BOUNDS, _2=900),
        request_duration={
            "l2_hit": histogram(REQUEST_BOUNDS, _1=60),
            "load": histogram(REQUEST_BOUNDS, _6=40),
        },
        l1_entries=50,
        last_invalidation=1e9 + 55.0,
        warm_entries=40,
        warm_up_started=1e9 + 1.0,
        warm_up_completed=1e9 + 3.0,
    )


def shape(value: Any) -> Any:
    """The keys and types of a JSON value; a list has its first item's, a number is a number."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return {bool: "boolean", str: "string", type(None): "null"}.get(type(value), "number")


def test_the_shape_is_that_of_schema_1() -> None:
    """Keys and types are exactly the golden ones. To add keys, extend the golden file; to rename
    or remove one, or to change what it means, raise SCHEMA and begin a new one."""
    lag = histogram(L2_BOUNDS, _3=5)
    endpoint = {
        "operation_duration": {"get": histogram(L2_BOUNDS, _2=7)},
        "listeners": {"connected": 1},
        "invalidation_lag": lag,
    }
    now = reading(70.0, busy(), **endpoint)
    before = reading(10.0, snapshots.cache("model"))
    metrics = metrics_of(now, earlier=before, lately=before)
    kept = History(lambda: now.snapshot)
    kept.take()
    metrics["history"] = kept.columns()
    found = json.loads(json.dumps(metrics, allow_nan=False))
    assert shape(found) == json.loads(GOLDEN.read_text()), json.dumps(shape(found), indent=1)


def test_the_numbers_are_those_that_the_callers_count() -> None:
    """After real calls the cache's books and its reasons, loads and rejections are exact."""
    with BaseCacheManager(
        2, enable_redis=False, cache_prefix="performance", policy=Policy(max_value_bytes=64)
    ) as manager:
        assert manager.get("a") is None
        manager.set("a", 1)
        assert [manager.get("a") for _ in range(5)] == [1] * 5
        assert manager.get_or_load("b", lambda: 2) == 2
        assert manager.get_or_load("c", lambda: MISS) is MISS
        with pytest.raises(CacheError):
            manager.set("big", "x" * 100)
        manager.set("d", 4)
        manager.set("e", 5)
        found = performance_metrics()
        cache = next(each for each in found["caches"] if each["name"] == "performance")
    assert (cache["requests"], cache["hits"]) == (8, {"l1": 5, "l2": 0})
    assert cache["misses"]["cold"] == sum(cache["misses"].values()) == 3
    assert cache["ratios"] == {"hit": 5 / 8, "l1": 5 / 8, "l2": 0.0}
    assert (cache["loads"]["calls"], cache["size_rejections"]) == (2, 1)
    assert cache["errors"] == [{"tier": "l1", "operation": "set", "error": "oversize", "count": 1}]
    assert cache["evictions"]["l1"]["size"] >= 1
    assert (cache["live"], cache["entries"], cache["max_entries"]) == (True, 2, 2)
    assert cache["latency_seconds"]["load"]["count"] == 2
    assert found["process"]["pid"] > 0
    assert (found["process"]["uptime_seconds"] or 1.0) > 0


def test_quantiles_are_those_of_the_histogram_and_l1_hits_say_that_they_are_sampled() -> None:
    """p50, p95 and p99 are `HistogramSnapshot.quantile`, by outcome; without events null."""
    (cache,) = metrics_of(reading(70.0, busy()))["caches"]
    hit, load = cache["latency_seconds"]["l1_hit"], cache["latency_seconds"]["load"]
    assert (hit["count"], hit["sampled"], load["sampled"]) == (900, True, False)
    source = busy().request_duration["load"]
    assert [load["p50"], load["p95"], load["p99"]] == [
        source.quantile(q) for q in (0.5, 0.95, 0.99)
    ]
    assert load["mean"] == pytest.approx(0.01)
    nothing = cache["latency_seconds"]["stale"]
    assert (nothing["count"], nothing["mean"], nothing["p99"]) == (0, None, None)


def test_recent_is_what_happened_since_the_earlier_reading() -> None:
    """Rates, ratios and quantiles of the time between, whatever was before."""
    before = replace(
        busy(),
        l1_hits=400,
        l2_hits=60,
        misses={"cold": 30},
        l1_hit_duration=histogram(L1_HIT_BOUNDS),
    )
    found = metrics_of(reading(70.0, busy()), earlier=reading(20.0, before))
    (cache,) = found["caches"]
    recent = cache["recent"]
    assert recent is not None
    assert (recent["seconds"], recent["requests"]) == (50.0, 510)
    assert recent["requests_per_second"] == pytest.approx(10.2)
    assert recent["misses"] == dict.fromkeys(cache["misses"], 0) | {"l2_unavailable": 10}
    assert recent["latency_seconds"]["l1_hit"]["count"] == 900
    assert recent["latency_seconds"]["l2_hit"]["count"] == 0
    total = found["recent"]
    assert total is not None
    assert total["requests"] == 510
    assert total["ratios"]["l1"] == pytest.approx(500 / 510)


def test_counters_that_began_anew_are_never_negative() -> None:
    """A process that restarted behind the same source counts from zero, as rate() has it."""
    before = replace(busy(), l1_hits=10**6, misses={"cold": 10**6})
    found = metrics_of(reading(70.0, busy()), earlier=reading(20.0, before))
    recent = found["caches"][0]["recent"]
    assert recent is not None
    assert (recent["hits"]["l1"], recent["misses"]["cold"]) == (900, 30)


def test_a_cache_that_is_newer_than_the_earlier_reading_counts_as_a_whole() -> None:
    """Its recent look-ups are all of its look-ups."""
    found = metrics_of(reading(70.0, busy()), earlier=reading(20.0))
    recent = found["caches"][0]["recent"]
    assert recent is not None
    assert recent["requests"] == 1000


def test_without_an_earlier_reading_there_is_nothing_recent() -> None:
    """Nor with one so new that a rate would mean nothing."""
    for earlier in (None, reading(69.9, busy())):
        found = metrics_of(reading(70.0, busy()), earlier=earlier)
        assert (found["recent"], found["caches"][0]["recent"]) == (None, None)
        assert found["endpoints"][0]["recent"] is None


def test_without_look_ups_a_ratio_is_null_and_not_zero() -> None:
    """Nobody asked: that is no hit ratio of 0."""
    (cache,) = metrics_of(reading(70.0, snapshots.cache()))["caches"]
    assert cache["ratios"] == {"hit": None, "l1": None, "l2": None}


def test_a_cluster_shows_its_circuits_by_state_and_its_listeners() -> None:
    """What an endpoint of several primaries holds is counted by state."""
    found = metrics_of(
        reading(
            1.0, circuits={"closed": 2, "open": 1}, listeners={"connected": 2, "disconnected": 1}
        )
    )
    (endpoint,) = found["endpoints"]
    assert endpoint["circuits"] == {"closed": 2, "open": 1, "half_open": 0}
    assert (endpoint["listener"]["connected"], endpoint["listener"]["disconnected"]) == (2, 1)
