"""What the status page, /stats.json and the history behind them cost the program that serves them.

    python bench/bench_status.py [--quick] [--json]

The caches are real ones without L2 on which everything has happened that needs none; the snapshots
are read, rendered and encoded as a request does it. None of it runs on a look-up's path.
"""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

from bench.report import Column, Report, parse
from routecache import BaseCacheManager, registry
from routecache_exporters.performance_metrics import metrics_of
from routecache_exporters.performance_shapes import PerformanceMetrics
from routecache_exporters.reading import Reading, read
from routecache_exporters.web import status
from routecache_exporters.web.history import POINTS, History

COUNTS: Final = (4, 100)


def cache(number: int) -> BaseCacheManager:
    """A cache on which every kind of look-up has happened."""
    manager = BaseCacheManager(10, enable_redis=False, cache_prefix=f"cache-{number}")
    for n in range(30):
        manager.get_or_load(f"k{n % 15}", lambda: 1)
        manager.get(f"k{n}")
        manager.get(f"k{n}")
    return manager


def milliseconds(call: Callable[[], object], rounds: int) -> float:
    """The median CPU time of one call, of which a busy machine takes nothing away."""
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        call()
        taken.append(time.thread_time() - began)
    return median(taken) * 1e3


def measured(earlier: Reading) -> PerformanceMetrics:
    """What /stats.json tells, read now."""
    return metrics_of(read(), earlier=earlier, lately=earlier)


def kept_bytes() -> int:
    """Memory that a full history holds."""
    history = History(registry.snapshot)
    gc.collect()
    tracemalloc.start()
    for _ in range(POINTS):
        history.take()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(__doc__, argv)
    report = Report("status", options)
    rounds = 5 if options.quick else 50
    managers: list[BaseCacheManager] = []
    rows = []
    for count in COUNTS:
        managers += [cache(number) for number in range(len(managers), count)]
        earlier = read()
        metrics = measured(earlier)
        page, encoded = status.render(metrics).encode(), msgspec.json.encode(metrics)
        rows.append(
            (
                count,
                milliseconds(read, rounds),
                milliseconds(partial(measured, earlier), rounds),
                milliseconds(partial(msgspec.json.encode, metrics), rounds),
                milliseconds(partial(status.render, metrics), rounds),
                len(encoded) / 1e3,
                len(page) / 1e3,
                kept_bytes() / 1e3,
            )
        )
    report.table(
        "Status page and /stats.json, ms of CPU per call and kB",
        [
            Column("caches", ".0f"),
            Column("snapshot", ".3f"),
            Column("metrics", ".3f"),
            Column("encode", ".3f"),
            Column("page", ".3f"),
            Column("JSON kB", ".1f"),
            Column("page kB", ".1f"),
            Column("history kB", ".1f"),
        ],
        rows,
    )
    for manager in managers:
        manager.close()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
