"""Calls about a provider's health that are cancelled at each of their waits lose nothing."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from routecache import AsyncRoutingCache, HealthPolicy, RoutingSettings
from routecache.adapters.failure import Failure
from routecache.adapters.health import DOWN, ProviderHealth
from routecache.routing.health import Invalidation
from tests.helpers import cut_short, in_loop
from tests.patient import Patient
from tests.servers import RedisServer

STATED = HealthPolicy(unhealthy_status=DOWN)
ERROR = Failure("error")


class Fleet:
    """Two processes' caches on one Redis; the first one tells a coroutine hook and a plain one."""

    def __init__(self, redis: RedisServer, policy: HealthPolicy | None) -> None:
        settings = RoutingSettings(redis_url=redis.url)
        self._sync = Patient(settings, health=policy), Patient(settings)
        self.cache, self.other = map(AsyncRoutingCache.from_sync, self._sync)
        self.told: dict[str, list[str]] = {"coroutine": [], "plain": []}

    async def begin(self) -> None:
        async def hook(invalidation: Invalidation) -> None:
            await asyncio.sleep(0)
            self.told["coroutine"].append(invalidation.cache)

        self.cache.add_invalidation_hook(hook)
        self.cache.add_invalidation_hook(lambda told: self.told["plain"].append(told.cache))

    async def up(self, provider: str) -> None:
        """A provider that is up and chosen, of which no hook has heard."""
        await self.cache.set_provider_status(provider, {"up": True})
        await self.cache.set_model_selection(provider, "model", providers=[provider])
        for heard in self.told.values():
            heard.clear()

    async def shared(self, provider: str) -> tuple[object, object]:
        """Its status and who chooses it, as a process finds them that asks for the first time."""
        return (
            await self.other.get_provider_status(provider),
            await self.other.get_model_selection(provider),
        )

    async def close(self) -> None:
        await self.cache.close()
        await self.other.close()
        for each in self._sync:
            each.close()


async def at_each_wait(
    fleet: Fleet,
    call: Callable[[str], Awaitable[object]],
    then: Callable[[str], Awaitable[None]],
    prepare: Callable[[str], Awaitable[None]] | None = None,
) -> int:
    """Cancel `call(provider)` at its first wait, its second and so on; how many there were."""
    await fleet.begin()
    for n in itertools.count(1):
        provider = f"p{n}"
        await fleet.up(provider)
        if prepare is not None:
            await prepare(provider)

        async def calling(provider: str = provider) -> None:
            await call(provider)

        cut = await cut_short(calling(), n)
        await then(provider)
        if not cut:
            await fleet.close()
            return n - 1
    raise AssertionError("never ended")


@pytest.mark.parametrize("policy", [None, STATED], ids=["forgotten", "stated"])
@in_loop
async def test_a_drop_is_done_by_the_next_bad_report_and_told_to_all_hooks(
    redis_server: RedisServer, policy: HealthPolicy | None
) -> None:
    fleet = Fleet(redis_server, policy)

    async def again(provider: str) -> None:
        await fleet.cache.report_provider_health(provider, False)
        assert await fleet.shared(provider) == (None if policy is None else DOWN, None)
        for hook, heard in fleet.told.items():
            assert heard, hook
            assert set(heard) == {"all"}
        assert fleet.told["plain"].count("all") == 1

    waits = await at_each_wait(fleet, lambda p: fleet.cache.report_provider_health(p, False), again)
    assert waits >= 3, "Redis twice, and a hook"


@pytest.mark.parametrize("policy", [None, STATED], ids=["forgotten", "stated"])
@in_loop
async def test_a_good_report_after_a_drop_that_was_cut_short_leaves_nothing_unhealthy(
    redis_server: RedisServer, policy: HealthPolicy | None
) -> None:
    fleet = Fleet(redis_server, policy)

    async def well(provider: str) -> None:
        await fleet.cache.report_provider_health(provider, True)
        status, _ = await fleet.shared(provider)
        assert status in (None, {"up": True})
        assert fleet.cache.provider_health()[provider]
        for hook, heard in fleet.told.items():
            assert not heard or heard[-1] == "provider", hook

    waits = await at_each_wait(fleet, lambda p: fleet.cache.report_provider_health(p, False), well)
    assert waits >= 3


@pytest.mark.parametrize("policy", [None, STATED], ids=["forgotten", "stated"])
@in_loop
async def test_a_request_that_is_given_up_takes_its_provider_down_all_the_same(
    redis_server: RedisServer, policy: HealthPolicy | None
) -> None:
    fleet = Fleet(redis_server, policy)
    health = ProviderHealth(fleet.cache, failures=1)

    async def down(provider: str) -> None:
        # As another request finds it, at whatever moment.
        assert not await health.is_up(provider)
        assert not await health.failed(provider, ERROR), "it tells nothing new"
        await asyncio.gather(*health._whole)
        assert fleet.cache.provider_health()[provider] is False
        assert await fleet.shared(provider) == ({"up": False, "why": "error"}, None)
        assert fleet.told == {"coroutine": ["all"], "plain": ["all"]}

    waits = await at_each_wait(fleet, lambda p: health.failed(p, ERROR), down)
    assert waits >= 1
    await health.close()


@pytest.mark.parametrize("before", ["unknown", "down"])
@in_loop
async def test_whoever_asks_and_is_given_up_leaves_a_provider_down_for_its_cooldown(
    redis_server: RedisServer, before: str
) -> None:
    """Its first probe fails, or one after a failure whose status has expired."""
    fleet = Fleet(redis_server, None)
    asked: list[str] = []

    async def fails(provider: str) -> bool:
        await asyncio.sleep(0)
        asked.append(provider)
        return False

    health = ProviderHealth(fleet.cache, probe=fails, failures=1, cooldown=5)

    async def prepare(provider: str) -> None:
        if before == "down":
            await health.failed(provider, ERROR)
        await fleet.cache._provider.delete(provider)

    async def cools_down(provider: str) -> None:
        assert not await health.is_up(provider)
        await asyncio.gather(*health._whole)
        await asyncio.gather(*health._probing.values())
        assert provider in asked
        left = await fleet.cache._provider.ttl(provider)
        assert left is not None
        assert left <= 5
        assert fleet.cache.provider_health()[provider] is False
        assert (await fleet.shared(provider))[1] is None

    waits = await at_each_wait(fleet, health.is_up, cools_down, prepare)
    assert waits >= 3, "Redis, the probe and what follows from it"
    await health.close()
