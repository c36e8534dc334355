"""Hooks of invalidations: plain ones, coroutines, and those that fail."""

import asyncio
import functools
import logging
import threading
from typing import Any

import pytest

from routecache import AsyncRoutingCache, ConfigurationError, HealthPolicy, RoutingCache
from routecache.routing.health import Invalidation
from routecache.routing.settings import RoutingSettings
from tests.helpers import eventually, in_loop

MEMORY_ONLY = RoutingSettings(enable_redis=False)
GONE = Invalidation("all", "openai", "explicit")


def failures(cache: RoutingCache | AsyncRoutingCache) -> int:
    count: int = cache.get_stats()["health"]["hook_failures"]
    return count


def test_a_hook_is_called_until_it_is_taken_off_which_may_be_repeated() -> None:
    told: list[Invalidation] = []
    with RoutingCache(MEMORY_ONLY) as cache:
        second: list[Invalidation] = []
        first = cache.add_invalidation_hook(told.append)
        remove_second = cache.add_invalidation_hook(second.append)
        cache.invalidate_provider("openai")
        first()
        first()
        cache.invalidate_provider("openai")
        remove_second()
        cache.invalidate_provider("openai")
    assert told == [GONE]
    assert second == [GONE, GONE]


def test_one_function_added_twice_is_called_twice_and_taken_off_once() -> None:
    told: list[Invalidation] = []
    with RoutingCache(MEMORY_ONLY) as cache:
        remove = cache.add_invalidation_hook(told.append)
        cache.add_invalidation_hook(told.append)
        remove()
        remove()
        cache.invalidate_provider("openai")
    assert told == [GONE]


def test_a_hook_that_raises_is_counted_and_its_text_stays_out_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Invalidation] = []

    def broken(invalidation: Invalidation) -> None:
        raise RuntimeError("secret-key-123")

    with RoutingCache(MEMORY_ONLY) as cache, caplog.at_level(logging.WARNING):
        cache.add_invalidation_hook(broken)
        cache.add_invalidation_hook(told.append)
        cache.invalidate_provider("openai")
        cache.report_provider_health("openai", False)
        assert failures(cache) == 2
    assert len(told) == 2
    assert "RuntimeError" in caplog.text
    assert "secret-key-123" not in caplog.text


def test_a_hook_may_ask_report_add_and_remove_because_no_lock_is_held() -> None:
    with RoutingCache(MEMORY_ONLY) as cache:
        told: list[str] = []

        def hook(invalidation: Invalidation) -> None:
            told.append(invalidation.cache)
            remove()

            def elsewhere() -> None:
                cache.set_provider_status("openai", "seen")
                cache.add_invalidation_hook(lambda _: told.append("later"))
                cache.report_provider_health("openai", True)

            # In another thread: a lock of this one's would let it in, and not that.
            other = threading.Thread(target=elsewhere)
            other.start()
            other.join(10)
            assert not other.is_alive(), "a lock is held while hooks are called"

        remove = cache.add_invalidation_hook(hook)
        cache.report_provider_health("openai", False)
        assert told[0] == "all"
        assert cache.provider_health() == {"openai": True}
        assert failures(cache) == 0


def test_a_coroutine_function_is_refused_where_nobody_would_await_it() -> None:
    async def hook(invalidation: Invalidation) -> None: ...

    class Callable:
        async def __call__(self, invalidation: Invalidation) -> None: ...

    with RoutingCache(MEMORY_ONLY) as cache:
        for coroutine in (hook, functools.partial(hook), Callable()):
            with pytest.raises(ConfigurationError, match="AsyncRoutingCache"):
                cache.add_invalidation_hook(coroutine)
        face = AsyncRoutingCache.from_sync(cache)
        with pytest.raises(ConfigurationError, match="from within the event loop"):
            face.add_invalidation_hook(hook)


def test_a_plain_function_that_makes_a_coroutine_counts_as_failed() -> None:
    async def hook(invalidation: Invalidation) -> None: ...

    def made(invalidation: Invalidation) -> object:
        return hook(invalidation)

    with RoutingCache(MEMORY_ONLY) as cache:
        cache.add_invalidation_hook(made)
        cache.invalidate_provider("openai")
        assert failures(cache) == 1


@in_loop
async def test_coroutine_hooks_are_awaited_in_order_with_plain_ones() -> None:
    told: list[object] = []

    async def slow(invalidation: Invalidation) -> None:
        await asyncio.sleep(0)
        told.append(("slow", invalidation))

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        remove = cache.add_invalidation_hook(slow)
        cache.add_invalidation_hook(told.append)
        await cache.invalidate_provider("openai")
        assert told == [("slow", GONE), GONE]
        remove()
        await cache.invalidate_provider("openai")
        assert told == [("slow", GONE), GONE, GONE]


