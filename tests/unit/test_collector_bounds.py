"""Labels stay bounded, and what is broken costs its own numbers and nothing else."""

import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from routecache import BaseCacheManager, registry
from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache_exporters import RoutecacheCollector, performance_metrics
from tests.snapshots import cache, endpoint, labels_of, scrape, source, value


def test_a_value_outside_its_vocabulary_becomes_other_and_is_counted() -> None:
    """An unknown error kind cannot make a new series, is not lost, and shows in the overflow."""
    errors = {("l2", "get", "10.0.0.7 refused"): 2, ("l2", "get", "gremlins"): 3}
    samples = scrape(RoutecacheCollector(source([cache(errors=errors)])))
    other = {"tier": "l2", "operation": "get", "error": "other"}
    assert value(samples, "errors_total", cache="provider", **other) == 5
    assert value(samples, "label_overflow_total", label="error") == 2
    assert not [labels for _, labels in samples if ("error", "gremlins") in labels]


def test_caches_beyond_the_bound_add_up_under_other() -> None:
    """Counters and histograms of the surplus are summed, TTLs and start times take the largest."""
    surplus = [
        cache("c", l1_hits=5, l1_ttl=60.0, start_timestamp=10.0),
        cache("d", None, l1_hits=7, l1_ttl=90.0, start_timestamp=5.0),
    ]
    collector = RoutecacheCollector(source([cache("a"), cache("b"), *surplus]), max_caches=2)
    samples = scrape(collector)
    assert labels_of(samples, "requests_total", "cache") == {"a", "b", "other"}
    assert value(samples, "hits_total", cache="other", tier="l1") == 12
    assert value(samples, "max_entries", cache="other", tier="l1") == 100
    assert value(samples, "ttl_seconds", cache="other", tier="l1") == 90
    assert value(samples, "start_timestamp_seconds", cache="other") == 10
    assert value(samples, "label_overflow_total", label="cache") == 2
    assert value(samples, "label_overflow_total", label="l2") == 0


def test_an_admitted_cache_keeps_its_label_whatever_the_order() -> None:
    """Which names are admitted is decided once, so that no counter moves to `other` and back."""
    a, b, c = cache("a", l1_hits=1), cache("b", l1_hits=2), cache("c", l1_hits=4)
    snapshots = iter([source([a, b])(), source([c, b, a])(), source([c])()])
    collector = RoutecacheCollector(lambda: next(snapshots), max_caches=2)
    scrape(collector)
    reordered = scrape(collector)
    assert value(reordered, "hits_total", cache="a", tier="l1") == 1
    assert value(reordered, "hits_total", cache="other", tier="l1") == 4
    assert value(reordered, "label_overflow_total", label="cache") == 1
    assert value(scrape(collector), "label_overflow_total", label="cache") == 1


def test_endpoints_of_one_alias_add_up() -> None:
    """The sync and the asyncio pool of one Redis are two circuits of one alias."""
    both = [endpoint(circuit="open"), endpoint(circuit="closed")]
    samples = scrape(RoutecacheCollector(source([], both)))
    assert value(samples, "l2_circuits", l2="redis", state="open") == 1
    assert value(samples, "l2_circuits", l2="redis", state="closed") == 1
    assert value(samples, "l2_max_connections", l2="redis") == 100


def test_a_snapshot_that_fails_costs_its_numbers_but_not_the_scrape() -> None:
    """With the source broken the program's other metrics and build_info are still served."""

    def broken() -> ProcessSnapshot:
        raise RuntimeError("redis://user:secret@host")

    registry = CollectorRegistry()
    registry.register(RoutecacheCollector(broken))
    Counter("app_requests", "Of the program itself.", registry=registry).inc()
    text = generate_latest(registry).decode()
    assert "app_requests_total 1.0" in text
    assert "routecache_build_info{" in text
    for collector in ("snapshot", "caches", "endpoints"):
        assert f'routecache_collect_success{{collector="{collector}"}} 0.0' in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "defect",
    [
        {"loads": None},
        {"misses": {"cold": "many"}},
        {"serializer": 7},
        {"serializer": "\ud800"},
        {"value_size": HistogramSnapshot((1.0,), (1, 0), 0.5)},
        {"value_size": 5},
        {"l1_hits": HistogramSnapshot((), (0,), 0.0)},
    ],
    ids=str,
)
def test_a_broken_cache_is_left_out_whole(defect: dict[str, Any]) -> None:
    """One bad number takes its cache out of the scrape, never half of it and never the others."""
    samples = scrape(RoutecacheCollector(source([cache("a"), cache("b", **defect)], [endpoint()])))
    assert labels_of(samples, "requests_total", "cache") == {"a"}
    assert not [labels for _, labels in samples if ("cache", "b") in labels]
    assert value(samples, "collect_success", collector="caches") == 0
    assert value(samples, "collect_success", collector="endpoints") == 1


def test_other_is_complete_or_absent() -> None:
    """A broken cache inside `other` takes `other` out: a smaller sum would look like a reset."""
    caches = [cache("a"), cache("b", l1_hits=9), cache("c", loads=None)]
    samples = scrape(RoutecacheCollector(source(caches), max_caches=1))
    assert labels_of(samples, "requests_total", "cache") == {"a"}


def test_failures_are_logged_once_per_change_and_without_their_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every scrape may fail, but the log gets one line, which names the type and quotes nothing."""
    broken = [True, True, False, True]

    def sometimes() -> ProcessSnapshot:
        if broken.pop(0):
            raise RuntimeError("redis://user:secret@host")
        return ProcessSnapshot((), ())

    collector = RoutecacheCollector(sometimes)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            collector.collect()
    assert [record.getMessage() for record in caplog.records] == [
        "scrape incomplete: collector snapshot raised RuntimeError"
    ] * 2


def test_a_manager_that_cannot_tell_its_state_costs_no_other_cache() -> None:
    """A serializer may be the program's own. Its cache is left out whole, and everybody says so."""

    class Nameless:
        @property
        def name(self) -> str:
            raise LookupError("sk-secret")

    with (
        BaseCacheManager(enable_redis=False, name="broken.well") as well,
        BaseCacheManager(enable_redis=False, name="broken.ill") as ill,
    ):
        well.get("k")
        ill.get("k")
        ill.core.serializer = Nameless()  # type: ignore[assignment]
        found = registry.snapshot()
        samples = scrape(RoutecacheCollector())
        metrics = performance_metrics()
    assert found.broken == {"broken.ill": "LookupError"}
    caches = labels_of(samples, "requests_total", "cache")
    assert "broken.well" in caches
    assert "broken.ill" not in caches
    assert value(samples, "collect_success", collector="caches") == 0
    assert value(samples, "collect_success", collector="snapshot") == 1
    assert [(each["code"], each["caches"]) for each in metrics["problems"]] == [
        ("unreadable", ["broken.ill"])
    ]
