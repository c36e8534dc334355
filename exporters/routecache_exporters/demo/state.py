"""What the demo shows at one moment: caches, circuits, alerts, URLs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache_exporters.demo.webhook import Notice
from routecache_exporters.replay.books import CacheBooks, between
from routecache_exporters.replay.runner import CACHES

STOPPED: Final = "stopped by the demo"

_NOTHING = ProcessSnapshot((), ())


@dataclass(frozen=True, slots=True)
class CacheLine:
    """One cache in the live table. Latencies in seconds, None without observations."""

    name: str
    look_ups: int
    hit_ratio: float | None
    l1_hits: int
    l2_hits: int
    misses: Mapping[str, int]
    entries: int
    p99_l1: float | None
    p99_rest: float | None


@dataclass(frozen=True, slots=True)
class Outage:
    """When Redis was stopped and started again, on the demo's clock; None: not yet."""

    stopped: float | None = None
    started: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All that a view needs.

    `now` and the times of notices and outage are seconds on one clock; `elapsed` is seconds since
    the replay began. `circuits` is by L2 alias. `redis` is what there is to say after "Redis".
    """

    now: float
    elapsed: float
    seconds: float | None
    requests: int
    exceptions: int
    wrong_answers: int
    caches: Sequence[CacheLine]
    circuits: Mapping[str, str]
    redis: str
    outage: Outage
    notices: Sequence[Notice]
    urls: Mapping[str, str]
    problems: Sequence[str] = field(default=())

    @property
    def look_ups(self) -> int:
        """Over all caches."""
        return sum(cache.look_ups for cache in self.caches)

    @property
    def hit_ratio(self) -> float | None:
        """Over all caches."""
        hits = sum(cache.l1_hits + cache.l2_hits for cache in self.caches)
        return hits / self.look_ups if self.look_ups else None


def cache_lines(snapshot: ProcessSnapshot) -> list[CacheLine]:
    """The live table's rows since the process started."""
    return [_line(between(_NOTHING, snapshot, name)) for name in CACHES]


def circuits(snapshot: ProcessSnapshot) -> dict[str, str]:
    """The circuit's state by L2 alias."""
    return {endpoint.alias: endpoint.circuit for endpoint in snapshot.endpoints}


def _line(books: CacheBooks) -> CacheLine:
    l1_hit = books.latency.get("l1_hit")
    return CacheLine(
        books.name,
        books.requests,
        books.hit_ratio,
        books.l1_hits,
        books.l2_hits,
        books.misses,
        books.entries,
        l1_hit.quantile(0.99) if l1_hit else None,
        _p99([h for outcome, h in books.latency.items() if outcome != "l1_hit"]),
    )


def _p99(histograms: Sequence[HistogramSnapshot]) -> float | None:
    """The 99th percentile over histograms of the same bounds."""
    if not histograms:
        return None
    counts = tuple(sum(column) for column in zip(*(h.counts for h in histograms), strict=True))
    merged = HistogramSnapshot(histograms[0].bounds, counts, sum(h.sum for h in histograms))
    return merged.quantile(0.99)
