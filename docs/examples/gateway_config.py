"""What both example gateways read from the environment, and how they rank providers."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from routecache import HealthPolicy
from routecache.adapters.health import DOWN


@dataclass(frozen=True, slots=True)
class Config:
    """The gateway's own settings; those of the cache are REDIS_URL and ROUTING_CACHE_*.

    providers: base URL by name, without the /v1.
    timeout: seconds that an attempt may take.
    cooldown: seconds that a provider which failed is left alone.
    api_key: what providers are sent; the stub providers do not look at it.
    """

    providers: Mapping[str, str]
    timeout: float
    cooldown: float
    api_key: str

    @classmethod
    def from_env(cls) -> "Config":
        """Read GATEWAY_PROVIDERS (name=url, separated by commas), _TIMEOUT, _COOLDOWN, _API_KEY."""
        named = os.environ.get("GATEWAY_PROVIDERS", "alpha=http://127.0.0.1:9000/alpha")
        return cls(
            providers=dict(one.strip().split("=", 1) for one in named.split(",")),
            timeout=float(os.environ.get("GATEWAY_TIMEOUT", "30")),
            cooldown=float(os.environ.get("GATEWAY_COOLDOWN", "30")),
            api_key=os.environ.get("GATEWAY_API_KEY", "none"),
        )

    @property
    def health(self) -> HealthPolicy:
        """What other sources report counts everywhere; a flapping provider is held for longer."""
        return HealthPolicy(half_life=4 * self.cooldown, unhealthy_status=DOWN)


def ranked(who: str, providers: Iterable[str]) -> list[str]:
    """`providers` in an order of `who`'s own, so that whoever asks again meets a warm prompt cache.

    Rendezvous hashing: callers are spread over all, and one provider that comes or goes moves
    nobody between the others.
    """
    return sorted(providers, key=lambda provider: blake2b(f"{who}\0{provider}".encode()).digest())