@in_loop
async def test_a_recovery_during_a_slow_hook_is_heard_after_the_drop_by_all() -> None:
    heard: dict[str, list[str]] = {"slow": [], "plain": []}
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(invalidation: Invalidation) -> None:
        heard["slow"].append(invalidation.cache)
        if invalidation.cache == "all":
            reached.set()
            await go_on.wait()

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        cache.add_invalidation_hook(slow)
        cache.add_invalidation_hook(lambda told: heard["plain"].append(told.cache))
        await cache.set_provider_status("openai", "up")
        drop = asyncio.ensure_future(cache.report_provider_health("openai", False))
        await reached.wait()
        assert await cache.get_provider_status("openai") is None
        await cache.set_provider_status("openai", "down")
        await cache.report_provider_health("openai", True)
        assert await cache.get_provider_status("openai") is None, "it waits for no hook"
        go_on.set()
        await drop
        assert heard == {"slow": ["all", "provider"], "plain": ["all", "provider"]}
        assert cache.provider_health() == {"openai": True}


@in_loop
async def test_a_reporter_that_is_cancelled_while_it_tells_leaves_that_to_the_next() -> None:
    heard: list[str] = []
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(invalidation: Invalidation) -> None:
        reached.set()
        await go_on.wait()

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        cache.add_invalidation_hook(slow)
        cache.add_invalidation_hook(lambda told: heard.append(told.cache))
        drop = asyncio.ensure_future(cache.report_provider_health("openai", False))
        await reached.wait()
        drop.cancel()
        await asyncio.gather(drop, return_exceptions=True)
        assert heard == []
        go_on.set()
        await cache.report_provider_health("openai", False)
        assert heard == ["all"]


def test_threads_that_turn_a_provider_at_once_leave_hooks_with_the_last_word() -> None:
    heard: list[str] = []
    policy = HealthPolicy(suppress_over=1e6, reuse_under=1e5, max_hold=600)
    with RoutingCache(MEMORY_ONLY, health=policy) as cache:
        cache.add_invalidation_hook(lambda told: heard.append(told.cache))
        gate = threading.Barrier(4)

        def turn(source: str) -> None:
            gate.wait()
            for n in range(200):
                cache.report_provider_health("openai", n % 2 == 0, source=source)

        threads = [threading.Thread(target=turn, args=(f"s{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert heard[-1] == "all"
        for n in range(4):
            cache.report_provider_health("openai", True, source=f"s{n}")
        assert heard[-1] == "provider"


@in_loop
async def test_a_coroutine_hook_that_raises_or_never_ends_holds_nobody_up_for_long() -> None:
    ended = []

    async def broken(invalidation: Invalidation) -> None:
        raise RuntimeError

    async def hangs(invalidation: Invalidation) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(invalidation)

    async with AsyncRoutingCache(MEMORY_ONLY, health=HealthPolicy(hook_timeout=0.01)) as cache:
        cache.add_invalidation_hook(broken)
        cache.add_invalidation_hook(hangs)
        await cache.invalidate_provider("openai")
        assert ended == [GONE]
        assert failures(cache) == 2


def test_a_slow_hook_that_threads_tell_has_a_bound_and_what_finds_no_room_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("routecache.routing.hooks.MAX_SENT", 10)
    heard: list[int] = []

    async def main(cache: RoutingCache) -> None:
        go_on = asyncio.Event()

        async def slow(invalidation: Invalidation) -> None:
            await go_on.wait()
            heard.append(len(heard))

        def tell(times: int) -> None:
            for _ in range(times):
                cache.invalidate_model_selection({"q": 1})

        def under_way() -> set[asyncio.Task[Any]]:
            return asyncio.all_tasks() - before

        AsyncRoutingCache.from_sync(cache).add_invalidation_hook(slow)
        before = asyncio.all_tasks()
        await asyncio.to_thread(tell, 50)
        assert len(under_way()) == 10
        assert failures(cache) == 40
        assert caplog.text.count("too many calls under way") == 1
        go_on.set()
        await asyncio.wait_for(asyncio.gather(*under_way()), 10)
        await asyncio.to_thread(tell, 5)
        await asyncio.wait_for(asyncio.gather(*under_way()), 10)
        assert failures(cache) == 40, "there is room again"

    with RoutingCache(MEMORY_ONLY) as cache:
        asyncio.run(main(cache))
    assert heard == list(range(15))


def test_a_thread_starts_coroutine_hooks_in_their_loop_and_does_not_wait() -> None:
    told: list[tuple[Invalidation, bool]] = []

    async def main(cache: RoutingCache) -> None:
        face = AsyncRoutingCache.from_sync(cache)
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()

        async def hook(invalidation: Invalidation) -> None:
            told.append((invalidation, asyncio.get_running_loop() is loop))
            heard.set()

        face.add_invalidation_hook(hook)
        await asyncio.to_thread(cache.invalidate_provider, "openai")
        await asyncio.wait_for(heard.wait(), 10)

    with RoutingCache(MEMORY_ONLY) as cache:
        asyncio.run(main(cache))
        assert told == [(GONE, True)]
        cache.invalidate_provider("openai")  # its loop is closed by now
        assert failures(cache) == 1
        assert eventually(lambda: len(told) == 1)
