"""Bad configuration is one clear error that names what was wrong and what is allowed."""

import math
from typing import Any

import pytest

from routecache import BaseCacheManager, ConfigurationError, Policy, RoutingSettings

BAD_TTLS = [0, -1, math.nan, True, "300", None, math.inf]


def test_the_environment_is_read_exactly() -> None:
    assert RoutingSettings.from_env({}) == RoutingSettings(
        300, 180, 600, True, "redis://localhost:6379/0"
    )
    env = {
        "ROUTING_CACHE_PROVIDER_TTL_SECS": "1",
        "ROUTING_CACHE_MODEL_TTL_SECS": " 2.5 ",
        "ROUTING_CACHE_FALLBACK_TTL_SECS": "3",
        "ROUTING_CACHE_ENABLE_REDIS": "False",
        "REDIS_URL": "redis://host:1/2",
    }
    assert RoutingSettings.from_env(env) == RoutingSettings(1, 2.5, 3, False, "redis://host:1/2")
    assert RoutingSettings.from_env(dict.fromkeys(env, "")) == RoutingSettings.from_env({})


@pytest.mark.parametrize(("text", "on"), [("1", True), ("YES", True), ("off", False), ("0", False)])
def test_the_switch_reads_the_usual_words(text: str, on: bool) -> None:
    assert RoutingSettings.from_env({"ROUTING_CACHE_ENABLE_REDIS": text}).enable_redis is on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROUTING_CACHE_PROVIDER_TTL_SECS", "five minutes"),
        ("ROUTING_CACHE_MODEL_TTL_SECS", "0"),
        ("ROUTING_CACHE_FALLBACK_TTL_SECS", "nan"),
        ("ROUTING_CACHE_FALLBACK_TTL_SECS", "inf"),
        ("ROUTING_CACHE_ENABLE_REDIS", "maybe"),
    ],
)
def test_a_bad_variable_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}='?{value}"):
        RoutingSettings.from_env({name: value})


@pytest.mark.parametrize("ttl", BAD_TTLS)
@pytest.mark.parametrize("name", ["provider_ttl", "model_ttl", "fallback_ttl"])
def test_a_bad_life_time_is_named(name: str, ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RoutingSettings(**{name: ttl})


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "50", None])
@pytest.mark.parametrize("name", ["provider_maxsize", "model_maxsize", "fallback_maxsize"])
def test_a_bad_size_is_named(name: str, size: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}=.*number of entries from 1 on"):
        RoutingSettings(**{name: size})


@pytest.mark.parametrize("prefix", ["", "a b", "x*", "x:tag:", None, 7])
def test_a_prefix_that_keys_cannot_begin_with_is_refused(prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        RoutingSettings(prefix=prefix)


def test_routers_share_the_prefix_that_they_are_not_given_another_than() -> None:
    assert RoutingSettings().prefix == RoutingSettings.from_env({}).prefix == "routing:"
    assert "prefix='mine:'" in repr(RoutingSettings(prefix="mine:"))


@pytest.mark.parametrize(
    "bad",
    [
        {"l2_timeout": 0},
        {"l2_timeout": -1},
        {"ttl_jitter": 1},
        {"ttl_jitter": -0.1},
        {"hard_timeout": 0},
        {"max_value_bytes": 0},
        {"max_value_bytes": True},
    ],
    ids=str,
)
def test_a_bad_policy_field_is_named(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(bad))):
        Policy(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"l1_maxsize": 0},
        {"l1_maxsize": 1.5},
        {"l1_maxsize": True},
        {"l1_ttl": 0},
        {"l1_ttl": math.inf},
        {"l2_ttl": math.nan},
        {"cache_prefix": "a b"},
        {"cache_prefix": ""},
        {"l1_policy": "fifo"},
        {"redis_client": object()},
        {"redis_url": "http://host"},
    ],
    ids=str,
)
def test_a_bad_argument_is_named(bad: dict[str, Any]) -> None:
    name = next(iter(bad))
    said = "Redis URL" if name == "redis_url" else name
    with pytest.raises(ConfigurationError, match=said):
        BaseCacheManager(**({"redis_url": "unix:///nowhere"} | bad))


@pytest.mark.parametrize("ttl", BAD_TTLS[:-3])
def test_a_bad_ttl_of_a_call_is_refused_before_anything_is_stored(ttl: Any) -> None:
    with BaseCacheManager(enable_redis=False, name="bad ttl") as cache:
        for call in (
            lambda: cache.set("k", 1, ttl),
            lambda: cache.set_many({"k": 1}, ttl),
            lambda: cache.get_or_load("k", lambda: 1, ttl),
        ):
            with pytest.raises(ValueError, match="ttl="):
                call()
        assert len(cache) == 0
