"""The page of one router, as it is at two moments, and what it would be at any other.

A real `RoutingCache` over a real Redis answers a mix of look-ups; its /metrics is taken before and
after. What grew in between is what a router at work counts in that many look-ups. Of that a
simulated one replays a multiple, so that its histograms and miss reasons keep their shape.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from bench.private_redis import private_redis
from routecache import RoutingCache, RoutingSettings
from routecache_exporters.demo.sample import endless
from routecache_exporters.prometheus import register
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.runner import Replayer
from routecache_exporters.signals import Stop

_GROWING: Final = ("_total", "_bucket", "_count", "_sum")
_WARM, _MEASURED = 6_000, 12_000  # requests, of four look-ups each


@dataclass(frozen=True, slots=True)
class Line:
    """One series: what stands before its value, the value, and its growth for each request.

    Values of a `whole` one are whole numbers, as counts are and seconds are not.
    """

    head: str
    value: float
    growth: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A router's page. `idle` is how many series it had before the first request."""

    lines: tuple[Line, ...]
    idle: int

    def at(self, requests: float) -> str:
        """The page after so many more requests."""
        return "\n".join(_shown(line, requests) for line in self.lines) + "\n"

    def samples(self, requests: float) -> Iterator[tuple[str, str]]:
        """Series and value of each line after so many more requests."""
        for line in self.lines:
            head, _, value = _shown(line, requests).rpartition(" ")
            yield head, value


def take() -> Page:
    """Let a router work for some seconds, and take its page."""
    registry = CollectorRegistry()
    with (
        private_redis() as server,
        RoutingCache(RoutingSettings(redis_url=server.url, model_ttl=1, fallback_ttl=2)) as cache,
    ):
        register(registry)
        idle = len(_read(registry))
        replayer = Replayer(cache, Pace(None, Stop()))
        requests = endless()
        replayer.run(requests, limit=_WARM)
        for provider in ("openai", "anthropic"):
            cache.report_provider_health(provider, True)
        cache.invalidate_provider("openai")
        before = _read(registry)
        replayer.run(requests, limit=_WARM + _MEASURED)
        after = _read(registry)
    return Page(
        tuple(
            Line(head, value, _growth(head, before.get(head, 0.0), value), value.is_integer())
            for head, value in after.items()
        ),
        idle,
    )


def busy(seed: int, rate: float) -> "Clock":
    """How many requests a router with about `rate` of them a second has had by when."""
    return Clock(random.Random(seed), rate)


class Clock:
    """A router's own count of requests: its rate wanders, so that no two scrapes add the same."""

    def __init__(self, draw: random.Random, rate: float) -> None:
        self._draw = draw
        self._rate = rate * draw.uniform(0.5, 1.5)
        self._at: float | None = None
        self._requests = draw.uniform(0, 1e6)

    def at(self, now: float) -> float:
        """Requests by `now`, in seconds that do not fall."""
        if self._at is not None:
            passed = (now - self._at) * self._rate
            self._requests += max(0.0, self._draw.gauss(passed, passed**0.5))
        self._at = now
        return self._requests


def _read(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {head: float(value) for head, _, value in pairs}


def _growth(head: str, before: float, after: float) -> float:
    name = head.partition("{")[0]
    return (after - before) / _MEASURED if name.endswith(_GROWING) else 0.0


def _shown(line: Line, requests: float) -> str:
    value = line.value + line.growth * requests
    return f"{line.head} {float(int(value)) if line.whole else value!r}"
