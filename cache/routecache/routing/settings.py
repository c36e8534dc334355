"""`RoutingSettings`: what a `RoutingCache` reads from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from routecache.errors import ConfigurationError
from routecache.keys import check_prefix
from routecache.manager import DEFAULT_REDIS_URL, check_maxsize
from routecache.policy import check_ttl

PREFIX: Final = "routing:"
"""What the keys in Redis of a router begin with that is given no prefix of its own."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Life times in seconds and where Redis is. Immutable.

    provider_ttl, model_ttl, fallback_ttl: seconds that an entry of that cache lives.
    enable_redis: False for caches in memory only.
    redis_url: where L2 is; it may hold a password and is never logged.
    provider_maxsize, model_maxsize, fallback_maxsize: entries that L1 holds of that cache at most;
        set by the program only, since they are memory of its process.
    prefix: what its keys in Redis begin with, before `provider`, `model` and `fallback`; set by
        the program only. Processes that are to share entries have the same. Another router on
        the same Redis, or a program that answers otherwise (`routecache replay`), has its own.

    `routecache tune` says from a request log which life times and sizes are worth their price.

    Raises ConfigurationError for a life time that is not a number of seconds greater than 0, for
    a size that is not a whole number from 1 on, and for a prefix that keys cannot begin with.
    """

    provider_ttl: float = 300
    model_ttl: float = 180
    fallback_ttl: float = 600
    enable_redis: bool = True
    redis_url: str = DEFAULT_REDIS_URL
    provider_maxsize: int = 50
    model_maxsize: int = 100
    fallback_maxsize: int = 50
    prefix: str = PREFIX

    def __post_init__(self) -> None:
        for name in ("provider_ttl", "model_ttl", "fallback_ttl"):
            check_ttl(getattr(self, name), name)
        for name in ("provider_maxsize", "model_maxsize", "fallback_maxsize"):
            check_maxsize(getattr(self, name), name)
        check_prefix(self.prefix)

    def __repr__(self) -> str:
        return (
            f"RoutingSettings(provider_ttl={self.provider_ttl}, model_ttl={self.model_ttl}, "
            f"fallback_ttl={self.fallback_ttl}, enable_redis={self.enable_redis}, redis_url=..., "
            f"provider_maxsize={self.provider_maxsize}, model_maxsize={self.model_maxsize}, "
            f"fallback_maxsize={self.fallback_maxsize}, prefix={self.prefix!r})"
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "RoutingSettings":
        """Read the settings from `environ`, by default `os.environ`, now.

        ROUTING_CACHE_PROVIDER_TTL_SECS (300), ROUTING_CACHE_MODEL_TTL_SECS (180),
        ROUTING_CACHE_FALLBACK_TTL_SECS (600), ROUTING_CACHE_ENABLE_REDIS (true) and REDIS_URL
        (redis://localhost:6379/0); an unset or empty variable means its default.

        Raises:
            ConfigurationError: names the variable, its value and what is allowed.
        """
        env = os.environ if environ is None else environ
        return cls(
            provider_ttl=_seconds(env, "ROUTING_CACHE_PROVIDER_TTL_SECS", 300),
            model_ttl=_seconds(env, "ROUTING_CACHE_MODEL_TTL_SECS", 180),
            fallback_ttl=_seconds(env, "ROUTING_CACHE_FALLBACK_TTL_SECS", 600),
            enable_redis=_flag(env, "ROUTING_CACHE_ENABLE_REDIS", True),
            redis_url=env.get("REDIS_URL") or DEFAULT_REDIS_URL,
        )


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        return check_ttl(float(text), name)
    except ValueError:
        raise ConfigurationError(
            f"{name}={text!r} is not a time to live: give a number of seconds greater than 0, "
            f"such as {default}"
        ) from None


def _flag(env: Mapping[str, str], name: str, default: bool) -> bool:
    text = env.get(name, "").strip().lower()
    if not text:
        return default
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ConfigurationError(
        f"{name}={text!r} is not a switch: give one of "
        f"{', '.join(sorted(_TRUE))} or {', '.join(sorted(_FALSE))}"
    )
