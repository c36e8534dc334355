"""What counting in a file that other workers read costs, against counting on the heap.

    python -m bench.bench_workers [--quick] [--json] [--check] [--collect]

Both managers are asked in turns in one process. A look-up that misses writes to the file eight
numbers under the cell's lock; a hit writes one, without. The last figures are the time of a scrape
of several workers' files and the size of the directory.
"""

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from prometheus_client import CollectorRegistry, generate_latest

from bench import report
from bench.interleave import Contestant, compete
from routecache import BaseCacheManager, stats
from routecache.cells import Cells
from routecache.multiprocess.storage import Storage
from routecache_exporters import RoutecacheCollector

SIZE: Final = 1000
WORKERS: Final = 4
CACHES: Final = ("provider", "model", "fallback", "tool")
HEAP: Final = "on the heap"
FILE: Final = "in a file"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = report.parse(__doc__, argv)
    result = report.Report("workers", options)
    with tempfile.TemporaryDirectory() as directory:
        storage = Storage(Path(directory))
        heap, file = _manager("heap"), _mapped(storage, "file")
        keys = [f"key:{i:06d}" for i in range(SIZE)]
        random.Random(1).shuffle(keys)
        for manager in (heap, file):
            manager.set_many(dict.fromkeys(keys, "x"))
        for title, asked in (("L1 hit", keys), ("L1 miss", [key + "?" for key in keys])):
            contestants = [
                Contestant(HEAP, partial(_ask, heap, asked), SIZE),
                Contestant(FILE, partial(_ask, file, asked), SIZE),
            ]
            results = compete(contestants, HEAP, options.seconds(8.0), collect=options.collect)
            result.results(f"{title}, relative to {HEAP}", results)
    with tempfile.TemporaryDirectory() as directory:
        result.note(_scrape(Path(directory)))
    return result.finish()


def _manager(name: str) -> BaseCacheManager:
    return BaseCacheManager(SIZE, enable_redis=False, cache_prefix=name)


def _mapped(storage: Storage, name: str) -> BaseCacheManager:
    cells = Cells(partial(storage.new_cell, ("cache", name)))
    stats._stats[name] = stats.CacheStats(name, cells)  # noqa: SLF001  # as if enabled for this one
    return _manager(name)


def _ask(manager: BaseCacheManager, keys: Sequence[str]) -> None:
    for key in keys:
        manager.get(key)


def _scrape(directory: Path) -> str:
    """The scrape of workers with four caches each, all in this process but with files of theirs."""
    storages = [Storage(directory) for _ in range(WORKERS)]
    for storage in storages:
        for name in CACHES:
            cache = BaseCacheManager(SIZE, enable_redis=False, cache_prefix=name)
            cells = Cells(partial(storage.new_cell, ("cache", name)))
            cache.core.books.stats.cells, cache.core.books._thread = cells, cells.local  # noqa: SLF001
            cache.get("absent")
            cache.get_or_load("k", lambda: 1)
    registry = CollectorRegistry()
    registry.register(RoutecacheCollector(workers=directory))
    times, text = [], b""
    for _ in range(20):
        began = time.perf_counter()
        text = generate_latest(registry)
        times.append(time.perf_counter() - began)
    blocks = sum(path.stat().st_blocks * 512 for path in directory.iterdir())
    return (
        f"scrape of {WORKERS} workers with {len(CACHES)} caches: first {times[0] * 1e3:.1f} ms, "
        f"then {sorted(times)[10] * 1e3:.1f} ms (median), {len(text.splitlines())} lines; "
        f"directory {blocks / 1024:.0f} KB on disk"
    )


if __name__ == "__main__":
    raise SystemExit(main())
