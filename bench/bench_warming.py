"""A router that starts cold, and one that was warmed: hits of its first requests, seconds to ready.

    python -m bench.bench_warming [LOG] [--context COLS] [--hottest]

LOG is any log that `routecache replay` reads; without one it is the demo's sample. The router is
replaced in the middle of the log: what came before is the past that it is warmed with, what comes
after is asked of it. A load takes 20 ms, which warm-ups really spend, eight at once; of the
replayed requests' loads the number is told.

--hottest replays the past of the log in 90 seconds through three routers over Redis instead, for
each of the three questions by which Redis can be asked for its hottest keys, and tells what the
100 contexts that are chosen then answer.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import redis

from bench.private_redis import private_redis
from routecache import (
    PastRequest,
    RoutingCache,
    RoutingSettings,
    RoutingWarmResult,
    keys,
    snapshot,
)
from routecache_exporters.demo.sample import write_sample
from routecache_exporters.replay.context import parse_context
from routecache_exporters.replay.loaders import LOADERS
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.policy import Asked
from routecache_exporters.replay.requests import asked
from routecache_exporters.replay.runner import CACHES, Replayer

COST = 0.020
FIRST = (100, 1000)


class Start(NamedTuple):
    """How a router's start went: seconds of its warm-up, then per number of first requests the
    share of look-ups that L1 answered, that any tier answered, and the loads."""

    ready: float
    warm: int
    first: tuple[tuple[float, float, int], ...]


def requests_of(path: str, context: str | None) -> list[Asked]:
    """All requests of a log."""
    with Log(path) as log:
        return list(asked(log, parse_context(context, log.columns), None))


def past(requests: Sequence[Asked]) -> list[PastRequest]:
    """What a warm-up is told of them."""
    return [PastRequest(each.context, each.provider, each.tool) for each in requests]


def costly(load: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """`load`, which takes its time."""
    assert load is not None

    def loader(what: Any) -> Any:
        time.sleep(COST)
        return load(what)

    return loader


SLOW = replace(
    LOADERS,
    provider=costly(LOADERS.provider), model=costly(LOADERS.model),
    fallback=costly(LOADERS.fallback), tool=costly(LOADERS.tool),
)  # fmt: skip


def counted() -> Counter[str]:
    """Look-ups of the four caches so far."""
    total: Counter[str] = Counter()
    for each in snapshot().caches:
        if each.name in CACHES:
            total.update(requests=each.requests, l1=each.l1_hits, l2=each.l2_hits, load=each.loads)
    return total


def start(
    settings: RoutingSettings,
    future: Sequence[Asked],
    warm: Callable[[RoutingCache], RoutingWarmResult] | None,
) -> Start:
    """A new router, warmed or not, that is asked what came next."""
    with RoutingCache(settings) as cache:
        result = None if warm is None else warm(cache)
        replayer, begun = Replayer(cache, Pace(None, threading.Event())), counted()
        first = []
        for n in FIRST:
            replayer.run(iter(future[replayer.requests : n]))
            now = counted()
            now.subtract(begun)
            share = now["l1"] / now["requests"], (now["l1"] + now["l2"]) / now["requests"]
            first.append((*share, now["load"]))
        return Start(result.seconds if result else 0.0, result.warm if result else 0, tuple(first))


def starts(requests: Sequence[Asked]) -> Iterator[tuple[str, Start]]:
    """Every way to start, by its name."""
    middle = len(requests) // 2
    before, after = requests[:middle], requests[middle:]

    def from_log(cache: RoutingCache) -> RoutingWarmResult:
        return cache.warm(past(before), loaders=SLOW, deadline=120, fleet=None)

    def from_redis(cache: RoutingCache) -> RoutingWarmResult:
        return cache.warm(deadline=120)

    for name, filled, warm in (
        ("cold, Redis empty", False, None),
        ("warmed from the log, Redis empty", False, from_log),
        ("cold, beside a full Redis", True, None),
        ("warmed from Redis' hottest keys", True, from_redis),
        ("warmed from the log, beside a full Redis", True, from_log),
    ):
        with private_redis() as server:
            settings = RoutingSettings(redis_url=server.url)
            if filled:
                with RoutingCache(settings) as other:
                    Replayer(other, Pace(None, threading.Event())).run(iter(before))
            yield name, start(settings, after, warm)


QUESTIONS = {
    "OBJECT FREQ": ("allkeys-lfu", ()),
    "OBJECT IDLETIME and PTTL": ("allkeys-lru", ()),
    "PTTL": ("noeviction", ("-object", "-object|freq", "-object|idletime")),
}
SECONDS = 90.0
ROUTERS = 3


def hottest(requests: Sequence[Asked]) -> Iterator[tuple[str, float]]:
    """By what Redis is asked: the share of the next 1,000 requests whose contexts were chosen."""
    middle = len(requests) // 2
    before, after = requests[:middle], requests[middle : middle + 1000]

    def of(question: str) -> float:
        policy, forbidden = QUESTIONS[question]
        with private_redis() as server, redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", policy)
            client.config_set("maxmemory", 256 * 1024 * 1024)
            if forbidden:
                client.execute_command("ACL", "SETUSER", "default", forbidden[0])
            settings = RoutingSettings(
                redis_url=server.url, provider_ttl=15, model_ttl=9, fallback_ttl=30
            )
            routers = [RoutingCache(settings) for _ in range(ROUTERS)]
            begun = time.monotonic()
            for n, each in enumerate(before):
                due = begun + SECONDS * n / len(before)
                time.sleep(max(0.0, due - time.monotonic()))
                Replayer(routers[n % ROUTERS], Pace(None, threading.Event())).ask(each)
            with RoutingCache(settings) as new:
                new.warm(deadline=30)
                chosen = set(new._model.core.local.entries)  # noqa: SLF001  # the model cache's
            for router in routers:
                router.close()
        return sum(keys.digest(each.context) in chosen for each in after) / len(after)

    with ThreadPoolExecutor() as threads:
        yield from zip(QUESTIONS, threads.map(of, QUESTIONS), strict=True)
    common = Counter(keys.digest(each.context) for each in before)
    for name, chosen in (
        ("counted from the log", [key for key, _ in common.most_common(100)]),
        (
            "any 100 of what was asked",
            random.Random(5).sample(sorted(common), min(100, len(common))),
        ),
    ):
        yield name, sum(keys.digest(each.context) in chosen for each in after) / len(after)


def main() -> None:
    """Print one line for each way to start, or to ask Redis."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("log", nargs="?", help="default: the demo's sample")
    parser.add_argument("--context", help="columns that make the context, as for replay")
    parser.add_argument("--hottest", action="store_true", help="by what Redis ranks its keys")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.log
        if path is None:
            path = str(Path(folder, "sample.csv"))
            with open(path, "w", encoding="utf-8", newline="") as stream:
                write_sample(stream)
        requests = requests_of(path, options.context)
        contexts = len({keys.digest(each.context) for each in requests})
        print(f"{len(requests):,} requests, {contexts:,} contexts")
        if options.hottest:
            for question, share in hottest(requests):
                print(f"{question:28} {share:.3f}")
            return
        print(f"{'':42} ready    warm   first 100: L1, any, loads   first 1,000: L1, any, loads")
        for name, made in starts(requests):
            shares = "   ".join(f"{l1:8.3f} {any_:8.3f} {n:6d}" for l1, any_, n in made.first)
            print(f"{name:42} {made.ready:4.1f} s  {made.warm:4d}   {shares}")


if __name__ == "__main__":
    main()
