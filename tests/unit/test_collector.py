"""The collector exports exactly what snapshots hold, from the first scrape on."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from routecache.registry import ProcessSnapshot
from routecache.stats import (
    LOAD_BOUNDS,
    REQUEST_BOUNDS,
    CacheStats,
    EndpointStats,
    stats_for,
)
from routecache.typing import L1_MISS_REASONS, MISS_REASONS
from routecache_exporters import RoutecacheCollector
from routecache_exporters.catalog import METRICS
from tests.snapshots import Samples, cache, endpoint, labels_of, router, scrape, source, value


def test_every_family_is_described_and_collected() -> None:
    """describe() and collect() give the same families, one for each catalogue row, in order."""
    collector = RoutecacheCollector(source(router(), [endpoint()]))
    described = [(f.name, f.type, f.unit, f.documentation) for f in collector.describe()]
    assert [(f.name, f.type, f.unit, f.documentation) for f in collector.collect()] == described
    assert len(described) == len(METRICS)


def test_describing_reads_no_snapshot() -> None:
    """Registering a collector does not touch the caches."""

    def never() -> ProcessSnapshot:
        raise AssertionError

    CollectorRegistry(auto_describe=True).register(RoutecacheCollector(never))


def test_counters_are_there_at_zero_before_their_first_event() -> None:
    """A cache with L2 shows every reachable counter, so that increase() sees the first event."""
    samples = scrape(RoutecacheCollector(source([cache()])))
    assert value(samples, "requests_total", cache="provider") == 0
    assert labels_of(samples, "hits_total", "tier") == {"l1", "l2"}
    assert labels_of(samples, "misses_total", "reason") == set(MISS_REASONS)
    assert labels_of(samples, "l1_misses_total", "reason") == set(L1_MISS_REASONS)
    assert labels_of(samples, "writes_total", "tier") == {"l1", "l2"}
    assert labels_of(samples, "load_failures_total", "error") == {"timeout", "cancelled", "error"}
    assert labels_of(samples, "evictions_total", "reason") == {"size", "expired"}
    decode = {"tier": "l2", "operation": "get", "error": "decode"}
    assert value(samples, "errors_total", cache="provider", **decode) == 0
    assert not any(samples[key] for key in samples if key[0].endswith("_total"))


def test_a_cache_without_l2_has_no_series_of_l2() -> None:
    """L1 alone reaches neither tier l2 nor the reasons that only L2 can give."""
    samples = scrape(RoutecacheCollector(source([cache("tool", None)])))
    assert not [labels for _, labels in samples if ("tier", "l2") in labels]
    assert labels_of(samples, "misses_total", "reason") == set(L1_MISS_REASONS)
    assert value(samples, "ttl_seconds", cache="tool", tier="l1") == 300


def test_what_was_counted_stays_when_the_manager_is_gone() -> None:
    """After a close there are no gauges, but every counter has its last value, L2's included."""
    counted: dict[str, Any] = {
        "l1_hits": 3,
        "l2_hits": 2,
        "misses": {"cold": 1},
        "writes": {"l1": 1, "l2": 1},
    }
    alive = scrape(RoutecacheCollector(source([cache(**counted)])))
    closed = replace(CacheStats("provider").snapshot(), **counted)
    gone = scrape(RoutecacheCollector(source([closed])))
    assert {key: n for key, n in alive.items() if n and key[0].endswith("_total")}.items() <= (
        gone.items()
    )
    assert not labels_of(gone, "entries", "cache") | labels_of(gone, "ttl_seconds", "cache")


def test_numbers_of_a_snapshot_arrive_under_their_labels() -> None:
    """Counters, gauges, infos and errors carry the snapshot's values."""
    snapshot = cache(
        l1_hits=90,
        l2_hits=6,
        misses={"cold": 3, "l2_unavailable": 1},
        errors={("l2", "get", "timeout"): 1},
        evictions={("l1", "size"): 7},
        removals={("l1", "health"): 2},
        loads=4,
        load_failures={"error": 1},
        l1_entries=49,
        loads_in_flight=2,
        start_timestamp=1700000000.5,
    )
    samples = scrape(RoutecacheCollector(source([snapshot], [endpoint(circuit="open")])))
    expected = {
        ("requests_total", ()): 100,
        ("hits_total", (("tier", "l1"),)): 90,
        ("hits_total", (("tier", "l2"),)): 6,
        ("misses_total", (("reason", "l2_unavailable"),)): 1,
        ("errors_total", (("tier", "l2"), ("operation", "get"), ("error", "timeout"))): 1,
        ("evictions_total", (("tier", "l1"), ("reason", "size"))): 7,
        ("removals_total", (("tier", "l1"), ("reason", "health"))): 2,
        ("loads_total", ()): 4,
        ("load_failures_total", (("error", "error"),)): 1,
        ("entries", (("tier", "l1"),)): 49,
        ("max_entries", (("tier", "l1"),)): 50,
        ("loads_in_flight", ()): 2,
        ("start_timestamp_seconds", ()): 1700000000.5,
        ("config_info", (("policy", "sieve"), ("serializer", "json"))): 1,
    }
    for (name, labels), number in expected.items():
        assert value(samples, name, cache="provider", **dict(labels)) == number, name
    assert value(samples, "l2_circuits", l2="redis", state="open") == 1
    assert value(samples, "l2_circuits", l2="redis", state="closed") == 0
    assert value(samples, "l2_connections", l2="redis", state="idle") == 2
    assert value(samples, "l2_max_connections", l2="redis") == 50
    assert value(samples, "l2_connection_wait_seconds_total", l2="redis") == 0.25


