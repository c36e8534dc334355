"""What cannot work is refused with a message that says what is allowed, and changes nothing."""

import asyncio
import re
from typing import Any

import pytest

from routecache import (
    MISS,
    AsyncCacheManager,
    BaseCacheManager,
    CacheClosedError,
    ConfigurationError,
    KeyTypeError,
    Policy,
    RoutingCache,
    RoutingSettings,
)
from routecache.testing import FakeRemote, ManualTimer
from routecache.tiered._core import TAG_TTL


@pytest.mark.parametrize("kind", [BaseCacheManager, AsyncCacheManager])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"l1_max_bytes": 0}, "l1_max_bytes=0"),
        ({"l1_max_bytes": True}, "l1_max_bytes=True"),
        ({"l1_max_bytes": 1.5}, "l1_max_bytes=1.5"),
        ({"enable_redis": "false"}, "enable_redis='false'"),
        ({"policy": {}}, "policy is a dict: give a Policy"),
        ({"redis_url": 6379}, "redis_url is a int: give a str"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(kind: Any, options: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        kind(**{"enable_redis": False} | options)


def test_a_key_that_cannot_be_hashed_is_refused_as_any_other_by_both_managers() -> None:
    async def main() -> None:
        cache = AsyncCacheManager(enable_redis=False)
        with pytest.raises(KeyTypeError, match="non-empty str, not list"):
            await cache.set([], 1)  # type: ignore[arg-type]

    asyncio.run(main())
    with pytest.raises(KeyTypeError, match="non-empty str, not list"):
        BaseCacheManager(enable_redis=False).set([], 1)  # type: ignore[arg-type]


def test_half_a_surrogate_pair_in_a_tag_is_refused_before_anything_is_written() -> None:
    timer = ManualTimer()
    cache = BaseCacheManager(redis_client=FakeRemote(timer), timer=timer, cache_prefix="half")
    for call in (
        lambda: cache.set("k", 1, tags=("\ud800",)),
        lambda: cache.get_or_load("k", lambda: 1, tags=("\ud800",)),
        lambda: cache.invalidate_tags("\ud800"),
    ):
        with pytest.raises(KeyTypeError, match="a tag must not hold half a surrogate pair"):
            call()
    assert cache.get("k", MISS) is MISS
    assert not cache.core.recovery


def test_half_a_surrogate_pair_in_a_provider_is_refused_and_not_remembered() -> None:
    cache = RoutingCache(RoutingSettings(enable_redis=False))
    for healthy in (True, False):
        with pytest.raises(KeyTypeError, match="a provider must not hold half a surrogate pair"):
            cache.report_provider_health("\ud800", healthy)
    with pytest.raises(KeyTypeError, match="a provider"):
        cache.invalidate_provider("\ud800")
    assert cache.provider_health() == {}
    cache.clear_all()


def test_a_tagged_none_is_remembered_no_longer_than_the_keys_of_its_tags() -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    cache = BaseCacheManager(
        redis_client=fake, timer=timer, cache_prefix="none", policy=Policy(negative_ttl=3 * TAG_TTL)
    )
    assert cache.get_or_load("k", lambda: MISS, tags=("t",)) is MISS
    assert cache.get_or_load("untagged", lambda: MISS) is MISS
    cache.core.drop_all()
    tagged, untagged = cache.ttl("k"), cache.ttl("untagged")
    assert tagged is not None
    assert untagged is not None
    assert tagged <= TAG_TTL < untagged


def test_a_tagged_value_whose_load_took_long_lives_no_longer_than_the_keys_of_its_tags() -> None:
    """Its tag may have been invalidated when the load had just begun."""
    timer = ManualTimer()
    cache = BaseCacheManager(redis_client=FakeRemote(timer), timer=timer, cache_prefix="long")

    def load() -> int:
        timer.advance(9)
        return 1

    assert cache.get_or_load("k", load, TAG_TTL, tags=("t",)) == 1
    cache.core.drop_all()
    assert cache.ttl("k") == pytest.approx(TAG_TTL - 9)


def test_a_url_beside_a_client_is_refused_rather_than_ignored() -> None:
    with pytest.raises(ConfigurationError, match="redis_url and redis_client: give one of them"):
        BaseCacheManager(redis_url="redis://localhost", redis_client=FakeRemote(ManualTimer()))


def test_a_closed_manager_answers_nothing_even_if_a_late_call_or_listener_fills_its_l1() -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer, listening=True)
    cache = BaseCacheManager(redis_client=fake, timer=timer, cache_prefix="closed")
    shared = AsyncCacheManager.from_sync(cache)
    cache.set("k", 1)
    assert cache.get("k") == 1
    asyncio.run(shared.close())
    cache.core.reconnected()
    assert cache.get("k") == 1
    with pytest.raises(CacheClosedError):
        asyncio.run(shared.get("k"))
    read = cache.core.begin_read("late")
    cache.close()
    write = cache.core.begin_set("late", 1, b"1", None, ())
    cache.core.end_writes([write])
    cache.core.broke(read)
    cache.core.reconnected()
    with pytest.raises(CacheClosedError):
        cache.get("late")
