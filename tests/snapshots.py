"""Hand-made snapshots for the exporter's tests, and what a collector makes of them."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, CacheStats, EndpointSnapshot
from routecache_exporters import RoutecacheCollector

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def cache(name: str = "provider", l2: str | None = "redis", **changes: Any) -> CacheSnapshot:
    """A cache with a live manager, on which nothing has happened yet but `changes`."""
    gauges: dict[str, Any] = {
        "policy": "sieve",
        "serializer": "json",
        "l1_max_entries": 50,
        "l1_ttl": 300.0,
    }
    return replace(
        CacheStats(name).snapshot(),
        l2=l2,
        l2_ttl=None if l2 is None else 300.0,
        **(gauges | changes),
    )


def endpoint(alias: str = "redis", circuit: str = "closed", **changes: Any) -> EndpointSnapshot:
    """An L2 endpoint with one connection in use and two idle ones of fifty."""
    return replace(EndpointSnapshot(alias, circuit, {}, 1, 2, 50, 0.25), **changes)


def source(
    caches: Iterable[CacheSnapshot] = (), endpoints: Iterable[EndpointSnapshot] = ()
) -> Callable[[], ProcessSnapshot]:
    """A source of one constant snapshot."""
    snapshot = ProcessSnapshot(tuple(caches), tuple(endpoints))
    return lambda: snapshot


def scrape(collector: RoutecacheCollector) -> Samples:
    """What one scrape gives, without the collector's own durations."""
    return {
        (sample.name.removeprefix("routecache_"), frozenset(sample.labels.items())): sample.value
        for family in collector.collect()
        for sample in family.samples
        if not sample.name.startswith("routecache_collect_duration")
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """One sample, or None if it is not there."""
    return samples.get((name, frozenset(labels.items())))


def labels_of(samples: Samples, name: str, label: str) -> set[str]:
    """The values of `label` in all samples called `name`."""
    return {dict(labels)[label] for sample, labels in samples if sample == name}


def router() -> list[CacheSnapshot]:
    """The four caches of a router, on which nothing has happened yet."""
    names = ("provider", "model", "fallback")
    blind = frozenset({"blind"})  # what a listener makes possible under the default policy
    return [
        *(cache(name, stale_reasons=blind) for name in names),
        cache("tool", None, policy="lru"),
    ]
