"""What the memory tier costs: hit, miss, set and `get_or_load`, Redis off, against peers.

    python bench/bench_l1.py [--quick] [--json] [--check] [--collect]

The baseline is what one would write by hand: `with lock: value = ttl_cache[key]` on cachetools'
TTLCache, written out in the loop, without even the call of a function. `routecache` is the method
call that its users write. All caches hold 1,000 entries and are asked in a shuffled order.

One thread asks. What eight threads do to each other is in bench_threads.py, and that is where the
lock of the baseline is expensive. See interleave.py for how to read the figures.
"""

import asyncio
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cachetools import LRUCache, TTLCache, cached

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.interleave import Contestant, compete
from bench.peers import Peers
from routecache import MISS, BaseCacheManager

SIZE: Final = 1000
TTL: Final = 300
GOAL: Final = 0.4
OURS: Final = "routecache"

BASELINE: Final = "TTLCache[k] + lock"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 with `--check` if the goal is missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("l1", options)
    groups: list[tuple[str, float, Callable[[Peers], list[Contestant]]]] = [
        ("L1 hit", 10.0, _hits),
        ("L1 miss, Redis off", 5.0, _misses),
        ("set of a key that is there", 4.0, _overwrites),
        ("set of a new key into a full cache", 4.0, _inserts),
        ("get_or_load, hit", 4.0, _loads),
    ]
    with Peers() as peers:
        for title, share, make in groups:
            contestants = make(peers)
            baseline = contestants[0].name
            results = compete(
                contestants, baseline, options.seconds(share), collect=options.collect
            )
            result.results(f"{title}, relative to {baseline}", results)
            if make is _hits:
                ours = next(r for r in results if r.name == OURS)
                result.goal(f"L1 hit relative to {BASELINE}", ours.ratio.median, GOAL)
        result.note(peers.note())
    return result.finish()


def _keys(first: int = 0) -> list[str]:
    keys = [f"key:{i:06d}" for i in range(first, first + SIZE)]
    random.Random(first).shuffle(keys)
    return keys


def _manager(**options: Any) -> BaseCacheManager:
    return BaseCacheManager(SIZE, TTL, enable_redis=False, cache_prefix="bench", **options)


def _hits(peers: Peers) -> list[Contestant]:
    keys = _keys()
    values = {key: {"model": "large", "rank": i} for i, key in enumerate(keys)}
    lock = threading.Lock()
    ttl_cache: TTLCache[str, object] = TTLCache(SIZE, TTL, time.monotonic)
    lru_cache: LRUCache[str, object] = LRUCache(SIZE)
    manager, lru = _manager(), _manager(l1_policy="lru")
    for cache in (ttl_cache, lru_cache):
        cache.update(values)
    for ours in (manager, lru):
        ours.set_many(values)

    def ttl_item() -> None:
        for key in keys:
            with lock:
                ttl_cache[key]

    def ttl_get() -> None:
        for key in keys:
            with lock:
                ttl_cache.get(key)

    def lru_item() -> None:
        for key in keys:
            with lock:
                lru_cache[key]

    def plain_dict() -> None:
        for key in keys:
            values[key]

    def routecache() -> None:
        for key in keys:
            manager.get(key)

    def routecache_lru() -> None:
        for key in keys:
            lru.get(key)

    contestants = [
        Contestant(BASELINE, ttl_item, SIZE),
        Contestant("TTLCache.get(k) + lock", ttl_get, SIZE),
        Contestant("LRUCache[k] + lock", lru_item, SIZE),
        Contestant("dict[k]", plain_dict, SIZE),
        Contestant(OURS, routecache, SIZE),
        Contestant('routecache, l1_policy="lru"', routecache_lru, SIZE),
    ]
    if (region := _dogpile(peers)) is not None:
        region.set_multi(values)

        def dogpile_get() -> None:
            for key in keys:
                region.get(key)

        contestants.append(Contestant("dogpile memory region", dogpile_get, SIZE))
    if (box := _cachebox(peers)) is not None:
        box.update(values)

        def cachebox_item() -> None:
            for key in keys:
                box[key]

        contestants.append(Contestant("cachebox TTLCache[k] (Rust)", cachebox_item, SIZE))
    if (cashews := peers.find("cashews")) is not None:
        contestants.append(_cashews_hits(peers, cashews, keys, values))
    return contestants


