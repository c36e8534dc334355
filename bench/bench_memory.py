"""Memory of an entry: in L1 without its key and value, and in Redis beside the bare JSON value.

L1 is measured by tracemalloc with keys and values that exist already; the cost of the tier's own
objects is spread over its entries. Redis is asked by MEMORY USAGE for each key, and by INFO for the
whole, which includes its share of the keyspace's hash table.
"""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import get_args

import cachetools
import redis

from bench.private_redis import private_redis
from bench.report import Column, Report, parse
from routecache import BaseCacheManager
from routecache.keys import value_key
from routecache.local import L1Policy

VALUE = {"model": "model-medium", "provider": "openai", "window": 32768}


def traced(fill: Callable[[], object], n: int) -> float:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    held = fill()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del held
    return (after - before) / n


def l1(n: int) -> list[tuple[str, float]]:
    keys = [f"key{i}" for i in range(n)]
    rows = []
    for policy in get_args(L1Policy):

        def fill(policy: L1Policy = policy) -> BaseCacheManager:
            cache = BaseCacheManager(
                n, enable_redis=False, name=f"bench {policy}", l1_policy=policy
            )
            for key in keys:
                cache.set(key, VALUE)
            return cache

        rows.append((f"routecache, {policy}", traced(fill, n)))

    def ttl() -> object:
        cache: cachetools.TTLCache[str, object] = cachetools.TTLCache(n, 300, time.monotonic)
        cache.update(dict.fromkeys(keys, VALUE))
        return cache

    def lru() -> object:
        cache: cachetools.LRUCache[str, object] = cachetools.LRUCache(n)
        cache.update(dict.fromkeys(keys, VALUE))
        return cache

    rows += [("TTLCache", traced(ttl, n)), ("LRUCache", traced(lru, n))]
    rows.append(("dict", traced(lambda: dict.fromkeys(keys, VALUE), n)))
    return rows


def l2(url: str, counts: Sequence[int]) -> list[tuple[int, int, int, float, float]]:
    client = redis.Redis.from_url(url)
    rows = []
    for n in counts:
        keys = [f"key{i}" for i in range(n)]
        client.flushall()  # the benchmark's own server
        start = client.info("memory")["used_memory"]
        payload = b'{"model":"model-medium","provider":"openai","window":32768}'
        for first in range(0, n, 1000):
            pipe = client.pipeline(transaction=False)
            for key in keys[first : first + 1000]:
                pipe.set(value_key("bench", key), payload, px=300_000)
            pipe.execute()
        bare = (client.info("memory")["used_memory"] - start) / n
        bare_key = client.memory_usage(value_key("bench", keys[0])) or 0
        client.flushall()
        start = client.info("memory")["used_memory"]
        with BaseCacheManager(1, redis_url=url, cache_prefix="bench") as cache:
            for first in range(0, n, 1000):
                cache.set_many(dict.fromkeys(keys[first : first + 1000], VALUE))
        whole = (client.info("memory")["used_memory"] - start) / n
        key_bytes = client.memory_usage(value_key("bench", keys[0])) or 0
        rows.append((n, bare_key, key_bytes, bare, whole))
    client.close()
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(__doc__, argv)
    report = Report("memory", options)
    n = 5_000 if options.quick else 50_000
    report.table(
        f"L1, bytes per entry without key and value, {n:,} entries",
        [Column("cache"), Column("bytes", ".0f")],
        l1(n),
    )
    with private_redis() as server:
        report.table(
            "Redis, bytes per entry: bare JSON value against routecache's envelope",
            [
                Column("entries", ",d"),
                Column("MEMORY USAGE, bare", "d"),
                Column("MEMORY USAGE, envelope", "d"),
                Column("INFO, bare", ".0f"),
                Column("INFO, envelope", ".0f"),
            ],
            l2(server.url, (1_000,) if options.quick else (1_000, 10_000, 100_000)),
        )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
