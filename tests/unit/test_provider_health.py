"""`ProviderHealth`: who is up, who is probed, and what a failure takes with it."""

import asyncio
import logging

import pytest

from routecache import AsyncRoutingCache, HealthPolicy, RoutingCache, RoutingSettings
from routecache.adapters.failure import Failure
from routecache.adapters.health import DOWN, UP, ProviderHealth
from routecache.errors import ConfigurationError
from routecache.testing import ManualTimer
from tests.helpers import in_loop

ERROR = Failure("error")


class Probes:
    """A probe that answers as it is told, and who was probed."""

    def __init__(self) -> None:
        self.works: dict[str, bool | Exception] = {}
        self.asked: list[str] = []

    async def __call__(self, provider: str) -> bool:
        self.asked.append(provider)
        answer = self.works.get(provider, True)
        if isinstance(answer, Exception):
            raise answer
        return answer


def memory() -> AsyncRoutingCache:
    """A cache of the test's own, in memory only."""
    return AsyncRoutingCache(RoutingSettings(enable_redis=False))


async def expire(cache: AsyncRoutingCache, provider: str) -> None:
    """Have the status of `provider` end, as its time to live would."""
    assert await cache._provider.delete(provider)


async def probed(health: ProviderHealth) -> None:
    """Wait for the probes that go on in the background."""
    await asyncio.gather(*health._probing.values())


@in_loop
async def test_a_provider_of_which_nothing_is_known_is_up() -> None:
    async with memory() as cache:
        assert await ProviderHealth(cache).is_up("p")


@in_loop
async def test_failures_in_a_row_take_a_provider_down_and_a_success_between_does_not() -> None:
    async with memory() as cache:
        health = ProviderHealth(cache, failures=3)
        for _ in range(5):
            assert not await health.failed("p", ERROR)
            assert not await health.failed("p", ERROR)
            health.succeeded("p")
        assert await health.is_up("p")
        assert [await health.failed("p", ERROR) for _ in range(3)] == [False, False, True]
        assert not await health.is_up("p")
        assert await health.those_up(["p", "q"]) == ["q"]


@in_loop
async def test_a_rate_limit_takes_a_provider_down_at_once() -> None:
    async with memory() as cache:
        health = ProviderHealth(cache)
        assert await health.failed("p", Failure("rate_limit", 7.0))
        assert not await health.is_up("p")
        assert await cache.get_provider_status("p") == {"up": False, "why": "rate_limit"}


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, 30.0), (7.0, 7.0), (300.0, 60.0), (60.0, 60.0)]
)
@in_loop
async def test_a_provider_is_left_alone_for_as_long_as_it_asks_for_up_to_a_bound(
    retry_after: float | None, seconds: float
) -> None:
    async with memory() as cache:
        health = ProviderHealth(cache, cooldown=30.0, max_cooldown=60.0)
        await health.failed("p", Failure("rate_limit", retry_after))
        left = await cache._provider.ttl("p")
        assert left is not None
        assert seconds - 5 < left <= seconds


@in_loop
async def test_a_provider_that_goes_down_takes_what_names_it_and_nothing_else() -> None:
    async with memory() as cache:
        health = ProviderHealth(cache, failures=1)
        await cache.set_model_selection("of p", "p", providers=("p",))
        await cache.set_model_selection("of q", "q", providers=("q",))
        await cache.set_fallback_chain("both", ["q", "p"], providers=("q", "p"))
        await health.failed("p", ERROR)
        assert await cache.get_model_selection("of p") is None
        assert await cache.get_fallback_chain("both") is None
        assert await cache.get_model_selection("of q") == "q"
        assert cache.provider_health() == {"p": False}


@in_loop
async def test_what_fails_after_its_provider_went_down_tells_nothing_new() -> None:
    async with memory() as cache:
        told: list[object] = []
        cache.add_invalidation_hook(told.append)
        health = ProviderHealth(cache, failures=1)
        taken = await asyncio.gather(*(health.failed("p", ERROR) for _ in range(20)))
        assert taken.count(True) == 1
        assert len(told) == 1


@in_loop
async def test_without_a_probe_the_next_request_tries_and_one_failure_is_enough() -> None:
    async with memory() as cache:
        health = ProviderHealth(cache, failures=2)
        await health.failed("p", ERROR)
        await health.failed("p", ERROR)
        await expire(cache, "p")
        assert await health.is_up("p")
        assert cache.provider_health() == {"p": True}
        assert await health.failed("p", ERROR)
        assert not await health.is_up("p")


@in_loop
async def test_a_first_probe_decides_and_is_made_once_for_all_who_ask() -> None:
    async with memory() as cache:
        probes = Probes()
        probes.works["bad"] = False
        health = ProviderHealth(cache, probe=probes)
        answers = await asyncio.gather(*(health.is_up(p) for p in ("good", "bad") * 10))
        assert answers == [True, False] * 10
        assert sorted(probes.asked) == ["bad", "good"]
        assert cache.provider_health() == {"bad": False}
        left = await cache._provider.ttl("bad")
        assert left is not None
        assert left <= 30


