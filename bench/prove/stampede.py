"""One load per key: threads, tasks, both together, and a fleet of processes on one cold key."""

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from bench.prove.findings import Findings
from routecache import AsyncCacheManager, BaseCacheManager, Policy
from routecache.tiered._core import TieredCore
from tests.helpers import eventually
from tests.servers import RedisServer

LOADER: Final = 0.05  # seconds
THREADS: Final = 1000
TASKS: Final = 5000
ROUNDS: Final = 5  # what else a machine does only lengthens them: the shortest counts
PROCESSES: Final = 4
THREADS_EACH: Final = 50
MIXED: Final = 500
# What is asked is whether loads are shared, and not how fast a busy machine starts threads.
PATIENT: Final = Policy(l2_timeout=5.0)


def prove(findings: Findings) -> None:
    """All four."""
    steps: list[Callable[[Findings, str], None]] = [_threads, _tasks, _mixed, _processes]
    with RedisServer() as server:
        for n, step in enumerate(steps):
            findings.advance(n / len(steps), step.__name__.strip("_"))
            step(findings, server.url)


class Loader:
    """Counts its calls and takes its time."""

    def __init__(self) -> None:
        self._calls: list[int] = []

    def __call__(self) -> str:
        self._calls.append(1)  # atomic
        time.sleep(LOADER)
        return "value"

    async def awaited(self) -> str:
        """The same for tasks."""
        self._calls.append(1)
        await asyncio.sleep(LOADER)
        return "value"

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self._calls)


def _hearing(core: TieredCore) -> None:
    # When a listener connects, what is under way begins anew, and nobody asks about that moment.
    eventually(lambda: core.hears, 10)


def _threads(findings: Findings, url: str) -> None:
    findings.case = f"{THREADS:,} threads"
    load, answers = Loader(), Answers()
    with BaseCacheManager(redis_url=url, cache_prefix="stampede", name="threads") as cache:
        _hearing(cache.core)
        gate = threading.Event()

        def ask() -> None:
            gate.wait()
            answers.add(cache.get_or_load("threads", load))

        seconds = _together([threading.Thread(target=ask) for _ in range(THREADS)], gate)
    _show(findings, load.calls, answers, THREADS)
    findings.saw("total", seconds / LOADER, "x the loader")


def _tasks(findings: Findings, url: str) -> None:
    findings.case = f"{TASKS:,} tasks"
    load, answers = Loader(), Answers()

    async def run() -> tuple[float, float]:
        ours, bare = [], []
        async with AsyncCacheManager(redis_url=url, cache_prefix="stampede", name="tasks") as cache:
            await asyncio.to_thread(_hearing, cache.core)
            for n in range(ROUNDS):
                started = time.perf_counter()
                given = await asyncio.gather(
                    *(cache.get_or_load(f"tasks{n}", load.awaited) for _ in range(TASKS))
                )
                ours.append(time.perf_counter() - started)
                for value in given:
                    answers.add(value)
                bare.append(await _bare())
        return min(ours), min(bare)

    ours, bare = asyncio.run(run())
    _show(findings, load.calls, answers, TASKS, ROUNDS)
    findings.timed("total, best of five", ours / LOADER, "≤", 1.2, "x the loader")
    findings.saw("bare asyncio tasks that await one future", bare / LOADER, "x the loader")


async def _bare() -> float:
    """Seconds that as many tasks take that share one future and do nothing else."""
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[str] = loop.create_future()

    async def wait() -> str:
        return await loaded

    started = time.perf_counter()
    loop.call_later(LOADER, loaded.set_result, "value")
    await asyncio.gather(*(wait() for _ in range(TASKS)))
    return time.perf_counter() - started


def _mixed(findings: Findings, url: str) -> None:
    findings.case = f"{MIXED} threads and {MIXED} tasks of one L1"
    load, answers = Loader(), Answers()
    gate = threading.Event()
    with BaseCacheManager(
        redis_url=url, cache_prefix="stampede", name="mixed", policy=PATIENT
    ) as cache:
        _hearing(cache.core)

        def ask() -> None:
            gate.wait()
            answers.add(cache.get_or_load("mixed", load))

        async def run() -> None:
            async with AsyncCacheManager.from_sync(cache) as twin:
                await asyncio.to_thread(gate.wait)
                for value in await asyncio.gather(
                    *(twin.get_or_load("mixed", load.awaited) for _ in range(MIXED))
                ):
                    answers.add(value)

        threads = [threading.Thread(target=ask) for _ in range(MIXED)]
        loop = threading.Thread(target=asyncio.run, args=(run(),))
        _together([loop, *threads], gate)
    _show(findings, load.calls, answers, 2 * MIXED)


def _processes(findings: Findings, url: str) -> None:
    findings.case = f"{PROCESSES} processes of {THREADS_EACH} threads, distributed_lock"
    spawn = multiprocessing.get_context("spawn")
    gate, loads, right = spawn.Barrier(PROCESSES + 1), spawn.Value("i", 0), spawn.Value("i", 0)
    processes = [
        spawn.Process(target=_process, args=(url, gate, loads, right), daemon=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    gate.wait(60)
    for process in processes:
        process.join(60)
    findings.must("loads", loads.value, "=", 1)
    findings.must("callers answered", right.value, "=", PROCESSES * THREADS_EACH)


def _process(url: str, gate: Any, loads: Any, right: Any) -> None:
    policy = Policy(distributed_lock=True, l2_timeout=5.0)
    with BaseCacheManager(redis_url=url, cache_prefix="fleet", policy=policy) as cache:
        _hearing(cache.core)

        def load() -> str:
            with loads.get_lock():
                loads.value += 1
            time.sleep(LOADER)
            return "value"

        def ask() -> None:
            if cache.get_or_load("k", load) == "value":
                with right.get_lock():
                    right.value += 1

        threads = [threading.Thread(target=ask) for _ in range(THREADS_EACH)]
        gate.wait(60)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class Answers:
    """What the callers got. Safe for threads."""

    def __init__(self) -> None:
        self._given: list[object] = []

    def add(self, value: object) -> None:
        """One caller's answer."""
        self._given.append(value)

    @property
    def right(self) -> int:
        """How many got the value."""
        return self._given.count("value")


def _together(threads: list[threading.Thread], gate: threading.Event) -> float:
    """Start them all and then let them go; the seconds until the last has ended."""
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    gate.set()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def _show(findings: Findings, calls: int, answers: Answers, callers: int, rounds: int = 1) -> None:
    findings.must("loads in each round", calls / rounds, "=", 1)
    findings.must("callers answered", answers.right, "=", callers * rounds)
