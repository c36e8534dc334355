"""What snapshots say of L2 endpoints: circuits, listeners, and endpoints that share an alias."""

from routecache import BaseCacheManager, snapshot
from routecache.stats import EndpointSnapshot
from tests.helpers import eventually
from tests.servers import RedisServer


def seen(cache: BaseCacheManager) -> EndpointSnapshot:
    assert cache.remote is not None
    alias = cache.remote.alias
    (found,) = [endpoint for endpoint in snapshot().endpoints if endpoint.alias == alias]
    return found


def test_an_outage_shows_in_circuit_transitions_failures_and_listener(
    redis_server: RedisServer,
) -> None:
    with BaseCacheManager(redis_url=redis_server.url, cache_prefix="observed") as cache:
        eventually(lambda: seen(cache).listeners == {"connected": 1, "disconnected": 0})
        # Endpoints of earlier tests counted under the same alias.
        before = seen(cache)
        eventually(lambda: seen(cache).invalidation_probes["ok"] > before.invalidation_probes["ok"])
        heard = seen(cache)
        assert heard.invalidation_lag.count == heard.invalidation_probes["ok"]
        assert heard.invalidation_lag.sum < heard.invalidation_lag.count * 10

        redis_server.stop()
        eventually(lambda: cache.get("absent") is None and seen(cache).circuit == "open")
        eventually(lambda: seen(cache).listeners == {"connected": 0, "disconnected": 1})
        down = seen(cache)
        assert down.circuit_failures >= before.circuit_failures + 5
        assert _entered(down, "open") > _entered(before, "open")

        redis_server.start()
        eventually(lambda: cache.get("absent") is None and seen(cache).circuit == "closed")
        eventually(lambda: seen(cache).listeners == {"connected": 1, "disconnected": 0})
        after = seen(cache)
        assert _entered(after, "half_open") > _entered(before, "half_open")
        assert _entered(after, "closed") == _entered(before, "closed") + 1
        assert after.listener_reconnects == before.listener_reconnects + 1


def test_endpoints_that_share_an_alias_count_once_and_their_gauges_add_up(
    shared_redis: RedisServer,
) -> None:
    def other() -> EndpointSnapshot | None:
        return next((e for e in snapshot().endpoints if e.alias == "other"), None)

    caches: list[BaseCacheManager] = []
    try:
        while len([c for c in caches if c.remote and c.remote.alias == "other"]) < 3:
            url = f"{shared_redis.url}?db={len(caches)}"
            caches.append(BaseCacheManager(redis_url=url, cache_prefix="many"))
        shared = [cache for cache in caches if cache.remote and cache.remote.alias == "other"]
        before = other()
        assert before is not None
        for cache in shared:
            cache.get("absent")
        after = other()
        assert after is not None
        gets = after.operation_duration["get"].count
        earlier = before.operation_duration.get("get")
        assert gets - (earlier.count if earlier else 0) == 3
        assert after.circuits == {"closed": 3}
        assert after.max_connections == 3 * seen(caches[0]).max_connections
    finally:
        for cache in caches:
            cache.close()


def _entered(endpoint: EndpointSnapshot, state: str) -> int:
    return endpoint.circuit_transitions.get(state, 0)
