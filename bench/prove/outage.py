"""An outage costs a bounded delay: 1,000 look-ups, one after the other, that L1 cannot answer.

Redis is refused; accepts and never answers; falls silent after it has answered; or sends its
replies byte by byte. A look-up while the circuit is open is compared with one of a cache without
Redis.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from bench.prove.findings import Findings, quantile
from routecache import MISS, AsyncCacheManager, BaseCacheManager, Policy
from tests.proxy import Mode, Proxy
from tests.servers import RedisServer

LOOKUPS: Final = 1000
L2_TIMEOUT: Final = Policy().l2_timeout
LONGEST: Final = (L2_TIMEOUT + 0.02) * 1e3  # milliseconds
REFUSED: Final = "redis://127.0.0.1:1/0"


class Measured(NamedTuple):
    """Seconds of each look-up, and after how many the circuit was open."""

    took: list[float]
    opened_after: int
    wrong: int


class Case(NamedTuple):
    """What Redis does, and whether it answers once before."""

    name: str
    mode: Mode | None
    answers_first: bool = False


CASES: Final = (
    Case("refused", None),
    Case("black-holed", "black_hole"),
    Case("falls silent", "black_hole", answers_first=True),
    Case("dripping", "drip", answers_first=True),
)


def prove(findings: Findings) -> None:
    """All cases, sync and asyncio."""
    without = statistics.median(_sync(findings, enable_redis=False).took[100:])
    with RedisServer() as server:
        for n, case in enumerate(CASES):
            findings.advance(n / len(CASES), case.name)
            for name, run in (("sync", _sync), ("asyncio", _asyncio)):
                findings.case = f"{case.name}, {name}"
                with _redis(server, case) as (url, begin):
                    _show(findings, run(findings, url=url, begin=begin), without)


@contextmanager
def _redis(server: RedisServer, case: Case) -> Iterator[tuple[str, Callable[[], None]]]:
    """Its URL, and what to call when a manager is there."""
    if case.mode is None:
        yield REFUSED, _nothing
        return
    with Proxy(server.url.removeprefix("unix://")) as proxy:

        def begin() -> None:
            assert case.mode is not None
            proxy.mode = case.mode

        if not case.answers_first:
            begin()
        yield proxy.url, begin


def _nothing() -> None:
    pass


def _sync(
    findings: Findings,
    *,
    url: str | None = None,
    begin: Callable[[], None] = _nothing,
    enable_redis: bool = True,
) -> Measured:
    with BaseCacheManager(
        redis_url=url,
        cache_prefix="outage",
        name=findings.case or "alone",
        enable_redis=enable_redis,
    ) as cache:
        cache.get("connects")
        begin()
        took, opened, wrong = [], 0, 0
        for i in range(LOOKUPS):
            started = time.perf_counter()
            value = cache.get(f"k{i}", MISS)
            took.append(time.perf_counter() - started)
            wrong += value is not MISS
            if not opened and enable_redis and not cache.redis_available:
                opened = i + 1
    return Measured(took, opened or LOOKUPS, wrong)


def _asyncio(findings: Findings, *, url: str, begin: Callable[[], None]) -> Measured:
    async def run() -> Measured:
        async with AsyncCacheManager(
            redis_url=url, cache_prefix="outage", name=findings.case
        ) as cache:
            await cache.get("connects")
            begin()
            took, opened, wrong = [], 0, 0
            for i in range(LOOKUPS):
                started = time.perf_counter()
                value = await cache.get(f"k{i}", MISS)
                took.append(time.perf_counter() - started)
                wrong += value is not MISS
                if not opened and not cache.redis_available:
                    opened = i + 1
        return Measured(took, opened or LOOKUPS, wrong)

    work: Coroutine[object, object, Measured] = run()
    return asyncio.run(work)


def _show(findings: Findings, measured: Measured, without: float) -> None:
    took = measured.took
    findings.must("answers other than a miss", measured.wrong, "=", 0)
    findings.timed("longest look-up", max(took) * 1e3, "≤", LONGEST, "ms")
    findings.timed("p99 of all look-ups", quantile(took, 0.99) * 1e3, "≤", 1.0, "ms")
    findings.saw("total", sum(took), "s")
    findings.must("circuit open after", measured.opened_after, "≤", 5, "look-ups")
    # Once open nearly all are refused by it; the few that probe do not move the median.
    cost = statistics.median(took[100:]) - without
    findings.timed("cost of a look-up while open", cost * 1e6, "≤", 20.0, "µs")