@in_loop
async def test_first_probes_of_several_providers_are_under_way_at_once() -> None:
    async with memory() as cache:
        providers = [f"p{n}" for n in range(8)]
        begun: list[str] = []
        all_begun = asyncio.Event()

        async def waits(provider: str) -> bool:
            begun.append(provider)
            if len(begun) == len(providers):
                all_begun.set()
            await all_begun.wait()
            return provider != "p3"

        health = ProviderHealth(cache, probe=waits, probe_timeout=3600)
        before = cache.get_stats()["provider"]["requests"]  # other tests' caches have that name
        async with asyncio.timeout(30):
            up = await health.those_up([*providers, "p0"])
        assert up == ["p0", "p1", "p2", "p4", "p5", "p6", "p7", "p0"]
        assert sorted(begun) == providers
        assert await health.those_up(["p3", "p1"]) == ["p1"]
        # A probe waits within its look-up, of which there is one for each provider.
        assert cache.get_stats()["provider"]["requests"] - before == len(providers) + 2


@in_loop
async def test_after_its_cooldown_a_provider_stays_down_until_a_probe_succeeds() -> None:
    async with memory() as cache:
        probes = Probes()
        health = ProviderHealth(cache, probe=probes, failures=1)
        await health.failed("p", ERROR)
        probes.works["p"] = False
        await expire(cache, "p")
        assert not any(await asyncio.gather(*(health.is_up("p") for _ in range(10))))
        await probed(health)
        assert probes.asked == ["p"]
        assert not await health.is_up("p")
        assert probes.asked == ["p"], "while it cools down nobody asks it"
        probes.works["p"] = True
        await expire(cache, "p")
        assert not await health.is_up("p")
        await probed(health)
        assert await health.is_up("p")
        assert probes.asked == ["p", "p"]
        assert cache.provider_health() == {"p": True}


