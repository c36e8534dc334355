"""A provider's health reaches every process, takes what names it, and nothing else."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from routecache import (
    MISS,
    AsyncRoutingCache,
    BaseCacheManager,
    HealthPolicy,
    Policy,
    RoutingCache,
    RoutingSettings,
)
from routecache.stats import CacheSnapshot, stats_for
from tests.contract.world import Blocking, World, in_thread
from tests.helpers import eventually

PROVIDERS: Final = ("openai", "azure", "bedrock")
CONTEXTS: Final = 12
CACHES: Final = ("provider", "model", "fallback")
MARKS: Final = 30


class Router:
    """A RoutingCache or an AsyncRoutingCache over the world's L2, as of another process."""

    def __init__(self, world: World, n: int, health: HealthPolicy | None) -> None:
        self._names = f"{world.prefix}.router{n}"

        class OverWorld(RoutingCache):
            def _manager(it, name: str, maxsize: int, ttl: float) -> BaseCacheManager:
                where: dict[str, Any] = {"redis_client": world.fake}
                if world.fake is None:
                    assert world.servers is not None
                    where = {"redis_url": world.servers.url}
                return BaseCacheManager(
                    maxsize,
                    ttl,
                    cache_prefix=f"{world.prefix}:{name}",
                    name=f"{self._names}.{name}",
                    policy=Policy(l2_timeout=1.0),
                    timer=world.timer,
                    **where,
                )

        self.sync = OverWorld(RoutingSettings(), health=health, timer=world.timer)
        made: Any = self.sync if world.driver == "sync" else AsyncRoutingCache.from_sync(self.sync)
        self.cache = Blocking(made, world.loop)
        self._world = world
        self.managers = self.sync._caches()[:3]
        if world.real:
            assert eventually(lambda: all(m.core.hears is not False for m in self.managers), 20)

    def counted(self, cache: str) -> CacheSnapshot:
        return stats_for(f"{self._names}.{cache}").snapshot()

    def removals(self) -> dict[tuple[str, ...], int]:
        """From L1, by cache and reason."""
        return {
            (cache, reason): n
            for cache in CACHES
            for (_, reason), n in self.counted(cache).removals.items()
        }

    def in_l1(self) -> set[tuple[str, str]]:
        return {
            (cache, key)
            for cache, manager in zip(CACHES, self.managers, strict=True)
            for key in manager._entries
        }

    def close(self) -> None:
        self.cache.close()
        self.sync.close()


@pytest.fixture
def routers(world: World) -> Iterator[Callable[..., Router]]:
    made: list[Router] = []
    world.listening()

    def make(health: HealthPolicy | None = None) -> Router:
        made.append(Router(world, len(made), health))
        return made[-1]

    yield make
    for router in made:
        router.close()


def fill(writer: Router, *readers: Router) -> None:
    """Three providers' statuses, selections and chains, in the L1 of all."""
    for provider in PROVIDERS:
        writer.cache.set_provider_status(provider, f"{provider} is up")
    for n in range(CONTEXTS):
        provider, next_one = PROVIDERS[n % 3], PROVIDERS[(n + 1) % 3]
        writer.cache.set_model_selection({"n": n}, f"{provider}/m", providers=[provider])
        writer.cache.set_fallback_chain(
            {"n": n}, [provider, next_one], providers=[provider, next_one]
        )
    for cache, writes in zip(CACHES, (3, CONTEXTS, CONTEXTS), strict=True):
        for router in (writer, *readers):
            # So that no copy is lost later to the echo of what was written here.
            assert eventually(
                lambda r=router, c=cache, w=writes: r.counted(c).invalidations_received >= w,  # type: ignore[misc]
                20,
            )
    for router in (writer, *readers):
        read_all(router)
        assert len(router.in_l1()) == 3 + 2 * CONTEXTS