def test_histograms_are_cumulative_and_end_with_their_count() -> None:
    """Bucket counts add up from below; +Inf and _count are the number of observations."""
    stats = EndpointStats()
    for seconds in (4e-5, 5e-5, 0.002, 9.0):
        stats.observe("get", seconds)
    operations = endpoint(operation_duration=stats.operation_duration())
    samples = scrape(RoutecacheCollector(source([], [operations])))
    name, labels = "l2_operation_duration_seconds", {"l2": "redis", "operation": "get"}
    assert value(samples, f"{name}_bucket", le="5e-05", **labels) == 2
    assert value(samples, f"{name}_bucket", le="0.001", **labels) == 2
    assert value(samples, f"{name}_bucket", le="0.0025", **labels) == 3
    assert value(samples, f"{name}_bucket", le="0.5", **labels) == 3
    assert value(samples, f"{name}_bucket", le="+Inf", **labels) == 4
    assert value(samples, f"{name}_count", **labels) == 4
    assert value(samples, f"{name}_sum", **labels) == pytest.approx(9.00209)


def test_durations_are_those_of_the_timer() -> None:
    """collect_duration_seconds is the time that each part took by the injected clock."""
    times: Iterator[float] = iter([0.0, 0.5, 1.0, 1.25, 2.0, 2.125])
    collector = RoutecacheCollector(source(), timer=lambda: next(times))
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    assert 'routecache_collect_duration_seconds{collector="snapshot"} 0.5' in text
    assert 'routecache_collect_duration_seconds{collector="caches"} 0.25' in text
    assert 'routecache_collect_duration_seconds{collector="endpoints"} 0.125' in text


def test_counters_never_fall_and_balance_while_threads_count_and_die() -> None:
    """Scrapes beside counting threads see rising totals, balanced books and, at last, all."""
    stats = CacheStats("busy")
    collector = RoutecacheCollector(
        lambda: ProcessSnapshot((replace(stats.snapshot(), l2="redis", policy="sieve"),), ())
    )

    def count() -> None:
        for _ in range(2_000):
            stats.cells.local.cell.l1_hits += 1
            with stats.cells.recording() as cell:
                cell.add("l2_hits")
                cell.add("l1_misses", "expired")
                cell.observe(REQUEST_BOUNDS, 0.001, "request", "l2_hit")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    last = 0.0
    while any(thread.is_alive() for thread in threads):
        last = _check_books(scrape(collector), last)
    for thread in threads:
        thread.join()
    assert _check_books(scrape(collector), last) == 4 * 2 * 2_000


def _check_books(samples: Samples, last: float) -> float:
    def total(name: str) -> float:
        return sum(n for (sample, _), n in samples.items() if sample == name)

    requests = total("requests_total")
    assert requests >= last
    assert requests == total("hits_total") + total("misses_total")
    l1_hits = value(samples, "hits_total", cache="busy", tier="l1") or 0
    assert requests == l1_hits + total("l1_misses_total")
    assert total("hits_total") - l1_hits == total("request_duration_seconds_count")
    return requests


def test_a_collector_reads_the_counters_of_this_process_by_default() -> None:
    """Without a source the collector exports the caches that count in this process."""
    with stats_for("test-collector-default").cells.recording() as cell:
        cell.add("loads", n=3)
        cell.observe(LOAD_BOUNDS, 0.01, "load", weight=3)
    # Other tests leave their names in this process, more of them than are exported by default.
    samples = scrape(RoutecacheCollector(max_caches=100_000))
    assert value(samples, "loads_total", cache="test-collector-default") == 3
