"""Every row of the catalogue is on /metrics, with a number that something has moved.

The scrape is taken from inside a loader, while one L2 is out of order, so that what only shows for
a moment is there too.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from routecache import BaseCacheManager, Policy, RoutingCache, RoutingSettings, snapshot
from routecache.registry import ProcessSnapshot
from routecache.testing import FakeRemote, ManualTimer
from routecache_exporters import RoutecacheCollector
from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import Metric
from tests.helpers import eventually
from tests.servers import RedisServer

Number = dict[str, float]
"""The sum of all samples of a metric by its name; of a histogram, the observations."""


class Router:
    """A router's caches, to which everything happens that is counted."""

    def __init__(self, url: str, end: ExitStack) -> None:
        self._end = end
        self.timer = ManualTimer()
        self.live = self._cache("live", redis_url=f"{url}?max_connections=1")

    def _cache(self, name: str, maxsize: int = 100, **options: Any) -> BaseCacheManager:
        made = BaseCacheManager(maxsize, cache_prefix=f"whole.{name}", **options)
        return self._end.enter_context(made)

    def look_up_and_write(self) -> None:
        live = self.live
        eventually(lambda: live.core.hears)
        live.set_many({f"k{i}": "x" * 100 for i in range(6)}, tags=("t",))
        for i in range(6):
            live.get_or_load(f"l{i}", lambda: "loaded")
        live.core.drop_all()
        for _ in range(500):
            live.get("l5")
        live.get("absent")
        live.delete_many(["k0", "k1"])
        live.invalidate_tags("t")
        with pytest.raises(LookupError):
            live.get_or_load("broken", _raise)
        eventually(lambda: _of(self.snapshot(), "live").invalidations_received > 0)

    def warm(self) -> None:
        assert self.live.warm(["k0", "l0"], loader=str.upper).succeeded

    def crowd_the_pool(self) -> None:
        """Have callers wait for the one connection."""

        def waited() -> bool:
            threads = [
                threading.Thread(target=self.live.get_many, args=([f"k{i}" for i in range(50)],))
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            return sum(e.connection_wait for e in self.snapshot().endpoints) > 0

        eventually(waited)

    def survive(self, server: RedisServer) -> None:
        """Lose the server, and have it back."""
        server.stop()
        eventually(lambda: self.live.get("absent") is None and not self.live.redis_available)
        server.start()
        eventually(lambda: self.live.get("absent") is None and self.live.redis_available)
        eventually(lambda: sum(e.listener_reconnects for e in self.snapshot().endpoints) > 0)

    def owe(self) -> None:
        """Fail to write; recover; owe more than can be remembered; go on owing."""
        remote = FakeRemote(self.timer)
        owing = self._cache("owing", redis_client=remote)
        remote.failure = "timeout"
        owing.set("a", 1)
        remote.failure = None
        remote.run_background()
        remote.failure = "timeout"
        owing.core.recovery.LIMIT = 2  # as if there were thousands
        owing.set_many({"a": 1, "b": 2, "c": 3})
        owing.set("d", 4)

    def load_twice(self) -> None:
        """Store what another process has loaded meanwhile."""
        remote = FakeRemote(self.timer)
        ours = self._cache("twice", redis_client=remote)
        other = self._end.enter_context(
            BaseCacheManager(redis_client=remote, cache_prefix="whole.twice", name="whole.other")
        )
        ours.get_or_load("k", lambda: other.get_or_load("k", lambda: 1))

    def serve_stale(self) -> None:
        policy = Policy(stale_ttl=100)
        stale = self._cache("stale", l1_ttl=10, enable_redis=False, policy=policy, timer=self.timer)
        stale.get_or_load("k", lambda: 1)
        self.timer.advance(11)
        stale.get_or_load("k", lambda: 1)
        eventually(lambda: _of(self.snapshot(), "stale").refreshes)

    def outgrow(self) -> None:
        """Ask for more keys than L1 holds, often enough that some look-ups are probed."""
        small = self._cache("small", 2, enable_redis=False, timer=self.timer)
        for i in range(5000):
            self.timer.advance(0.003)
            small.get_or_load(f"k{i % 20}", lambda: 1)

    def coalesce(self) -> None:
        loading, go_on = threading.Event(), threading.Event()

        def load() -> int:
            loading.set()
            assert go_on.wait(30)
            return 1

        both = self._cache("both", 1, enable_redis=False)
        both.set("will be evicted", 1)
        leader = threading.Thread(target=both.get_or_load, args=("k", load))
        leader.start()
        assert loading.wait(30)
        waiter = threading.Thread(target=both.get_or_load, args=("k", load))
        waiter.start()
        (flight,) = both.core.flights._flying.values()
        eventually(lambda: len(flight.future._condition._waiters) == 1)  # type: ignore[attr-defined]
        go_on.set()
        leader.join(30)
        waiter.join(30)

    def report_health(self) -> None:
        routing = self._end.enter_context(RoutingCache(RoutingSettings(enable_redis=False)))
        for i in range(20):
            routing.report_provider_health(f"provider{i}", healthy=i % 2 == 0)

    def snapshot(self) -> ProcessSnapshot:
        """What this test did; other tests have caches in this process, too."""
        seen = snapshot()
        caches = tuple(c for c in seen.caches if c.name.startswith("whole."))
        assert self.live.remote is not None
        endpoints = tuple(e for e in seen.endpoints if e.alias == self.live.remote.alias)
        return ProcessSnapshot(caches, endpoints, seen.providers)


def _raise() -> None:
    raise LookupError


def _of(seen: ProcessSnapshot, name: str) -> Any:
    return next(cache for cache in seen.caches if cache.name == f"whole.{name}")


def _numbers(text: str) -> Number:
    return {
        family.name: sum(
            sample.value
            for sample in family.samples
            if family.type != "histogram" or sample.name.endswith("_count")
        )
        for family in text_string_to_metric_families(text)
    }


def _number(numbers: Number, metric: Metric) -> float:
    # This parser keeps a counter's suffix off and an info's on.
    return numbers[metric.name.removesuffix("_total")]


@pytest.fixture
def end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_every_row_is_on_the_page_after_a_busy_time_and_has_been_moved(
    redis_server: RedisServer, end: ExitStack
) -> None:
    router = Router(redis_server.url, end)
    happenings: tuple[Callable[[], None], ...] = (
        router.look_up_and_write,
        router.warm,
        router.crowd_the_pool,
        lambda: router.survive(redis_server),
        router.owe,
        router.load_twice,
        router.serve_stale,
        router.outgrow,
        router.coalesce,
        router.report_health,
    )
    for happen in happenings:
        happen()
    registry = CollectorRegistry()
    registry.register(RoutecacheCollector(router.snapshot))
    pages: list[str] = []

    def load_and_scrape() -> int:
        router.live.set("held", 1)
        pages.append(generate_latest(registry).decode())
        return 1

    router.live.get_or_load("scraped", load_and_scrape)
    numbers = _numbers(pages[0])
    assert {name for name in numbers if name.startswith("routecache_")} == {
        metric.name.removesuffix("_total") for metric in METRICS
    }
    still = [metric.name for metric in METRICS if not _number(numbers, metric) > 0]
    assert still == [], "declared and initialised, but nothing moved them"
