"""AsyncRoutingCache: what tests/unit/test_routing_cache.py does not ask of both classes."""

import asyncio

import pytest

from routecache import (
    AsyncRoutingCache,
    CacheClosedError,
    RequestContext,
    RoutingCache,
    RoutingSettings,
    get_routing_cache,
    reset_routing_cache,
    snapshot,
)
from routecache.routing.health import Invalidation
from tests.helpers import in_loop

MEMORY_ONLY = RoutingSettings(enable_redis=False)
CONTEXT = {"task": "chat", "tokens": 512}


@in_loop
async def test_a_loader_may_be_a_coroutine_function_and_runs_once_for_all_tasks() -> None:
    calls = 0
    go_on = asyncio.Event()

    async def choose() -> str:
        nonlocal calls
        calls += 1
        await go_on.wait()
        return "gpt-x"

    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        asking = [
            asyncio.ensure_future(cache.get_model_selection(RequestContext(CONTEXT), loader=choose))
            for _ in range(20)
        ]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*asking) == ["gpt-x"] * 20
        assert calls == 1


@in_loop
async def test_a_face_shares_entries_counters_health_and_hooks_with_its_sync_half() -> None:
    told: list[Invalidation] = []
    with RoutingCache(MEMORY_ONLY) as sync:
        face = AsyncRoutingCache.from_sync(sync)
        sync.add_invalidation_hook(told.append)
        sync.set_model_selection(CONTEXT, "m", providers=["face.a"])
        assert await face.get_model_selection(CONTEXT) == "m"
        assert face.get_stats() == sync.get_stats()
        await face.report_provider_health("face.a", False)
        assert sync.get_model_selection(CONTEXT) is None
        assert sync.provider_health()["face.a"] is False
        assert snapshot().providers["face.a"] is False
        assert told == [Invalidation("all", "face.a", "health")]
        await face.close()
        sync.set_model_selection(CONTEXT, "n")
        assert sync.get_model_selection(CONTEXT) == "n", "its sync half stays open"
        with pytest.raises(CacheClosedError):
            await face.get_model_selection(CONTEXT)


@in_loop
async def test_closing_one_of_its_own_closes_its_managers_and_forgets_its_health() -> None:
    cache = AsyncRoutingCache(MEMORY_ONLY)
    await cache.report_provider_health("own.a", True)
    assert snapshot().providers["own.a"] is True
    await cache.close()
    await cache.close()
    assert "own.a" not in snapshot().providers
    with pytest.raises(CacheClosedError):
        await cache.get_provider_status("own.a")
    with pytest.raises(CacheClosedError):
        async with cache:
            raise AssertionError("never entered")


@in_loop
async def test_a_face_of_the_singleton_is_how_tasks_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTING_CACHE_ENABLE_REDIS", "false")
    reset_routing_cache()
    face = AsyncRoutingCache.from_sync(get_routing_cache())
    await face.set_provider_status("p", "up")
    assert get_routing_cache().get_provider_status("p") == "up"
    await face.close()
    reset_routing_cache()


@in_loop
async def test_constructing_it_does_not_wait_for_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    class NoRemote:
        def __init__(self, url: str, client: object, *, connect: bool, cache: str) -> None:
            asked.append(connect)
            raise InterruptedError

    monkeypatch.setattr("routecache.manager.SyncRemote", NoRemote)
    for make in (AsyncRoutingCache, RoutingCache):
        with pytest.raises(InterruptedError):
            make(RoutingSettings())
    assert asked == [False, True]


@in_loop
async def test_a_drop_that_was_cancelled_is_done_again_by_the_next_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with AsyncRoutingCache(MEMORY_ONLY) as cache:
        told: list[Invalidation] = []
        cache.add_invalidation_hook(told.append)
        await cache.set_model_selection(CONTEXT, "m", providers=["late"])
        reached = asyncio.Event()
        drop = cache._model.invalidate_together

        async def never(*args: object) -> None:
            reached.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(cache._model, "invalidate_together", never)
        report = asyncio.ensure_future(cache.report_provider_health("late", False))
        await reached.wait()
        report.cancel()
        with pytest.raises(asyncio.CancelledError):
            await report
        assert cache.provider_health() == {"late": False}, "it is known"
        assert told == []
        monkeypatch.setattr(cache._model, "invalidate_together", drop)
        await cache.report_provider_health("late", False)
        assert await cache.get_model_selection(CONTEXT) is None
        assert told == [Invalidation("all", "late", "health")]
