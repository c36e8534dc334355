"""What one process learns of a provider, as another one finds it, on a real server."""

import pytest

from routecache import AsyncRoutingCache, HealthPolicy, RoutingSettings
from routecache.adapters.failure import Failure
from routecache.adapters.health import DOWN, ProviderHealth
from tests.helpers import in_loop
from tests.patient import Patient
from tests.servers import RedisServer


def cache_on(redis: RedisServer, health: HealthPolicy | None = None) -> AsyncRoutingCache:
    return AsyncRoutingCache(RoutingSettings(redis_url=redis.url), health=health)


async def works(_provider: str) -> bool:
    return True


@in_loop
async def test_a_failure_is_known_to_a_process_that_starts_later(redis_server: RedisServer) -> None:
    settings = RoutingSettings(redis_url=redis_server.url)
    with Patient(settings) as first:
        await ProviderHealth(AsyncRoutingCache.from_sync(first)).failed(
            "p", Failure("rate_limit", 60.0)
        )
    with Patient(settings) as later:
        health = ProviderHealth(AsyncRoutingCache.from_sync(later), probe=works)
        assert not await health.is_up("p")
        await health.close()


@pytest.mark.parametrize("status", [DOWN, None])
@in_loop
async def test_what_others_report_counts_in_all_processes_if_the_policy_says_so(
    redis_server: RedisServer, status: object
) -> None:
    policy = HealthPolicy() if status is None else HealthPolicy(unhealthy_status=status)
    async with cache_on(redis_server, policy) as first, cache_on(redis_server, policy) as second:
        here, there = ProviderHealth(first, probe=works), ProviderHealth(second, probe=works)
        await first.report_provider_health("p", False, source="alertmanager")
        # Asked first where nobody was told: it is the status in Redis that tells.
        assert await there.is_up("p") is (status is None)
        assert not await here.is_up("p")
        await here.close()
        await there.close()
