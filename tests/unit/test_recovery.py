"""What L2 owes is forgotten by the command that was sent for it, and by none that was older."""

import asyncio
from collections.abc import Callable

import pytest

from routecache import MISS, AsyncCacheManager, BaseCacheManager, keys
from routecache.testing import FakeRemote, ManualTimer
from routecache.tiered.recovery import Recovery


def test_a_reply_to_an_older_command_settles_no_newer_debt() -> None:
    recovery = Recovery()
    recovery.add(["k"])
    sent = recovery.mark()
    recovery.add(["k"])
    recovery.done(sent, ["k"])
    assert recovery.owes("k")
    recovery.done(recovery.mark(), ["k"])
    assert not recovery.owes("k")


def test_what_is_owed_during_the_sweep_of_an_overflow_is_still_owed_after_it() -> None:
    recovery = Recovery()
    recovery.add([f"k{i}" for i in range(Recovery.LIMIT + 1)])
    assert recovery.owes("anything")
    recovery.add(["late"])
    recovery.cleared()
    assert recovery.owes("late")
    assert not recovery.owes("k1")


def test_an_overflow_during_the_sweep_of_another_wants_another_sweep() -> None:
    recovery = Recovery()
    for _ in range(2):
        recovery.add([f"k{i}" for i in range(Recovery.LIMIT + 1)])
    recovery.cleared()
    assert recovery.owes("anything")
    recovery.cleared()
    assert len(recovery) == 0
    assert not recovery.owes("anything")


def test_a_clear_ends_the_leases_before_it_takes_the_values() -> None:
    with_prefix = [keys.lease_pattern("p"), keys.value_pattern("p"), keys.tag_pattern("p")]
    with BaseCacheManager(enable_redis=False, cache_prefix="p") as cache:
        assert cache.core.patterns() == with_prefix


def look_up(fake: FakeRemote, timer: ManualTimer) -> BaseCacheManager:
    cache = BaseCacheManager(redis_client=fake, timer=timer, cache_prefix="p")
    cache.core.recovery.add([f"k{i}" for i in range(Recovery.LIMIT + 1)])
    assert cache.get("k", MISS) is MISS
    return cache


def look_up_async(fake: FakeRemote, timer: ManualTimer) -> AsyncCacheManager:
    async def main() -> AsyncCacheManager:
        cache = AsyncCacheManager(redis_client=fake, timer=timer, cache_prefix="p")
        cache.core.recovery.add([f"k{i}" for i in range(Recovery.LIMIT + 1)])
        assert await cache.get("k", MISS) is MISS
        return cache

    return asyncio.run(main())


@pytest.mark.parametrize("look_up", [look_up, look_up_async])
def test_debts_that_a_child_inherits_are_paid_though_it_only_looks_up(
    look_up: Callable[[FakeRemote, ManualTimer], BaseCacheManager | AsyncCacheManager],
) -> None:
    """A fork takes over what is owed, and not the thread that pays."""
    timer = ManualTimer()
    fake = FakeRemote(timer)
    cache = look_up(fake, timer)
    assert cache.core.recovery.overflowed
    fake.run_background()
    assert not cache.core.recovery
