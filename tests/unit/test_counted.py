"""What a cache's snapshot holds beyond look-ups: coherence, recovery, sizes, what may be stale."""

import time

import pytest

from routecache import BaseCacheManager, Policy, snapshot
from routecache.stats import CacheSnapshot
from routecache.testing import FakeRemote, ManualTimer


def counted(cache: BaseCacheManager) -> CacheSnapshot:
    (seen,) = [seen for seen in snapshot().caches if seen.name == cache.name]
    return seen


def test_every_change_that_l2_takes_is_published_once_and_heard_by_both() -> None:
    remote = FakeRemote(ManualTimer(), listening=True)
    with (
        BaseCacheManager(redis_client=remote, cache_prefix="pub", name="pub.a") as one,
        BaseCacheManager(redis_client=remote, cache_prefix="pub", name="pub.b") as other,
    ):
        one.set_many({"a": 1, "b": 2}, tags=("t",))
        one.get_or_load("c", lambda: 3)
        one.delete("absent")
        one.invalidate_tags("t", "u")
        assert counted(one).invalidations_published == 6
        assert counted(other).invalidations_published == 0
        assert counted(one).invalidations_received == counted(other).invalidations_received == 6


def test_what_fails_is_published_when_l2_is_told_of_it_at_last() -> None:
    remote = FakeRemote(ManualTimer())
    with BaseCacheManager(redis_client=remote, cache_prefix="owed", name="owed") as cache:
        remote.failure = "connection"
        cache.set("a", 1)
        cache.delete("b")
        cache.invalidate_tags("t")
        seen = counted(cache)
        assert (seen.recovery_pending, seen.recovery_deletes) == (3, 0)
        assert seen.invalidations_published == 0
        remote.failure = None
        remote.run_background()
        seen = counted(cache)
        assert (seen.recovery_pending, seen.recovery_deletes) == (0, 2)
        assert seen.invalidations_published == 3


@pytest.mark.parametrize("with_l2", [True, False])
def test_the_size_of_l1_is_that_of_the_values_it_holds(*, with_l2: bool) -> None:
    timer = ManualTimer()
    name = f"size.{with_l2}"
    with BaseCacheManager(
        4, redis_client=FakeRemote(timer) if with_l2 else None, enable_redis=with_l2, name=name
    ) as cache:
        cache.set("small", "x")
        small = counted(cache).l1_size_bytes
        cache.set("large", "x" * 1000)
        assert 1000 <= counted(cache).l1_size_bytes - small <= 1100
        cache.delete("large")
        assert counted(cache).l1_size_bytes == small > 0
        with BaseCacheManager(4, enable_redis=False, name=name) as twin:
            twin.set("other", "y")
            assert counted(cache).l1_size_bytes > small
        cache.clear()
        assert counted(cache).l1_size_bytes == 0


@pytest.mark.parametrize(
    ("policy", "reasons", "kinds"),
    [
        (Policy(), set(), set()),
        (Policy(stale_ttl=1), {"error", "refreshing"}, {"stale"}),
        (Policy(stale_if_error=1), {"error"}, set()),
        (Policy(stale_if_error=1, soft_timeout=1), {"error", "refreshing"}, {"stale"}),
        (Policy(soft_timeout=1), set(), set()),
        (Policy(early_refresh=1), set(), {"early"}),
    ],
)
def test_what_may_be_stale_and_refreshed_follows_from_the_policy(
    policy: Policy, reasons: set[str], kinds: set[str]
) -> None:
    with BaseCacheManager(enable_redis=False, policy=policy, name="may.be.stale") as cache:
        seen = counted(cache)
        assert (set(seen.stale_reasons), set(seen.refresh_kinds)) == (reasons, kinds)


def test_a_listener_makes_blind_hits_possible() -> None:
    remote = FakeRemote(ManualTimer(), listening=True)
    with BaseCacheManager(redis_client=remote, name="may.be.blind") as cache:
        assert counted(cache).stale_reasons == {"blind"}


def test_the_last_invalidation_is_when_one_was_made_or_heard() -> None:
    remote = FakeRemote(ManualTimer(), listening=True)
    with (
        BaseCacheManager(redis_client=remote, cache_prefix="last", name="last.a") as one,
        BaseCacheManager(redis_client=remote, cache_prefix="last", name="last.b") as other,
    ):
        assert counted(one).last_invalidation is None
        before = time.time()
        one.delete("a")
        for cache in (one, other):
            at = counted(cache).last_invalidation
            assert at is not None
            assert before <= at <= time.time()
