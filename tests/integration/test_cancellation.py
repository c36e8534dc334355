"""Tasks cancelled at random points leave nothing behind: no wrong value, no connection, no wait."""

import asyncio
import functools
import itertools
import random
from typing import Any

import redis

from routecache import MISS, AsyncCacheManager, Policy, snapshot
from tests.servers import RedisServer

TASKS = 10_000
_names = itertools.count()


def connections(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        return len(client.client_list())


def test_a_storm_of_cancellations_leaves_nothing_behind(shared_redis: RedisServer) -> None:
    chance = random.Random(7)
    wrong: list[tuple[str, Any]] = []
    ended = 0

    async def use(cache: AsyncCacheManager, n: int) -> None:
        nonlocal ended
        key = f"k{n % 97}"

        async def load() -> str:
            await asyncio.sleep(0)
            return key

        kind = n % 5
        if kind == 0:
            await cache.set(key, key)
        elif kind == 1:
            await cache.delete(key)
        else:
            value = await (cache.get_or_load(key, load) if kind < 4 else cache.get(key, MISS))
            if value is not MISS and value != key:
                wrong.append((key, value))
        ended += 1

    async def storm(cache: AsyncCacheManager) -> None:
        for start in range(0, TASKS, 200):
            tasks = [asyncio.ensure_future(use(cache, n)) for n in range(start, start + 200)]
            for task in tasks:
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                if chance.random() < 0.5:
                    task.cancel()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    async def run() -> tuple[int, int]:
        policy = Policy(l2_timeout=5.0)
        name = f"storm{next(_names)}"
        async with AsyncCacheManager(
            redis_url=shared_redis.url, name=name, cache_prefix=name, policy=policy
        ) as cache:
            await cache.set("first", 1)
            before = connections(shared_redis)
            await storm(cache)
            for n in range(97):
                assert await cache.get_or_load(f"k{n}", functools.partial(str, f"k{n}")) == f"k{n}"
            after = connections(shared_redis)
        (seen,) = [c for c in snapshot().caches if c.name == name]
        assert seen.loads_in_flight == 0
        return before, after

    before, after = asyncio.run(run())
    assert wrong == []
    assert 0 < ended < TASKS, "some were cancelled and some were not"
    # One connection of the background, which deletes what interrupted writes may have left.
    assert after <= before + 1


def test_a_cancelled_leader_hands_its_load_to_a_waiter(shared_redis: RedisServer) -> None:
    async def run() -> tuple[str, int]:
        calls = 0
        started = asyncio.Event()
        go_on = asyncio.Event()

        async def load() -> str:
            nonlocal calls
            calls += 1
            started.set()
            await go_on.wait()
            return "value"

        name = f"leader{next(_names)}"
        async with AsyncCacheManager(
            redis_url=shared_redis.url, name=name, cache_prefix=name
        ) as cache:
            leader = asyncio.ensure_future(cache.get_or_load("k", load))
            await started.wait()
            waiter = asyncio.ensure_future(cache.get_or_load("k", load))
            await asyncio.sleep(0)
            leader.cancel()
            go_on.set()
            return await asyncio.wait_for(waiter, 10), calls

    assert asyncio.run(run()) == ("value", 2)


def test_managers_of_two_event_loops_share_one_l1(shared_redis: RedisServer) -> None:
    name = f"loops{next(_names)}"
    cache = AsyncCacheManager(redis_url=shared_redis.url, name=name, cache_prefix=name)

    async def fill() -> None:
        await cache.set("k", "value")

    async def read() -> Any:
        value = await cache.get("k")
        await cache.close()
        return value

    asyncio.run(fill())
    assert asyncio.run(read()) == "value"
