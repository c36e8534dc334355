"""What exporting costs: L1 hits while /metrics is scraped, and a scrape of a hundred caches.

    python -m bench.bench_scrape [--quick] [--json] [--check] [--collect]

Hits: the same loop for a second at a time, in turns, with nobody scraping and with the exporter's
server asked once in that second, over HTTP by another process. Both are timed by the wall, since
what a scrape takes from a hit is the GIL.

Scrape: our collector over a hundred caches beside a registry that holds the same families, label
sets and values as prometheus_client's own metrics, which is what a program has that counts with
`Counter.labels().inc()`. Both write the classic text.
"""

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bench import report
from bench.interleave import Contestant, compete, ratio, spread, take_turns
from routecache import BaseCacheManager
from routecache_exporters import RoutecacheCollector, start_http_server

SIZE: Final = 1000
CACHES: Final = 100
HIT_GOAL: Final = 1.03
SCRAPE_GOAL: Final = 1.2
ALONE: Final = "nobody scrapes"
SCRAPED: Final = "scraped each second"
BARE: Final = "prometheus_client's own metrics"
OURS: Final = "routecache"

_SCRAPER = """
import sys, urllib.request
for line in sys.stdin:
    urllib.request.urlopen(line.strip(), timeout=5).read()
    print(flush=True)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 with `--check` if a goal is missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("scrape", options)
    with ExitStack() as end:
        _hits(result, options.seconds(60.0), end)
        _scrapes(result, options.seconds(20.0), end, collect=options.collect)
    return result.finish()


def _hits(result: report.Report, seconds: float, end: ExitStack) -> None:
    cache = end.enter_context(
        BaseCacheManager(SIZE, enable_redis=False, cache_prefix="bench", name="hits")
    )
    keys = [f"key:{i:06d}" for i in range(SIZE)]
    random.Random(1).shuffle(keys)
    cache.set_many(dict.fromkeys(keys, "x"))
    server = end.enter_context(start_http_server(port=0, registry=CollectorRegistry()))
    scraper = end.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", _SCRAPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    assert scraper.stdin is not None
    assert scraper.stdout is not None
    url = f"{server.url}/metrics\n"

    def turn(*, scraped: bool) -> float:
        """Seconds per hit over about a second."""
        get, n = cache.get, 0
        started = time.perf_counter()
        if scraped:
            scraper.stdin.write(url)  # type: ignore[union-attr]
            scraper.stdin.flush()  # type: ignore[union-attr]
        while time.perf_counter() < started + 1:
            for key in keys:
                get(key)
            n += SIZE
        took = (time.perf_counter() - started) / n
        if scraped:
            scraper.stdout.readline()  # type: ignore[union-attr]
        return took

    turns = {ALONE: partial(turn, scraped=False), SCRAPED: partial(turn, scraped=True)}
    measured = take_turns(turns, seconds)
    found = ratio(measured[SCRAPED], measured[ALONE])
    result.note(
        f"L1 hit, {ALONE}: {spread(measured[ALONE]).median * 1e9:.0f} ns; {SCRAPED}: "
        f"{spread(measured[SCRAPED]).median * 1e9:.0f} ns; ratio {found.median:.3f} "
        f"({found.p10:.3f} to {found.p90:.3f}), {len(measured[ALONE])} rounds of a second each"
    )
    result.goal(f"L1 hit, {SCRAPED}, relative to {ALONE}", found.median, HIT_GOAL)


def _scrapes(result: report.Report, seconds: float, end: ExitStack, *, collect: bool) -> None:
    for n in range(CACHES):
        cache = BaseCacheManager(
            100, enable_redis=False, cache_prefix="bench", name=f"cache{n:03d}"
        )
        end.callback(cache.close)
        for i in range(200):
            cache.get_or_load(f"k{i % 130}", lambda: "x")
    ours = CollectorRegistry()
    ours.register(RoutecacheCollector(max_caches=2 * CACHES))
    bare = _bare(ours)
    series = [sum(len(f.samples) for f in registry.collect()) for registry in (ours, bare)]
    contestants = [
        Contestant(BARE, partial(generate_latest, bare), 1),
        Contestant(OURS, partial(generate_latest, ours), 1),
    ]
    results = compete(contestants, BARE, seconds, collect=collect)
    result.results(f"Scrape of {CACHES} caches, relative to {BARE}", results)
    result.note(
        f"series: {series[0]:,} ({OURS}), {series[1]:,} ({BARE}); "
        f"{results[1].seconds.median * 1e3:.1f} ms a scrape"
    )
    result.goal(f"scrape relative to {BARE}", results[1].ratio.median, SCRAPE_GOAL)


def _bare(ours: CollectorRegistry) -> CollectorRegistry:
    """The same families, label sets and values, as metrics of prometheus_client."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    for family in ours.collect():
        rows = [s for s in family.samples if s.name.endswith(("_total", "_info", family.name))]
        if family.type == "histogram":
            rows = [s for s in family.samples if s.name.endswith("_sum")]
            bounds = sorted(
                {s.labels["le"] for s in family.samples if s.name.endswith("_bucket")}, key=float
            )
            if not rows:
                continue
            histogram = Histogram(
                family.name, family.documentation, list(rows[0].labels),
                registry=registry, buckets=[float(bound) for bound in bounds],
            )  # fmt: skip
            for row in rows:
                histogram.labels(**row.labels).observe(row.value)
        elif rows:
            kind = Counter if family.type == "counter" else Gauge
            name = rows[0].name.removesuffix("_total")
            metric = kind(name, family.documentation, list(rows[0].labels), registry=registry)
            for row in rows:
                child = metric.labels(**row.labels) if row.labels else metric
                child.inc(row.value)
    return registry


if __name__ == "__main__":
    sys.exit(main())
