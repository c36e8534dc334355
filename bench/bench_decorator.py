"""What a hit through `cached` costs, relative to `get_or_load` with a key that is ready.

    python bench/bench_decorator.py [--quick] [--json] [--check] [--collect]

The function takes a str and an int that has a default. `get_or_load` with a ready key is what the
decorator adds to; `functools.lru_cache` is as fast as Python can be, and has neither TTL nor a
second tier, and 1 and True share an entry. Peers keep their entries in memory. Theirs that are for
asyncio are measured in a loop of their own, beside `AsyncCacheManager.get_or_load`.
"""

import asyncio
import functools
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import cachetools

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.interleave import Contestant, compete
from bench.peers import Peers
from routecache import AsyncCacheManager, BaseCacheManager, cached

LAPS: Final = 500
READY: Final = "get_or_load, ready key"
OURS: Final = "cached"
GOAL: Final = 12.0

Function: TypeAlias = Callable[[], object]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a hit was none, or with `--check` a goal missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("decorator", options)
    with Peers() as peers, BaseCacheManager(enable_redis=False, cache_prefix="bench") as manager:
        _functions(manager, peers, options, result)
        _coroutines(peers, options, result)
        result.note(peers.note())
    return result.finish()


def _price(model: str, tokens: int = 1000) -> list[Any]:
    return [model, tokens]


@dataclass(frozen=True)
class Rate:
    factor: float
    region: str


def _rate_price(rate: Rate, model: str, tokens: int = 1000) -> list[Any]:
    return [model, rate.factor * tokens]


def _tariff(manager: BaseCacheManager) -> Function:
    class Tariff:
        @cached(manager, ignore=("self",), name="tariff")
        def price(self, model: str, tokens: int = 1000) -> list[Any]:
            return _price(model, tokens)

    tariff = Tariff()
    return lambda: tariff.price("gpt-x")


def _functions(
    manager: BaseCacheManager, peers: Peers, options: report.Options, result: report.Report
) -> None:
    ours = cached(manager, name="price")(_price)
    by_key = cached(manager, name="by_key", key=lambda model, tokens=1000: f"{model}:{tokens}")
    of_rate, rate = cached(manager, name="rate")(_rate_price), Rate(1.25e-6, "eu")
    ready, load = ours.cache_key("gpt-x"), functools.partial(_price, "gpt-x")
    store: cachetools.TTLCache[Any, Any] = cachetools.TTLCache(1000, 300)
    calls: dict[str, Function] = {
        READY: lambda: manager.get_or_load(ready, load),
        OURS: lambda: ours("gpt-x"),
        f"{OURS}, an argument by name": lambda: ours("gpt-x", tokens=1000),
        f"{OURS}, key=": functools.partial(by_key(_price), "gpt-x"),
        f"{OURS}, a method": _tariff(manager),
        f"{OURS}, a dataclass among the arguments": lambda: of_rate(rate, "gpt-x"),
        "functools.lru_cache": functools.partial(functools.lru_cache(1000)(_price), "gpt-x"),
        "cachetools.cached, TTLCache and lock": functools.partial(
            cachetools.cached(store, lock=threading.Lock())(_price), "gpt-x"
        ),
    }
    dogpile = peers.find("dogpile.cache")
    if dogpile is not None:
        region = dogpile.make_region().configure("dogpile.cache.memory", expiration_time=300)
        calls["dogpile, memory"] = functools.partial(region.cache_on_arguments()(_price), "gpt-x")
    for call in calls.values():
        result.must(call() == ["gpt-x", 1000], "a wrong result")
    loads = manager.get_stats()["loads"]
    contestants = [Contestant(name, _repeated(call), LAPS) for name, call in calls.items()]
    results = compete(contestants, READY, options.seconds(8.0), collect=options.collect)
    result.must(manager.get_stats()["loads"] == loads, "a call that had to be a hit was not")
    result.results("a hit, functions", results)
    by_name = {found.name: found.ratio.median for found in results}
    result.goal(f"{OURS}, by {READY}", by_name[OURS], GOAL)


def _repeated(call: Function) -> Callable[[], None]:
    def batch() -> None:
        for _ in range(LAPS):
            call()

    return batch


def _coroutines(peers: Peers, options: report.Options, result: report.Report) -> None:
    async def price(model: str, tokens: int = 1000) -> list[Any]:
        return _price(model, tokens)

    with asyncio.Runner() as runner:
        manager = AsyncCacheManager(enable_redis=False, cache_prefix="bench.async")
        ours = cached(manager, name="price")(price)
        ready = ours.cache_key("gpt-x")
        calls: dict[str, Callable[[], Any]] = {
            READY: lambda: manager.get_or_load(ready, lambda: price("gpt-x")),
            OURS: lambda: ours("gpt-x"),
        }
        cashews = peers.find("cashews")
        if cashews is not None:
            memory = cashews.Cache()
            memory.setup("mem://")
            calls["cashews, memory"] = functools.partial(memory(ttl=300)(price), "gpt-x")

        def repeated(call: Callable[[], Any]) -> Callable[[], None]:
            async def laps() -> None:
                for _ in range(LAPS):
                    await call()

            return lambda: runner.run(laps())

        async def check() -> None:
            for call in calls.values():
                result.must(await call() == ["gpt-x", 1000], "a wrong result")

        runner.run(check())
        contestants = [Contestant(name, repeated(call), LAPS) for name, call in calls.items()]
        results = compete(contestants, READY, options.seconds(6.0), collect=options.collect)
        result.must(manager.get_stats()["loads"] == 1, "a call that had to be a hit was not")
        runner.run(manager.close())
    result.results("a hit, coroutine functions", results)


if __name__ == "__main__":
    raise SystemExit(main())
