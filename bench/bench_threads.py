"""Total throughput of L1 hits at 1, 2, 4 and 8 threads, and whether every hit was counted.

    python bench/bench_threads.py [--quick] [--json] [--check]

All threads of a turn ask one cache for the same 256 keys as fast as they can; throughput is what
all of them did by the time on the wall, from a common start to the last thread's end. CPython
runs one thread at a time, so more threads cannot be faster; the question is how much they lose.
Who is woken for a lock on another core takes it before the thread that has just given it back can
do so again, and from then on each operation costs a switch of threads: a convoy. That needs a
second core which is free. The busier the machine is with other things, the better the baseline
does and the lower the ratio; see the note on what other processes used.

Exits with 1 if the cache's own count of hits differs from what the threads counted.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from cachetools import TTLCache

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.interleave import Turn, ratio, spread, take_turns
from bench.report import Column, Row
from routecache import BaseCacheManager

SIZE: Final = 256
THREADS: Final = (1, 2, 4, 8)
GOAL: Final = 15.0
OURS: Final = "routecache"
LRU: Final = 'routecache, l1_policy="lru"'
BASELINE: Final = "TTLCache[k] + lock"

Batch: TypeAlias = Callable[[], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a hit was not counted, or with `--check` a goal missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("threads", options)
    keys = [f"key:{i:06d}" for i in range(SIZE)]
    managers = {
        OURS: BaseCacheManager(SIZE, enable_redis=False, name="bench"),
        LRU: BaseCacheManager(SIZE, enable_redis=False, name="bench-lru", l1_policy="lru"),
    }
    for manager in managers.values():
        manager.set_many(dict.fromkeys(keys, "x"))
    batches = {name: _asks(manager, keys) for name, manager in managers.items()}
    batches[BASELINE] = _locked(keys)
    tally = dict.fromkeys(batches, 0)
    duration = 0.04 if options.quick else 0.25

    def turn(name: str, threads: int) -> Turn:
        def run() -> float:
            operations, seconds = _throughput(batches[name], threads, duration)
            tally[name] += operations
            return operations / seconds

        return run

    turns = {f"{name} at {n}": turn(name, n) for name in batches for n in THREADS}
    measured = take_turns(turns, options.seconds(24.0), collect=options.collect)
    rounds = len(measured[f"{OURS} at 1"])
    rows: list[Row] = []
    for name in batches:
        rates = [spread(measured[f"{name} at {n}"]).median / 1e6 for n in THREADS]
        by_threads = ratio(measured[f"{name} at {THREADS[-1]}"], measured[f"{BASELINE} at 8"])
        rows.append((name, *rates, *by_threads))
    columns = [
        Column("contestant"),
        *(Column(f"Mops/s at {n}", ".2f") for n in THREADS),
        *(Column(f"ratio at 8, {part}", ".3g") for part in ("p10", "median", "p90")),
    ]
    result.table(f"L1 hits, all threads together ({rounds} rounds)", columns, rows)
    at_8 = ratio(measured[f"{OURS} at 8"], measured[f"{BASELINE} at 8"]).median
    result.goal(f"throughput at 8 threads relative to {BASELINE}", at_8, GOAL, at_least=True)
    for name, manager in managers.items():
        counted = manager.get_stats()["l1_hits"]
        result.note(f"{name}: {tally[name]:,} hits were made and {counted:,} counted")
        result.must(counted == tally[name], f"{name} counted {counted} of {tally[name]} hits")
    return result.finish()


def _asks(manager: BaseCacheManager, keys: Sequence[str]) -> Batch:
    def batch() -> None:
        for key in keys:
            manager.get(key)

    return batch


def _locked(keys: Sequence[str]) -> Batch:
    lock = threading.Lock()
    cache: TTLCache[str, object] = TTLCache(SIZE, 300, time.monotonic)
    cache.update(dict.fromkeys(keys, "x"))

    def batch() -> None:
        for key in keys:
            with lock:
                cache[key]

    return batch


def _throughput(batch: Batch, threads: int, duration: float) -> tuple[int, float]:
    """How many operations `threads` threads performed, and in how many seconds."""
    start = threading.Barrier(threads + 1)
    stop = threading.Event()
    batches = [0] * threads

    def work(i: int) -> None:
        done = 0
        start.wait()
        while not stop.is_set():
            batch()
            done += 1
        batches[i] = done

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    stop.wait(duration)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(batches) * SIZE, time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
