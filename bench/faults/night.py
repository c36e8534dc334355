"""A day, a night and a morning of a router, recorded in less than two minutes.

Its caches are the real ones, on a clock that is moved by hand and an L2 in memory; what is recorded
is what the exporter says once a minute. By night there is an eighth or less of the day's traffic,
entries expire between two look-ups, and the morning finds the caches all but empty.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from routecache import BaseCacheManager
from routecache import registry as caches
from routecache.testing import FakeRemote, ManualTimer
from routecache_exporters.prometheus import RoutecacheCollector

HOURS: Final = 30
BEGINS: Final = 5
"""The hour of the day at which the record begins: a day before the morning in question."""

EVERY: Final = 60.0
"""Seconds between two scrapes."""

STEPS: Final = int(HOURS * 3600 / EVERY) + 1

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels."""

_FRESH: Final = "crawled"


@dataclass(frozen=True, slots=True)
class Use:
    """How one cache is used: look-ups per second by day and by night, and how many keys there are,
    the first ones the likeliest."""

    day: float
    night: float
    keys: int


USES: Final[Mapping[str, Use]] = MappingProxyType(
    {"busy": Use(12.0, 1.5, 300), "small": Use(2.0, 0.1, 60)}
)
"""By cache. The night of the first is above the floor of the rules, that of the other below."""


@dataclass(frozen=True, slots=True)
class Crawl:
    """A fault: somebody asks the busy cache for what nobody has asked for.

    rate: times per second.
    begins, ends: hours after the record's begin.
    """

    rate: float
    begins: float
    ends: float


CRAWL: Final = Crawl(rate=15.0, begins=21.0, ends=22.0)
"""At two in the night, for an hour."""


def hour_of_day(seconds: float) -> float:
    """The hour, 0 to 24, so many seconds after the record's begin."""
    return (BEGINS + seconds / 3600) % 24


def rate(use: Use, hour: float) -> float:
    """Look-ups per second at an hour of the day: up from six to nine, down from six to midnight."""
    if hour < 6:
        share = 0.0
    elif hour < 9:
        share = (1 - math.cos(math.pi * (hour - 6) / 3)) / 2
    elif hour < 18:
        share = 1.0
    else:
        share = (1 + math.cos(math.pi * (hour - 18) / 6)) / 2
    return use.night + (use.day - use.night) * share


class _Clock(ManualTimer):
    """Moved by hand, and a little by everyone who looks: what is done takes some time."""

    def __call__(self) -> float:
        self._now += 5e-6
        return self._now


class Recorder:
    """Plays the night and keeps what the exporter said, by series, once per step.

    A series that is not there from the first step on is None until it is.

    Args:
        crawl: a fault in it, if any.
        seed: of what is asked when.
    """

    def __init__(self, crawl: Crawl | None = None, seed: int = 7) -> None:
        self.lookups = 0
        self._crawl = crawl
        self._chance = Random(seed)
        self._clock = _Clock()
        remote = FakeRemote(self._clock)
        self._caches = {
            name: BaseCacheManager(
                2 * use.keys, 60, 300, cache_prefix=name, redis_client=remote, timer=self._clock
            )
            for name, use in USES.items()
        }
        self._registry = CollectorRegistry()
        self._registry.register(RoutecacheCollector(_only(USES)))
        self.series: dict[Series, list[float | None]] = {}

    def play(self) -> None:
        """Play all of it."""
        start = self._clock()
        try:
            for step in range(STEPS):
                self._scrape(step)
                for at, name, key in sorted(self._asked(step * EVERY)):
                    self._clock.advance(max(0.0, start + at - self._clock()))
                    self._caches[name].get_or_load(key, self._load)
                    self.lookups += 1
                end = start + (step + 1) * EVERY
                self._clock.advance(max(0.0, end - self._clock()))
        finally:
            for cache in self._caches.values():
                cache.close()

    def _load(self) -> str:
        self._clock.advance(0.02)
        return "v" * 100

    def _asked(self, begin: float) -> Iterator[tuple[float, str, str]]:
        for name, use in USES.items():
            for at in self._arrivals(begin, rate(use, hour_of_day(begin))):
                # The cube: the first eighth of the keys has half of the look-ups.
                yield at, name, f"k{int(use.keys * self._chance.random() ** 3)}"
        crawl = self._crawl
        if crawl is not None and crawl.begins <= begin / 3600 < crawl.ends:
            for at in self._arrivals(begin, crawl.rate):
                yield at, "busy", f"{_FRESH}{at}"

    def _arrivals(self, begin: float, per_second: float) -> Iterator[float]:
        at = begin + self._chance.expovariate(per_second)
        while at < begin + EVERY:
            yield at
            at += self._chance.expovariate(per_second)

    def _scrape(self, step: int) -> None:
        for name, labels, value in self._samples(step):
            series = name, tuple(sorted(labels.items()))
            self.series.setdefault(series, [None] * step).append(value)

    def _samples(self, step: int) -> Iterator[tuple[str, Mapping[str, str], float]]:
        router = {"job": "routecache", "instance": "router-1"}
        for family in self._registry.collect():
            for sample in family.samples:
                yield sample.name, {**sample.labels, **router}, _steady(sample)
        yield from _beside(step, router)


def _only(names: Mapping[str, Use]) -> Callable[[], caches.ProcessSnapshot]:
    """Snapshots without caches of other names that this process may have, too."""

    def snapshot() -> caches.ProcessSnapshot:
        found = caches.snapshot()
        return replace(found, caches=tuple(each for each in found.caches if each.name in names))

    return snapshot


def _steady(sample: Sample) -> float:
    """A process that began with the record, by the record's clock."""
    return 0.0 if sample.name == "routecache_start_timestamp_seconds" else sample.value


def _beside(step: int, router: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """What an L2 in memory does not tell: an endpoint and its listener that are well."""
    redis = {"job": "redis", "instance": "redis-exporter"}
    yield "up", router, 1.0
    yield "up", redis, 1.0
    yield "redis_evicted_keys_total", redis, 0.0
    l2 = {**router, "l2": "redis"}
    for state in ("closed", "open", "half_open"):
        yield "routecache_l2_circuits", {**l2, "state": state}, float(state == "closed")
    for state in ("connected", "disconnected"):
        yield "routecache_listeners", {**l2, "state": state}, float(state == "connected")
    beats = step * EVERY / 10
    yield "routecache_invalidation_probes_total", {**l2, "result": "ok"}, beats
    yield "routecache_invalidation_probes_total", {**l2, "result": "lost"}, 0.0
    for bound in ("0.05", "0.5", "+Inf"):
        yield "routecache_invalidation_lag_seconds_bucket", {**l2, "le": bound}, beats
    yield "routecache_listener_reconnects_total", l2, 0.0
    yield "routecache_l2_connection_wait_seconds_total", l2, 0.0
