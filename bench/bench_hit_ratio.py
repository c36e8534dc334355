"""Hit ratio of each L1 policy over seeded workloads, and of a RoutingCache under a realistic mix.

The cache holds 1,000 entries and the keyspace 10,000. `zipf` draws by Zipf's law with exponent
0.99; `zipf + scans` interrupts it with runs over keys that never come again; `loop` goes round
1,500 keys. `zipf, shifting` moves the popular keys every tenth of the run.
"""

import itertools
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

import cachetools

from bench.report import Column, Report, Row, parse
from routecache import MISS, BaseCacheManager, RoutingCache, RoutingSettings
from routecache.local import L1Policy

SIZE = 1_000
KEYSPACE = 10 * SIZE
SEED = 7


def zipf(n: int, keyspace: int, rng: random.Random, exponent: float = 0.99) -> Iterator[int]:
    """`n` draws of ranks 0 to `keyspace` - 1."""
    cumulative = list(itertools.accumulate(1 / (r + 1) ** exponent for r in range(keyspace)))
    for _ in range(n):
        yield bisect_left(cumulative, rng.random() * cumulative[-1])


def with_scans(n: int, rng: random.Random) -> Iterator[int]:
    fresh = itertools.count(KEYSPACE)
    for i, key in enumerate(zipf(n // 2, KEYSPACE, rng)):
        yield key
        if i % 1000 == 0:
            yield from itertools.islice(fresh, 1000)


def loop(n: int) -> Iterator[int]:
    return itertools.islice(itertools.cycle(range(SIZE * 3 // 2)), n)


def shifting(n: int, rng: random.Random) -> Iterator[int]:
    for part in range(10):
        for key in zipf(n // 10, KEYSPACE, rng):
            yield (key + part * SIZE) % KEYSPACE


WORKLOADS: dict[str, Callable[[int, random.Random], Iterable[int]]] = {
    "zipf": lambda n, rng: zipf(n, KEYSPACE, rng),
    "zipf + scans": with_scans,
    "zipf, shifting": shifting,
    "loop": lambda n, _: loop(n),
}


def ours(policy: L1Policy, keys: Iterable[int]) -> float:
    name = f"bench {policy}"
    with BaseCacheManager(SIZE, enable_redis=False, name=name, l1_policy=policy) as cache:
        hits = requests = 0
        for key in map(str, keys):
            requests += 1
            if cache.get(key, MISS) is MISS:
                cache.set(key, 1)
            else:
                hits += 1
        return hits / requests


def ttlcache(keys: Iterable[int]) -> float:
    cache: cachetools.TTLCache[str, int] = cachetools.TTLCache(SIZE, 300, time.monotonic)
    hits = requests = 0
    for key in map(str, keys):
        requests += 1
        if key in cache:
            cache[key]
            hits += 1
        else:
            cache[key] = 1
    return hits / requests


def routing(n: int, rng: random.Random) -> list[tuple[str, int, float]]:
    """Look-ups and hit ratio by cache: 6 providers, 400 contexts by Zipf's law, 60 tool names."""
    with RoutingCache(RoutingSettings(enable_redis=False)) as cache:
        for context in zipf(n, 400, rng):
            provider = f"p{context % 6}"
            cache.get_provider_status(provider, loader=lambda: "up")
            cache.get_model_selection({"n": context}, loader=lambda: "model")
            cache.get_fallback_chain({"n": context}, loader=lambda: ["model"])
            cache.get_normalized_tool(f"tool{context % 60}", loader=lambda: "tool")
        stats = cache.get_stats()
    names = ("provider", "model", "fallback", "tool")
    return [(name, stats[name]["requests"], stats[name]["hit_ratio"]) for name in names]


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(__doc__, argv)
    report = Report("hit_ratio", options)
    n = 20_000 if options.quick else 200_000
    rows: list[Row] = []
    for name, workload in WORKLOADS.items():
        ratios = [ours(policy, workload(n, random.Random(SEED))) for policy in get_args(L1Policy)]
        rows.append((name, *ratios, ttlcache(workload(n, random.Random(SEED)))))
    columns = [Column("workload")]
    columns += [Column(policy, ".3f") for policy in get_args(L1Policy)]
    report.table(
        f"hit ratio, {SIZE:,} entries, {n:,} requests", [*columns, Column("TTLCache", ".3f")], rows
    )
    report.table(
        "RoutingCache in memory, 400 contexts for 50 to 100 entries",
        [Column("cache"), Column("look-ups", ",d"), Column("hit ratio", ".3f")],
        routing(n // 10, random.Random(SEED)),
    )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
