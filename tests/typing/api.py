"""The public API as a type checker sees it: mypy and pyright check this file, nothing runs it."""

from collections.abc import Callable
from typing import Any, assert_type

from fastapi import FastAPI

from routecache import (
    MISS,
    AsyncCacheManager,
    AsyncHealthMonitor,
    AsyncRoutingCache,
    BaseCacheManager,
    Explanation,
    HealthMonitor,
    MonitorPolicy,
    Policy,
    RequestContext,
    RoutingCache,
    RoutingSettings,
    RoutingWarmResult,
    caches,
    get_routing_cache,
    reset_routing_cache,
    snapshot,
)
from routecache.adapters.failure import Failure, failure_of
from routecache.adapters.fastapi import open_routing_cache, routing_lifespan, warmed
from routecache.adapters.health import ProviderHealth
from routecache.adapters.litellm import RoutingCacheCallback
from routecache.exemplars import set_exemplar_source
from routecache.keys import digest
from routecache.routing.health import HealthReport, Invalidation
from routecache.testing import FakeRemote, ManualTimer
from routecache_exporters.http import AlertmanagerHook, start_http_server

timer = ManualTimer()
with BaseCacheManager(
    100,
    300,
    300,
    True,
    "cache",
    name="name",
    redis_url=None,
    redis_client=FakeRemote(timer),
    l1_policy="lru",
    serializer=None,
    policy=Policy(l2_timeout=0.05, ttl_jitter=0.1, hard_timeout=None, max_value_bytes=1024),
    timer=timer,
) as manager:
    assert_type(manager, BaseCacheManager)
    assert_type(manager.get("k", MISS), Any)
    assert_type(manager.delete("k"), bool)
    assert_type(manager.get_many(["k"]), dict[str, Any])
    assert_type(manager.delete_many(["k"]), int)
    assert_type(manager.ttl("k"), float | None)
    assert_type(manager.explain("k"), Explanation)
    assert_type(manager.explain("k", value=True).as_dict(), dict[str, Any])
    assert_type(manager.get_stats(), dict[str, Any])
    assert_type(manager.clear(), bool)
    assert_type(len(manager), int)
    manager.set("k", 1, 5.0, tags=("t",))
    manager.set_many({"k": 1}, ttl=5, tags=["t"])
    manager.get_or_load("k", lambda: MISS, ttl=5, tags=lambda value: [str(value)])
    manager.invalidate_tags("t", "u")

with RoutingCache(RoutingSettings.from_env({})) as routing:
    assert_type(routing, RoutingCache)
    routing.get_provider_status("p", None, loader=lambda: "up")
    routing.get_model_selection({"a": 1}, loader=lambda: "m", providers=("p",))
    routing.get_fallback_chain({"a": 1}, loader=lambda: ["m"], providers=lambda chain: chain)
    routing.set_provider_status("p", "up", 5)
    routing.set_model_selection({"a": 1}, "m", providers=["p"])
    routing.set_fallback_chain({"a": 1}, ["m"], ttl=5, providers=["p"])
    routing.get_normalized_tool("t", "default", loader=lambda: "n")
    routing.set_normalized_tool("t", "n")
    routing.invalidate_provider("p")
    assert_type(routing.invalidate_model_selection({"a": 1}), bool)
    assert_type(routing.invalidate_fallback_chain({"a": 1}), bool)
    routing.report_provider_health("p", False, source="router", reason="503")
    assert_type(routing.provider_health(), dict[str, bool])
    assert_type(routing.add_invalidation_hook(print), Callable[[], None])
    assert_type(routing.provider_reports("p"), tuple[HealthReport, ...])
    assert_type(routing.warm(providers={"p": "up"}), RoutingWarmResult)
    assert_type(routing.clear_all(), bool)
    with HealthMonitor(routing, {"p": lambda: True}, policy=MonitorPolicy(interval=5)) as monitor:
        assert_type(monitor, HealthMonitor)
        monitor.stop()
    start_http_server(alertmanager=AlertmanagerHook(routing, token_file="/run/token")).close()

request = RequestContext({"a": 1})
assert_type(request.key, str)
assert_type(request.content, Any)
assert_type({request}, set[RequestContext])


async def well() -> bool:
    """A probe that is awaited."""
    return True


async def heard(invalidation: Invalidation) -> None:
    """A hook that is awaited."""


async def awaited() -> None:
    """The same names, awaited."""
    async with AsyncCacheManager(enable_redis=False) as manager:
        assert_type(manager, AsyncCacheManager)
        await manager.invalidate_together(("t",), (manager,), "invalidated")
    async with AsyncRoutingCache(RoutingSettings.from_env({})) as routing:
        assert_type(routing, AsyncRoutingCache)
        await routing.get_provider_status("p", None, loader=awaited)
        await routing.get_model_selection(request, loader=lambda: "m", providers=("p",))
        await routing.get_fallback_chain(request, loader=awaited, providers=lambda chain: chain)
        await routing.set_provider_status("p", "up", 5)
        await routing.set_model_selection({"a": 1}, "m", providers=["p"])
        await routing.set_fallback_chain(request, ["m"], ttl=5, providers=["p"])
        await routing.get_normalized_tool("t", "default", loader=lambda: "n")
        await routing.set_normalized_tool("t", "n")
        await routing.invalidate_provider("p")
        assert_type(await routing.invalidate_model_selection(request), bool)
        assert_type(await routing.invalidate_fallback_chain({"a": 1}), bool)
        await routing.report_provider_health("p", False, source="router", reason="503")
        assert_type(routing.provider_health(), dict[str, bool])
        assert_type(routing.add_invalidation_hook(print), Callable[[], None])
        routing.add_invalidation_hook(heard)
        assert_type(await routing.warm(providers={"p": "up"}), RoutingWarmResult)
        assert_type(routing.get_stats(), dict[str, Any])
        assert_type(await routing.clear_all(), bool)
        async with AsyncHealthMonitor(routing, {"p": well}) as monitor:
            assert_type(monitor, AsyncHealthMonitor)
            await monitor.stop()
    assert_type(AsyncRoutingCache.from_sync(get_routing_cache()), AsyncRoutingCache)


assert_type(get_routing_cache(), RoutingCache)
reset_routing_cache()
assert_type(digest({"a": 1}), str)
assert_type(digest({"a": 1}, algorithm="xxh3", classes=True), str)
caches()
snapshot().caches[0].misses["cold"]
snapshot().endpoints[0].listeners["connected"]
assert_type(snapshot().providers["p"], bool)
set_exemplar_source(lambda: {"trace_id": "t"})
set_exemplar_source(None)


async def adapters(routing: AsyncRoutingCache) -> None:
    """What routers use of `routecache.adapters`."""
    assert_type(failure_of(429, "7"), Failure | None)
    health = ProviderHealth(routing, cooldown=30, max_cooldown=300, failures=3, probe_timeout=1)
    assert_type(await health.is_up("p"), bool)
    assert_type(await health.those_up(["p"]), list[str])
    assert_type(await health.failed("p", Failure("timeout")), bool)
    health.succeeded("p")
    await health.close()
    FastAPI(lifespan=routing_lifespan(warm=lambda cache: cache.get_provider_status("p")))
    async with open_routing_cache() as cache:
        assert_type(cache, AsyncRoutingCache)
    assert_type(await warmed(health.close, seconds=5), bool)
    assert_type(RoutingCacheCallback(routing, cooldown=30).health, ProviderHealth)