@in_loop
async def test_who_gives_up_while_a_down_status_is_stored_leaves_it_for_the_cooldown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was loaded meanwhile would live as long as good news."""
    async with memory() as cache:
        probes = Probes()
        health = ProviderHealth(cache, probe=probes, failures=1, cooldown=5)
        await health.failed("p", ERROR)
        await expire(cache, "p")
        reached, go_on = asyncio.Event(), asyncio.Event()
        store = cache.set_provider_status

        async def slow(provider: str, status: object, ttl: float | None = None) -> None:
            reached.set()
            await go_on.wait()
            await store(provider, status, ttl)

        monkeypatch.setattr(cache, "set_provider_status", slow)
        probes.works["p"] = False
        asking = asyncio.ensure_future(health.is_up("p"))
        await reached.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        go_on.set()
        await health.close()
        assert not await health.is_up("p")
        left = await cache._provider.ttl("p")
        assert left is not None
        assert left <= 5


@in_loop
async def test_a_provider_whose_status_expired_while_up_is_used_while_it_is_probed() -> None:
    async with memory() as cache:
        probes = Probes()
        health = ProviderHealth(cache, probe=probes)
        assert await health.is_up("p")
        probes.works["p"] = False
        await expire(cache, "p")
        assert await health.is_up("p")
        await probed(health)
        assert not await health.is_up("p")


@in_loop
async def test_a_probe_that_raises_or_takes_too_long_counts_as_no_and_its_text_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hangs(provider: str) -> bool:
        await asyncio.Event().wait()
        return True

    async with memory() as cache:
        caplog.set_level(logging.DEBUG, "routecache")
        probes = Probes()
        probes.works["p"] = RuntimeError("a secret")
        assert not await ProviderHealth(cache, probe=probes).is_up("p")
        assert not await ProviderHealth(cache, probe=hangs, probe_timeout=0.01).is_up("q")

    assert "RuntimeError" in caplog.text
    assert "TimeoutError" in caplog.text
    assert "secret" not in caplog.text


@in_loop
async def test_a_probe_whose_own_work_was_cancelled_counts_as_no() -> None:
    """Nobody cancels the request that waits for it."""

    async def probe(provider: str) -> bool:
        raise asyncio.CancelledError

    async with memory() as cache:
        health = ProviderHealth(cache, probe=probe)
        assert not await health.is_up("p")
        assert await health.those_up(["p", "q"]) == []


@in_loop
async def test_closing_ends_probes_that_are_under_way() -> None:
    async with memory() as cache:
        begun = asyncio.Event()

        async def hangs(provider: str) -> bool:
            if not begun.is_set():
                return True
            await asyncio.Event().wait()
            return True

        health = ProviderHealth(cache, probe=hangs, probe_timeout=3600)
        assert await health.is_up("p")
        begun.set()
        await expire(cache, "p")
        assert await health.is_up("p")
        assert health._probing
        await health.close()
        await health.close()
        assert len(asyncio.all_tasks()) == 1


@in_loop
async def test_what_is_remembered_of_providers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routecache.adapters.health._MAX_PROVIDERS", 10)

    async with memory() as cache:
        health = ProviderHealth(cache)
        for n in range(30):
            await health.failed(f"p{n}", ERROR)
            await health.is_up(f"p{n}")
        assert len(health._failed) == len(health._known) == 10


@pytest.mark.parametrize("probe", [None, Probes()])
@in_loop
async def test_what_another_source_reports_counts_until_it_takes_it_back(
    probe: Probes | None,
) -> None:
    async with memory() as cache:
        await cache.report_provider_health("before", False, source="alertmanager")
        health = ProviderHealth(cache, probe=probe)
        assert await health.is_up("p")
        await cache.report_provider_health("p", False, source="alertmanager")
        await cache.report_provider_health("unseen", False, source="alertmanager")
        for provider in ("p", "unseen", "before"):
            assert not await health.is_up(provider)
            await probed(health)
            assert not await health.is_up(provider)
            assert (await cache.get_provider_status(provider))["up"] is False
            await cache.report_provider_health(provider, True, source="alertmanager")
            await health.is_up(provider)
            await probed(health)
            assert await health.is_up(provider)
            assert cache.provider_health()[provider]


@in_loop
async def test_what_was_reported_here_outweighs_a_status_that_another_process_stored() -> None:
    async with memory() as cache:
        health = ProviderHealth(cache)
        assert await health.is_up("p")
        await cache.report_provider_health("p", False, source="alertmanager")
        await cache.set_provider_status("p", UP)
        assert not await health.is_up("p")


@pytest.mark.parametrize("probes", [Probes(), None], ids=["probe", "no probe"])
@pytest.mark.parametrize(("resolved", "up_at"), [(20, 31), (100, 100), (250, 250)])
@in_loop
async def test_an_alert_that_is_over_does_not_lengthen_the_cooldown_of_a_failure_before_it(
    probes: Probes | None, resolved: int, up_at: int
) -> None:
    """The stored status that told of the alert lives for minutes, and nobody reports any more."""
    timer = ManualTimer()
    policy = HealthPolicy(unhealthy_status=DOWN)
    settings = RoutingSettings(enable_redis=False)
    shared = RoutingCache(settings, timer=timer, health=policy)
    async with AsyncRoutingCache.from_sync(shared) as cache:
        health = ProviderHealth(cache, probe=probes, failures=1, cooldown=30)
        await health.is_up("p")
        timer.advance(1)
        await health.failed("p", ERROR)
        seen: list[bool] = []
        for second in range(2, up_at + 3):
            timer.advance(1)
            if second in (5, resolved):
                await cache.report_provider_health("p", second == resolved, source="alertmanager:1")
            await health.is_up("p")
            await probed(health)
            seen.append(await health.is_up("p"))
        assert seen == [second >= up_at for second in range(2, up_at + 3)]
        await health.close()
    shared.close()


@pytest.mark.parametrize("probe", [None, Probes()])
@in_loop
async def test_a_provider_that_is_held_for_flapping_stays_down_while_its_probes_succeed(
    probe: Probes | None,
) -> None:
    async with memory() as cache:
        health = ProviderHealth(cache, probe=probe, failures=1)
        for turn in range(3):
            assert await health.is_up("p"), turn
            await health.failed("p", ERROR)
            assert not await health.is_up("p")
            await expire(cache, "p")
            await health.is_up("p")
            await probed(health)
        # The third turn within half a minute was one too many.
        assert not await health.is_up("p")
        assert cache.provider_health() == {"p": False}


@in_loop
async def test_no_more_is_heard_after_closing() -> None:
    async with memory() as cache:
        health = ProviderHealth(cache)
        assert await health.is_up("p")
        await health.close()
        await cache.report_provider_health("p", False, source="alertmanager")
        assert health._known == {"p": True}


@in_loop
async def test_a_status_of_somebody_elses_making_says_nothing_bad() -> None:
    async with memory() as cache:
        health = ProviderHealth(cache)
        await cache.set_provider_status("p", "degraded")
        assert await health.is_up("p")
        await cache.set_provider_status("q", DOWN)
        assert not await health.is_up("q")


@pytest.mark.parametrize("name", ["cooldown", "max_cooldown", "probe_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
@in_loop
async def test_times_that_cannot_work_are_refused(name: str, seconds: float) -> None:
    async with memory() as cache:
        with pytest.raises((ConfigurationError, ValueError), match=name):
            ProviderHealth(cache, **{name: seconds})  # type: ignore[arg-type]


@in_loop
async def test_no_number_of_failures_is_refused() -> None:
    async with memory() as cache:
        with pytest.raises(ValueError, match="failures=0"):
            ProviderHealth(cache, failures=0)
