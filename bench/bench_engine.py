"""The engine under fire: an outage, stampedes over threads, tasks and processes, coherence.

Each figure is printed beside the bound that the project sets itself; nothing is asserted here.
Run with `python -m bench.bench_engine`; about a minute.
"""

import asyncio
import math
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from routecache import AsyncCacheManager, BaseCacheManager, Policy
from routecache.tiered._core import TieredCore
from tests.proxy import Proxy
from tests.servers import RedisServer

LOOKUPS = 1000
LOADER = 0.05  # seconds


def quantile(seconds: list[float], q: float) -> float:
    """The `q` quantile of the measured values themselves."""
    return sorted(seconds)[min(len(seconds) - 1, math.ceil(q * len(seconds)) - 1)]


def outage(what: str, url: str) -> None:
    """1,000 look-ups of keys that L1 does not hold."""
    with BaseCacheManager(redis_url=url, cache_prefix="outage", name=f"outage {what}") as cache:
        took = []
        opened = None
        for i in range(LOOKUPS):
            began = time.perf_counter()
            cache.get(f"k{i}")
            took.append(time.perf_counter() - began)
            if opened is None and not cache.redis_available:
                opened = i + 1
        p99 = quantile(took, 0.99) * 1e3
        print(
            f"{what}: {LOOKUPS} look-ups in {sum(took):.3f} s, p99 {p99:.3f} ms, "
            f"max {max(took) * 1e3:.1f} ms (bound 70), circuit open after {opened}"
        )
        late = took[100:]
        print(f"  while open: median {statistics.median(late) * 1e6:.1f} µs a look-up")


async def outage_async(what: str, url: str) -> None:
    """The same for asyncio, one after the other and 100 at a time."""
    async with AsyncCacheManager(redis_url=url, cache_prefix="outage", name=f"a {what}") as cache:
        took = []

        async def one(i: int) -> None:
            began = time.perf_counter()
            await cache.get(f"k{i}")
            took.append(time.perf_counter() - began)

        for start in range(0, LOOKUPS, 100):
            await asyncio.gather(*(one(start + i) for i in range(100)))
        print(
            f"{what}, asyncio, 100 at a time: p99 {quantile(took, 0.99) * 1e3:.3f} ms, "
            f"max {max(took) * 1e3:.1f} ms"
        )


def stampede_threads(url: str) -> None:
    """1,000 threads on one cold key."""
    calls = []

    def load() -> str:
        calls.append(1)
        time.sleep(LOADER)
        return "value"

    with BaseCacheManager(redis_url=url, cache_prefix="stampede", name="stampede") as cache:
        asyncio.run(hearing(cache.core))
        gate = threading.Event()

        def ask() -> None:
            gate.wait()
            cache.get_or_load("threads", load)

        threads = [threading.Thread(target=ask) for _ in range(1000)]
        for thread in threads:
            thread.start()
        began = time.perf_counter()
        gate.set()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
    print(f"1,000 threads: {len(calls)} load, {seconds / LOADER:.2f} x the loader's {LOADER} s")


async def hearing(core: TieredCore) -> None:
    """Wait until the listener is connected: at that moment what is under way begins anew."""
    while not core.hears:  # noqa: ASYNC110  # it is no event: threads look at it
        await asyncio.sleep(0.01)


async def stampede_tasks(url: str) -> None:
    """5,000 tasks on one cold key."""
    calls = []

    async def load() -> str:
        calls.append(1)
        await asyncio.sleep(LOADER)
        return "value"

    async with AsyncCacheManager(redis_url=url, cache_prefix="stampede", name="tasks") as cache:
        await hearing(cache.core)
        began = time.perf_counter()
        await asyncio.gather(*(cache.get_or_load("tasks", load) for _ in range(5000)))
        seconds = time.perf_counter() - began
    print(
        f"5,000 tasks: {len(calls)} load, {seconds / LOADER:.2f} x the loader's {LOADER} s "
        "(bound 1.2)"
    )


def _process(url: str, gate: Any, loads: Any) -> None:
    policy = Policy(distributed_lock=True, l2_timeout=1.0)
    with BaseCacheManager(
        redis_url=url, cache_prefix="fleet", name="fleet", policy=policy
    ) as cache:

        def load() -> str:
            with loads.get_lock():
                loads.value += 1
            time.sleep(LOADER)
            return "value"

        def ask() -> None:
            assert cache.get_or_load("k", load) == "value"

        threads = [threading.Thread(target=ask) for _ in range(50)]
        gate.wait()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def stampede_processes(url: str) -> None:
    """4 processes of 50 threads on one cold key, with the distributed lock."""
    spawn = multiprocessing.get_context("spawn")
    gate, loads = spawn.Barrier(5), spawn.Value("i", 0)
    processes = [spawn.Process(target=_process, args=(url, gate, loads)) for _ in range(4)]
    for process in processes:
        process.start()
    gate.wait(30)
    for process in processes:
        process.join(30)
    print(f"4 processes x 50 with distributed_lock: {loads.value} load(s)")


def main() -> None:
    """Print all figures."""
    with RedisServer() as server:
        for run_one in (outage, lambda what, url: asyncio.run(outage_async(what, url))):
            with Proxy(server.url.removeprefix("unix://")) as proxy:
                proxy.mode = "black_hole"
                run_one("black-holed", proxy.url)
    outage("refused", "redis://127.0.0.1:1/0")
    asyncio.run(outage_async("refused", "redis://127.0.0.1:1/0"))
    with RedisServer() as server:
        runs: list[Callable[[str], None]] = [stampede_threads]
        for run in runs:
            run(server.url)
        asyncio.run(stampede_tasks(server.url))
        stampede_processes(server.url)


if __name__ == "__main__":
    main()
