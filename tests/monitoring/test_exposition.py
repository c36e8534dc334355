"""What Prometheus would read: promtool, both parsers, and the books on the scraped text."""

import random
import subprocess
import threading
from collections import Counter
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from routecache.registry import ProcessSnapshot
from routecache.sizing import SCALES
from routecache.stats import (
    L1_HIT_BOUNDS,
    LOAD_BOUNDS,
    REQUEST_BOUNDS,
    SIZE_BOUNDS,
    CacheStats,
    EndpointSnapshot,
    EndpointStats,
)
from routecache.typing import (
    ERROR_KINDS,
    L1_MISS_REASONS,
    MISS_REASONS,
    REFRESH_KINDS,
    STALE_REASONS,
)
from routecache_exporters import RoutecacheCollector
from routecache_exporters.catalog import METRICS, OPERATIONS

CACHES = {"provider": "redis", "model": "redis", "fallback": "redis", "tool": None}
LOOK_UPS = 3_000
THREADS = 3


def _look_up(stats: CacheStats, rng: random.Random, has_l2: bool) -> str:
    """One look-up with a random end; returns that end."""
    cell = stats.cells.local.cell
    end = rng.choice(("l1", "l1", "l2" if has_l2 else "l1", "load", "miss", "error"))
    if end == "l1":
        cell.l1_hits += 1
        if cell.l1_hits >= cell.sample_at:
            cell.sample(L1_HIT_BOUNDS, rng.uniform(1e-7, 1e-5), "l1_hit")
        return end
    with stats.cells.recording() as cell:
        cell.add("l1_misses", rng.choice(L1_MISS_REASONS))
        if end == "l2":
            cell.add("l2_hits")
            cell.observe(REQUEST_BOUNDS, rng.expovariate(1000), "request", "l2_hit")
            return end
        cell.add("misses", rng.choice(MISS_REASONS if has_l2 else L1_MISS_REASONS))
        cell.observe(REQUEST_BOUNDS, rng.expovariate(10), "request", end)
        if end != "miss":
            cell.add("loads")
            cell.observe(LOAD_BOUNDS, rng.expovariate(10), "load")
        cell.add("whatif_misses", f"{rng.choice(SCALES):g}")
        if end == "load":
            cell.observe(SIZE_BOUNDS, rng.randrange(1, 10_000), "value_size")
            cell.add("writes", "l1")
        if end == "error":
            cell.add("load_failures", "error")
            cell.add("errors", "l2", rng.choice(OPERATIONS), rng.choice(ERROR_KINDS))
    return end