def read_all(router: Router) -> dict[str, list[Any]]:
    cache, contexts = router.cache, [{"n": n} for n in range(CONTEXTS)]
    return {
        "provider": [cache.get_provider_status(provider) for provider in PROVIDERS],
        "model": [cache.get_model_selection(context) for context in contexts],
        "fallback": [cache.get_fallback_chain(context) for context in contexts],
    }


@pytest.mark.promise(5)
def test_a_provider_that_turns_unhealthy_takes_what_names_it_everywhere_and_nothing_else(
    routers: Callable[..., Router],
) -> None:
    a, b = routers(), routers()
    fill(a, b)
    before, removed = b.in_l1(), [r.removals() for r in (a, b)]
    a.cache.report_provider_health("openai", False, source="probe", reason="503")
    named = {("provider", 1), ("model", CONTEXTS // 3), ("fallback", 2 * CONTEXTS // 3)}
    gone = sum(n for _, n in named)
    assert eventually(lambda: len(b.in_l1()) == len(before) - gone, 20)
    for router, reason, earlier in ((a, "health", removed[0]), (b, "invalidated", removed[1])):
        assert len(router.in_l1()) == len(before) - gone, "unrelated entries dropped: 0"
        now = router.removals()
        assert {
            (cache, why): n - earlier.get((cache, why), 0)
            for (cache, why), n in now.items()
            if n > earlier.get((cache, why), 0)
        } == {(cache, reason): n for cache, n in named}
        found = read_all(router)
        assert found["provider"] == [None, "azure is up", "bedrock is up"]
        assert [n for n, model in enumerate(found["model"]) if model is None] == [0, 3, 6, 9]
        kept = [n for n, chain in enumerate(found["fallback"]) if chain is not None]
        assert kept == [1, 4, 7, 10], "azure, bedrock"
    assert a.cache.provider_health() == {"openai": False}
    assert b.cache.provider_health() == {}, "b drops what it is told to, and knows no reason"


@pytest.mark.promise(7)
def test_recovery_forgets_the_status_alone_which_one_caller_loads_again(
    routers: Callable[..., Router], world: World
) -> None:
    a, b = routers(), routers()
    fill(a, b)
    a.cache.report_provider_health("openai", False)
    # Redis tells in the order in which it did things.
    assert eventually(lambda: b.cache.get_model_selection({"n": 0}) is None, 20)
    assert eventually(lambda: b.cache.get_fallback_chain({"n": 0}) is None, 20)
    heard = [router.counted("provider").invalidations_received for router in (a, b)]
    a.cache.set_provider_status("openai", "down")
    for router, already in zip((a, b), heard, strict=True):
        assert eventually(
            lambda r=router, n=already: r.counted("provider").invalidations_received > n,  # type: ignore[misc]
            20,
        )
        assert router.cache.get_provider_status("openai") == "down"
    before = b.in_l1()
    assert a.in_l1() == before
    a.cache.report_provider_health("openai", True)
    assert eventually(lambda: b.in_l1() == before - {("provider", "openai")}, 20)
    assert a.in_l1() == b.in_l1()
    loads: list[str] = []
    go_on = threading.Event()

    def load() -> str:
        loads.append("load")
        assert go_on.wait(30)
        return "up again"

    loader = world.loader(load)
    threads = [
        in_thread(lambda: b.cache.get_provider_status("openai", loader=loader)) for _ in range(8)
    ]
    go_on.set()
    for thread, _ in threads:
        thread.join(30)
    assert [got for _, got in threads] == [["up again"]] * 8
    assert len(loads) == 1
    assert a.cache.get_provider_status("openai") == "up again"


@pytest.mark.promise(5)
def test_every_process_finds_the_status_of_an_unhealthy_provider_until_it_is_well(
    routers: Callable[..., Router],
) -> None:
    down = {"up": False}
    a, b = routers(HealthPolicy(unhealthy_status=down)), routers()
    fill(a, b)
    a.cache.report_provider_health("openai", False)
    assert eventually(lambda: b.cache.get_provider_status("openai") == down, 20)
    assert a.cache.get_provider_status("openai") == down
    assert b.cache.get_provider_status("azure") == "azure is up"
    assert eventually(lambda: b.cache.get_model_selection({"n": 0}) is None, 20)
    a.cache.report_provider_health("openai", True)
    assert eventually(lambda: b.cache.get_provider_status("openai", MISS) is MISS, 20)
    assert a.cache.get_provider_status("openai", MISS) is MISS


@pytest.mark.promise(1)
def test_a_process_that_ends_leaves_no_status_behind_for_longer_than_its_policy_says(
    routers: Callable[..., Router],
) -> None:
    """It was told by an alert, which counts for two hours, and hears of no end."""
    a, b = routers(HealthPolicy(unhealthy_status="down", status_ttl=60)), routers()
    a.cache.report_provider_health("openai", False, source="alertmanager:f1")
    a.close()
    assert b.cache.get_provider_status("openai") == "down"
    left = b.managers[0].ttl("openai")
    assert left is not None
    assert left <= 60


@pytest.mark.promise(8)
@pytest.mark.parametrize(
    ("health", "stated"),
    [
        (None, 0),
        # Without a pause each of the 400 reports would tell another end.
        (HealthPolicy(report_ttl=1200, unhealthy_status={"up": False}), 3 + 8),
    ],
    ids=["forgotten", "stated"],
)
def test_a_flapping_provider_costs_a_few_invalidations_and_no_storm(
    routers: Callable[..., Router], world: World, health: HealthPolicy | None, stated: int
) -> None:
    a, b = routers(health), routers()
    fill(a, b)
    heard = {cache: b.counted(cache).invalidations_received for cache in CACHES}
    stored = a.counted("provider").sets
    for _ in range(200):
        a.cache.report_provider_health("openai", False)
        world.timer.advance(0.3)
        a.cache.report_provider_health("openai", True)
        world.timer.advance(0.3)
    stats = a.cache.get_stats()["health"]
    assert (stats["turns"], stats["damped"], stats["held"]) == (200, 197, 1)
    stored = a.counted("provider").sets - stored
    assert stored <= stated
    # Three drops and two restores, or as many drops that store the status, and renewals.
    told = {"provider": stored + 2 if stored else 5, "model": 3, "fallback": 3}
    # Redis tells in order, so who has heard of marks on all primaries has heard of all before.
    for n in range(MARKS):
        a.cache.set_provider_status(f"mark {n}", "up")
        a.cache.set_model_selection({"mark": n}, "m")
        a.cache.set_fallback_chain({"mark": n}, ["m"])
    for cache in CACHES:
        due = heard[cache] + told[cache] + MARKS
        assert eventually(
            lambda c=cache, n=due: b.counted(c).invalidations_received >= n,  # type: ignore[misc]
            20,
        )
        assert b.counted(cache).invalidations_received == due
    assert b.cache.get_provider_status("azure") == "azure is up"
    assert a.counted("model").removals[("l1", "health")] == CONTEXTS // 3


@pytest.mark.promise(6)
def test_a_selection_that_began_before_the_report_is_never_visible_after_it(
    routers: Callable[..., Router], world: World
) -> None:
    a, b = routers(), routers()

    def choose() -> str:
        a.cache.report_provider_health("openai", False)
        return "openai/m"

    loader = world.loader(choose)
    thread, got = in_thread(
        lambda: b.cache.get_model_selection({"n": 1}, loader=loader, providers=["openai"])
    )
    thread.join(30)
    assert got == ["openai/m"], "who waited for it gets it"
    assert a.cache.get_model_selection({"n": 1}) is None
    assert eventually(lambda: b.cache.get_model_selection({"n": 1}) is None, 20), "b has heard"
    assert a.cache.get_model_selection({"n": 1}) is None
