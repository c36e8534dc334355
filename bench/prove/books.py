"""The books under fire: every scrape balances, no counter falls, and all agree with the callers.

Six threads and two event loops of twenty tasks do random things to three caches, two of them over
a Redis that is stopped and started again. Meanwhile the exporter's families are collected twenty
times a second. The callers count for themselves what they ask and which loaders run.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final

from bench.prove.findings import Findings
from routecache import MISS, AsyncCacheManager, BaseCacheManager, Policy
from routecache_exporters import RoutecacheCollector, catalog
from routecache_exporters.catalog import METRICS
from tests.servers import RedisServer

SECONDS: Final = 60.0
THREADS: Final = 6
LOOPS: Final = 2
TASKS: Final = 20  # in each loop
KEYS: Final = 300
SCRAPE_EVERY: Final = 0.05

Sample = tuple[str, tuple[tuple[str, str], ...]]
Page = dict[Sample, float]


class Tally:
    """What one caller asked, by cache; written by that caller alone."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.loads: Counter[str] = Counter()
        self.raised: Counter[str] = Counter()


class Load:
    """A loader that counts its calls."""

    def __init__(self, tally: Tally, name: str, value: object) -> None:
        self._tally, self._name, self._value = tally, name, value

    def __call__(self) -> object:
        self._tally.loads[self._name] += 1
        return self._value

    async def awaited(self) -> object:
        """The same for tasks, which lets others run in between."""
        self._tally.loads[self._name] += 1
        await asyncio.sleep(0)
        return self._value


def prove(findings: Findings) -> None:
    """One minute of it."""
    with RedisServer() as server, ExitStack() as open_:
        policy = Policy(stale_ttl=1.0, stale_if_error=5.0, negative_ttl=0.5)
        caches = [
            open_.enter_context(
                BaseCacheManager(
                    size, ttl, ttl, redis, f"books.{name}", name=f"books {name}",
                    redis_url=server.url, policy=policy,
                )
            )
            for name, size, ttl, redis in (
                ("small", 50, 0.5, True), ("large", 1000, 5.0, True), ("local", 100, 1.0, False),
            )
        ]  # fmt: skip
        _run(findings, server, caches)


def _run(findings: Findings, server: RedisServer, caches: list[BaseCacheManager]) -> None:
    findings.case = f"{THREADS} threads and {LOOPS} x {TASKS} tasks for {SECONDS:g} s"
    stop = threading.Event()
    tallies: list[Tally] = []
    workers = []
    for n in range(THREADS + LOOPS):
        tally = Tally()
        tallies.append(tally)
        work = _thread if n < THREADS else _loop
        args = (caches, tally, findings.seed * 100 + n, stop)
        workers.append(threading.Thread(target=work, args=args))
    for worker in workers:
        worker.start()
    watch = Watch([cache.name for cache in caches])
    began = time.monotonic()
    outage = [(SECONDS / 3, server.stop), (SECONDS / 2, server.start)]
    while (passed := time.monotonic() - began) < SECONDS:
        while outage and passed >= outage[0][0]:
            outage.pop(0)[1]()
        findings.advance(passed / SECONDS, "scraping")
        watch.look()
        stop.wait(SCRAPE_EVERY)
    stop.set()
    for worker in workers:
        worker.join(60)
    _settle(caches)
    watch.look()
    findings.saw("look-ups", sum(sum(t.requests.values()) for t in tallies))
    findings.saw("scrapes", watch.scrapes)
    findings.must("exceptions raised to callers", _total(t.raised for t in tallies), "=", 0)
    findings.must("scrapes whose books do not balance", watch.unbalanced, "=", 0)
    findings.must("counters that fell", watch.fallen, "=", 0)
    requests = sum((t.requests for t in tallies), Counter[str]())
    loads = sum((t.loads for t in tallies), Counter[str]())
    off = sum(abs(watch.last(catalog.REQUESTS.name, n) - requests[n]) for n in requests)
    findings.must("look-ups that callers and counters disagree on", off, "=", 0)
    off = sum(abs(watch.last(catalog.LOADS.name, n) - loads[n]) for n in loads)
    findings.must("loads that callers and counters disagree on", off, "=", 0)


def _total(counts: Iterable[Counter[str]]) -> int:
    return sum(sum(count.values()) for count in counts)


def _settle(caches: list[BaseCacheManager]) -> None:
    """Wait until no background refresh runs any more: its loader counts when it returns."""
    deadline = time.monotonic() + 10
    while any(cache.core.loads_in_flight for cache in caches) and time.monotonic() < deadline:
        time.sleep(0.01)