@pytest.fixture(scope="module")
def populated() -> tuple[CollectorRegistry, dict[str, Counter[str]]]:
    """Four caches after look-ups by three threads that are gone, and the callers' own tally."""
    every = {name: CacheStats(name) for name in CACHES}
    tallies: list[tuple[str, str]] = []  # list.append is atomic

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(LOOK_UPS):
            name = rng.choice(list(CACHES))
            tallies.append((name, _look_up(every[name], rng, CACHES[name] is not None)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    l2 = EndpointStats()
    for operation in OPERATIONS:
        l2.observe(operation, 0.0007)
    endpoint = EndpointSnapshot("redis", "open", l2.operation_duration(), 1, 2, 50, 0.125)
    caches = tuple(
        replace(
            stats.snapshot(),
            l2=CACHES[name],
            l2_ttl=300.0 if CACHES[name] else None,
            l1_ttl=float("inf"),
            l1_entries=50,
            l1_max_entries=50,
            warm_entries=40,
            warm_up_started=1e9,
            warm_up_completed=1e9 + 2,
            policy="sieve",
            stale_reasons=frozenset(STALE_REASONS),
            refresh_kinds=frozenset(REFRESH_KINDS),
            serializer='custom "json"\\\n',
        )
        for name, stats in every.items()
    )
    registry = CollectorRegistry()
    providers = {"openai": True, "anthropic": False}
    registry.register(RoutecacheCollector(lambda: ProcessSnapshot(caches, (endpoint,), providers)))
    tally: dict[str, Counter[str]] = {name: Counter() for name in CACHES}
    for name, end in tallies:
        tally[name][end] += 1
    return registry, tally


Populated = tuple[CollectorRegistry, dict[str, Counter[str]]]


def _openmetrics(registry: CollectorRegistry) -> list[Family]:
    """What the strict parser makes of the OpenMetrics format."""
    encode, _ = choose_encoder("application/openmetrics-text")
    text = encode(registry).decode()
    return list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def _total(families: dict[str, Family], name: str, **labels: str) -> float:
    """The sum of all samples called `name` that have `labels`."""
    return sum(
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_to_say(populated: Populated) -> None:
    """`promtool check metrics` passes the classic format of a populated registry in silence."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(populated[0]),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.needs("promtool")
def test_promtool_accepts_an_idle_exporter() -> None:
    """Families without samples, as before the first cache is made, are in order, too."""
    registry = CollectorRegistry()
    registry.register(RoutecacheCollector(lambda: ProcessSnapshot((), ())))
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(registry),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_both_formats_say_the_same(populated: Populated) -> None:
    """OpenMetrics passes its own strict parser and holds exactly the classic format's samples."""
    families = _openmetrics(populated[0])
    strict = {
        (s.name, frozenset(s.labels.items())): s.value
        for family in families
        for s in family.samples
        if "collect_duration" not in s.name
    }
    classic = {
        (s.name, frozenset(s.labels.items())): s.value
        for family in parse_classic(generate_latest(populated[0]).decode())
        for s in family.samples
        if "collect_duration" not in s.name
    }
    assert strict == classic


def test_openmetrics_carries_type_unit_and_help_of_the_catalogue(populated: Populated) -> None:
    """Each family of the catalogue is in the text with its type, unit and help, and has samples."""
    families = {family.name: family for family in _openmetrics(populated[0])}
    assert len(families) == len(METRICS)
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total").removesuffix("_info")]
        assert (family.type, family.unit, family.documentation) == (
            metric.type, metric.unit, metric.help,
        )  # fmt: skip
        assert family.samples, metric.name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


@pytest.mark.parametrize("cache", CACHES)
def test_the_books_balance_on_the_scraped_text(populated: Populated, cache: str) -> None:
    """Per cache, what Prometheus reads adds up and equals the callers' own tally."""
    registry, tally = populated
    text = generate_latest(registry).decode()
    families = {family.name: family for family in parse_classic(text)}

    def total(name: str, **labels: str) -> float:
        return _total(families, f"routecache_{name}", cache=cache, **labels)

    requests, ends = total("requests_total"), tally[cache]
    l1_hits, misses = total("hits_total", tier="l1"), total("misses_total")
    assert requests == sum(ends.values()) > 0
    assert (l1_hits, total("hits_total", tier="l2")) == (ends["l1"], ends["l2"])
    assert requests == total("hits_total") + misses
    assert requests == l1_hits + total("l1_misses_total")
    latency = "request_duration_seconds_count"
    assert total("hits_total") == l1_hits + total(latency, outcome="l2_hit")
    assert misses == sum(total(latency, outcome=end) for end in ("load", "miss", "error"))
    assert total("loads_total") == total("load_duration_seconds_count")
    assert total("load_failures_total") == ends["error"]
    sampled = total("l1_hit_duration_seconds_count")
    assert l1_hits - THREADS * 191 <= sampled <= l1_hits  # 191: the longest gap between samples
    assert total("entries") <= total("max_entries")


def test_every_histogram_is_whole(populated: Populated) -> None:
    """In every label set buckets ascend, +Inf equals _count, and the bounds are the catalogue's."""
    text = generate_latest(populated[0]).decode()
    bounds = {metric.name: metric.buckets for metric in METRICS if metric.buckets}
    seen: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
    counts: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in parse_classic(text):
        if family.type != "histogram":
            continue
        for sample in family.samples:
            rest = frozenset(item for item in sample.labels.items() if item[0] != "le")
            if sample.name.endswith("_bucket"):
                pair = (float(sample.labels["le"]), sample.value)
                seen.setdefault((family.name, rest), []).append(pair)
            elif sample.name.endswith("_count"):
                counts[family.name, rest] = sample.value
    assert seen.keys() == counts.keys()
    for key, buckets in seen.items():
        assert [le for le, _ in buckets] == [*(bounds[key[0]] or ()), float("inf")]
        cumulative = [n for _, n in buckets]
        assert cumulative == sorted(cumulative)
        assert cumulative[-1] == counts[key]
