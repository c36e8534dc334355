"""Tasks that wait for a load: none waits for ever, and none leaves anything behind."""

import asyncio
import gc
from concurrent.futures import Future

import pytest

from routecache import AsyncCacheManager, LoadTimeoutError, Policy
from routecache.testing import FakeRemote, ManualTimer
from routecache.tiered.waits import AsyncWaits


def test_a_task_that_stops_waiting_leaves_nothing_behind() -> None:
    async def main() -> tuple[int, int]:
        waits, future = AsyncWaits(), Future[int]()
        for _ in range(100):
            with pytest.raises(TimeoutError):
                await waits.result(future, 0)
        many = [asyncio.ensure_future(waits.result(future, None)) for _ in range(3)]
        await asyncio.sleep(0)
        left = len(future._done_callbacks)  # type: ignore[attr-defined]
        future.set_result(7)
        assert await asyncio.gather(*many) == [7, 7, 7]
        return left, len(waits._waiting)

    assert asyncio.run(main()) == (1, 0)


def test_a_background_load_whose_loop_was_closed_holds_up_nobody() -> None:
    timer = ManualTimer()
    policy = Policy(stale_ttl=100)
    cache = AsyncCacheManager(enable_redis=False, timer=timer, policy=policy, name="closed-loop")
    loads: list[int] = []

    async def load() -> int:
        loads.append(1)
        if len(loads) == 2:
            await asyncio.get_running_loop().create_future()  # until its loop has gone
        return len(loads)

    async def look() -> int:
        async with asyncio.timeout(10):
            value: int = await cache.get_or_load("k", load, 10)
            return value

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(look()) == 1
    timer.advance(11)
    assert loop.run_until_complete(look()) == 1, "stale, and refreshed behind"
    loop.run_until_complete(asyncio.sleep(0))
    assert len(loads) == 2
    loop.close()
    gc.collect()
    timer.advance(200)
    assert asyncio.run(look()) == 3
    assert not cache.tiers._waits._running
    assert len(cache.core._fences) == 0


def test_waiting_for_one_leader_after_another_takes_no_longer_than_the_hard_timeout() -> None:
    timer = ManualTimer()

    async def main() -> list[object]:
        cache = AsyncCacheManager(
            enable_redis=False, timer=timer, policy=Policy(hard_timeout=30), name="re-elected"
        )
        go_on = asyncio.Event()

        async def load() -> str:
            await go_on.wait()
            return "loaded"

        first, second, third = (
            asyncio.ensure_future(cache.get_or_load("k", load)) for _ in range(3)
        )
        await asyncio.sleep(0)
        timer.advance(31)
        first.cancel()  # the second leads now; the third has waited for long enough
        async with asyncio.timeout(10):
            await asyncio.wait([third])
        go_on.set()
        return [*await asyncio.gather(second, third, return_exceptions=True)]

    led, waited = asyncio.run(main())
    assert led == "loaded"
    assert isinstance(waited, LoadTimeoutError)


def test_a_nap_beside_another_processs_load_ends_with_the_hard_timeout() -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    policy = Policy(distributed_lock=True, hard_timeout=2**-6)
    cache = AsyncCacheManager(redis_client=fake, timer=timer, policy=policy, cache_prefix="naps")
    read = cache.core.begin_read("k", loads=True)
    read.token = "another process's"
    assert cache.core.pause(read) == 2**-6
    timer.advance(2**-7)
    assert cache.core.pause(read) == 2**-7
    timer.advance(2**-7)
    with pytest.raises(LoadTimeoutError):
        cache.core.check_patience(read)
    cache.core.broke(read)