def _cashews_hits(
    peers: Peers, cashews: Any, keys: list[str], values: dict[str, Any]
) -> Contestant:
    runner = peers.enter_context(asyncio.Runner())
    cache = cashews.Cache()

    async def fill() -> None:
        cache.setup("mem://", size=SIZE)
        for key, value in values.items():
            await cache.set(key, value, expire=TTL)

    async def ask() -> None:
        for key in keys:
            await cache.get(key)

    peers.callback(lambda: runner.run(cache.close()))
    runner.run(fill())
    return Contestant("cashews mem, awaited", lambda: runner.run(ask()), SIZE)


def _misses(peers: Peers) -> list[Contestant]:
    keys, absent = _keys(), _keys(SIZE)
    lock = threading.Lock()
    ttl_cache: TTLCache[str, object] = TTLCache(SIZE, TTL, time.monotonic)
    manager = _manager()
    ttl_cache.update(dict.fromkeys(keys, "x"))
    manager.set_many(dict.fromkeys(keys, "x"))

    def ttl_item() -> None:
        for key in absent:
            with lock:
                try:
                    ttl_cache[key]
                except KeyError:
                    continue

    def ttl_get() -> None:
        for key in absent:
            with lock:
                ttl_cache.get(key)

    def routecache() -> None:
        for key in absent:
            manager.get(key, MISS)

    contestants = [
        Contestant(BASELINE, ttl_item, SIZE),
        Contestant("TTLCache.get(k) + lock", ttl_get, SIZE),
        Contestant(OURS, routecache, SIZE),
    ]
    if (region := _dogpile(peers)) is not None:
        region.set_multi(dict.fromkeys(keys, "x"))

        def dogpile_get() -> None:
            for key in absent:
                region.get(key)

        contestants.append(Contestant("dogpile memory region", dogpile_get, SIZE))
    return contestants


def _overwrites(peers: Peers) -> list[Contestant]:
    return _sets(peers, _keys())


def _inserts(peers: Peers) -> list[Contestant]:
    return _sets(peers, _keys() + _keys(SIZE))  # in turn, so that each key has been evicted


def _sets(peers: Peers, keys: list[str]) -> list[Contestant]:
    value = {"model": "large", "rank": 1}
    lock = threading.Lock()
    ttl_cache: TTLCache[str, object] = TTLCache(SIZE, TTL, time.monotonic)
    manager = _manager()

    def ttl_set() -> None:
        for key in keys:
            with lock:
                ttl_cache[key] = value

    def routecache() -> None:
        for key in keys:
            manager.set(key, value)

    contestants = [
        Contestant("TTLCache[k] = v + lock", ttl_set, len(keys)),
        Contestant(OURS, routecache, len(keys)),
    ]
    if (region := _dogpile(peers)) is not None and len(keys) == SIZE:  # its memory has no bound

        def dogpile_set() -> None:
            for key in keys:
                region.set(key, value)

        contestants.append(Contestant("dogpile memory region", dogpile_set, len(keys)))
    return contestants


def _loads(peers: Peers) -> list[Contestant]:
    keys = _keys()
    lock = threading.Lock()
    ttl_cache: TTLCache[str, object] = TTLCache(SIZE, TTL, time.monotonic)
    memo: TTLCache[Any, object] = TTLCache(SIZE, TTL, time.monotonic)
    manager = _manager()

    def load() -> str:
        return "x"

    def ttl_item() -> None:
        for key in keys:
            with lock:
                try:
                    ttl_cache[key]
                except KeyError:
                    ttl_cache[key] = load()

    memoized = cached(memo, lock=lock)(lambda _key: load())

    def decorated() -> None:
        for key in keys:
            memoized(key)

    def routecache() -> None:
        for key in keys:
            manager.get_or_load(key, load)

    contestants = [
        Contestant(BASELINE, ttl_item, SIZE),
        Contestant("@cached(TTLCache, lock)", decorated, SIZE),
        Contestant(OURS, routecache, SIZE),
    ]
    if (region := _dogpile(peers)) is not None:

        def dogpile_load() -> None:
            for key in keys:
                region.get_or_create(key, load)

        contestants.append(Contestant("dogpile memory region", dogpile_load, SIZE))
    return contestants


def _dogpile(peers: Peers) -> Any:
    dogpile = peers.find("dogpile.cache")
    if dogpile is None:
        return None
    return dogpile.make_region().configure("dogpile.cache.memory", expiration_time=TTL)


def _cachebox(peers: Peers) -> Any:
    cachebox = peers.find("cachebox")
    return None if cachebox is None else cachebox.TTLCache(SIZE, TTL)


if __name__ == "__main__":
    raise SystemExit(main())