class Watch:
    """Collects the exporter's families and looks whether they balance."""

    def __init__(self, names: list[str]) -> None:
        self._collector = RoutecacheCollector()
        self._names = names
        self._counters = {metric.name for metric in METRICS if metric.type == "counter"}
        self._page: Page = {}
        self.scrapes = self.unbalanced = self.fallen = 0

    def look(self) -> None:
        """One scrape."""
        page: Page = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self._collector.collect()
            for sample in family.samples
        }
        self.scrapes += 1
        self.unbalanced += not all(self._balances(page, name) for name in self._names)
        for key, value in self._page.items():
            name = key[0]
            if name in self._counters or name.endswith(("_bucket", "_count")):
                self.fallen += page.get(key, -1.0) < value
        self._page = page

    def last(self, metric: str, cache: str) -> float:
        """A metric's value for a cache in the last scrape."""
        return _sum(self._page, metric, cache=cache)

    @staticmethod
    def _balances(page: Page, cache: str) -> bool:
        def of(metric: Any, suffix: str = "", **labels: str) -> float:
            return _sum(page, metric.name + suffix, cache=cache, **labels)

        def ended(*outcomes: str) -> float:
            return sum(of(catalog.REQUEST_DURATION, "_count", outcome=o) for o in outcomes)

        requests, l1, l2 = (
            of(catalog.REQUESTS),
            of(catalog.HITS, tier="l1"),
            of(catalog.HITS, tier="l2"),
        )
        misses = of(catalog.MISSES)
        return (
            requests == l1 + l2 + misses
            and requests == l1 + of(catalog.L1_MISSES)
            and l2 == ended("l2_hit", "stale")
            and misses == ended("load", "miss", "error")
            and of(catalog.LOADS) == of(catalog.LOAD_DURATION, "_count")
            and of(catalog.STALE_HITS) <= l1 + l2
            and of(catalog.ENTRIES, tier="l1") <= of(catalog.MAX_ENTRIES, tier="l1")
        )


def _sum(page: Page, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for (n, have), value in page.items() if n == name and wanted <= set(have))


def _thread(caches: list[BaseCacheManager], tally: Tally, seed: int, stop: threading.Event) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        cache = chance.choice(caches)
        key, name = f"k{int(chance.paretovariate(0.6)) % KEYS}", cache.name
        try:
            match chance.randrange(20):
                case 0:
                    cache.set(key, key, tags=(f"t{key[-1]}",))
                case 1:
                    cache.delete(key)
                case 2:
                    cache.invalidate_tags(f"t{chance.randrange(10)}")
                case 3:
                    cache.set_many({f"k{chance.randrange(KEYS)}": 1 for _ in range(5)})
                case 4 | 5:
                    some = [f"k{chance.randrange(KEYS)}" for _ in range(chance.randrange(1, 9))]
                    tally.requests[name] += len(some)
                    cache.get_many(some)
                case 6:
                    cache.delete_many([f"k{chance.randrange(KEYS)}" for _ in range(3)])
                case n if n < 12:
                    tally.requests[name] += 1
                    cache.get(key)
                case _:
                    tally.requests[name] += 1
                    cache.get_or_load(key, Load(tally, name, _value(key)))
        except Exception as error:  # whatever it is, a router's request would have failed
            tally.raised[type(error).__name__] += 1


def _value(key: str) -> object:
    return MISS if key.endswith("7") else key


def _loop(caches: list[BaseCacheManager], tally: Tally, seed: int, stop: threading.Event) -> None:
    asyncio.run(_tasks(caches, tally, seed, stop))


async def _tasks(
    caches: list[BaseCacheManager], tally: Tally, seed: int, stop: threading.Event
) -> None:
    shared = [AsyncCacheManager.from_sync(cache) for cache in caches]
    try:
        work = (_task(shared, tally, seed * 100 + n, stop) for n in range(TASKS))
        await asyncio.gather(*work)
    finally:
        for cache in shared:
            await cache.close()


async def _task(
    caches: list[AsyncCacheManager], tally: Tally, seed: int, stop: threading.Event
) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        await asyncio.sleep(0)  # a hit awaits nothing
        cache = chance.choice(caches)
        key, name = f"k{int(chance.paretovariate(0.6)) % KEYS}", cache.name
        try:
            match chance.randrange(8):
                case 0:
                    await cache.set(key, key)
                case 1:
                    await cache.delete(key)
                case 2:
                    some = [f"k{chance.randrange(KEYS)}" for _ in range(chance.randrange(1, 9))]
                    tally.requests[name] += len(some)
                    await cache.get_many(some)
                case 3:
                    tally.requests[name] += 1
                    await cache.get(key)
                case _:
                    tally.requests[name] += 1
                    await cache.get_or_load(key, Load(tally, name, _value(key)).awaited)
        except Exception as error:  # as above
            tally.raised[type(error).__name__] += 1
