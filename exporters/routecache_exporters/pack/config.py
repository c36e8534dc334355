"""Everything that an operator may want otherwise: thresholds, waits, objectives, names, addresses.

Frozen, with the shipped values as defaults. `config_file.py` reads a YAML file over them, whose
keys are the field names here (`wait` is written `for`, as in a rule).

Durations are Prometheus' (`5m`, `1h30m`). Shares are of 1. Alerts and causes are named without the
prefix `RouteCache` that all have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NewType

from routecache_exporters.pack.masks import MASKS, Mask

Duration = NewType("Duration", str)
"""A length of time as Prometheus writes it."""

PREFIX: Final = "RouteCache"
"""What every alert's name begins with."""

# The demo's map of durations (demo/shorten.py) has these windows as its points.
_5M, _30M, _1H, _2H = Duration("5m"), Duration("30m"), Duration("1h"), Duration("2h")
_6H, _1D, _3D, _14D = Duration("6h"), Duration("1d"), Duration("3d"), Duration("14d")


@dataclass(frozen=True, slots=True)
class Jobs:
    """The `job` labels of the targets.

    routers: of the processes that export routecache's metrics.
    redis: of oliver006/redis_exporter.
    """

    routers: str = "routecache"
    redis: str = "redis"


@dataclass(frozen=True, slots=True)
class Urls:
    """Where links in alerts lead.

    runbooks: the folder of the runbooks. `{{ $externalURL }}` is the Prometheus that evaluates the
        rules; with --web.user-assets it serves them itself.
    runbook_suffix: what follows an alert's name there.
    dashboards: Grafana's dashboards, to which `/UID?viewPanel=N` is appended.
    prometheus: in links of dashboards what takes the place of `{{ $externalURL }}`, which only
        Prometheus can fill in.
    """

    runbooks: str = "{{ $externalURL }}/user"
    runbook_suffix: str = ".md"
    dashboards: str = "http://localhost:3000/d"
    prometheus: str = "http://localhost:9090"


@dataclass(frozen=True, slots=True)
class Burn:
    """One pair of windows over which an objective's budget may burn `factor` times too fast.

    The long window says that it matters, the short one that it still goes on.
    """

    long: Duration
    short: Duration
    factor: float


@dataclass(frozen=True, slots=True)
class Burns:
    """When a budget's spending pages, and when it is a ticket; two pairs of windows each.

    budget_window: over which an objective holds; at most Prometheus' retention.
    """

    budget_window: Duration = _14D
    page: tuple[Burn, Burn] = (Burn(_1H, _5M, 14.4), Burn(_6H, _30M, 6))
    ticket: tuple[Burn, Burn] = (Burn(_1D, _2H, 3), Burn(_3D, _6H, 1))
    page_for: Duration = _5M
    ticket_for: Duration = _30M


@dataclass(frozen=True, slots=True)
class Objective:
    """A service level objective.

    target: the share that shall be good.
    within: seconds, one of the histogram's bounds; 0 where time does not matter.
    floor: look-ups per second on the long window below which nothing is said.
    """

    target: float
    within: float = 0.0
    floor: float = 1.0

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1 - self.target, 12)


@dataclass(frozen=True, slots=True)
class Objectives:
    """The objectives.

    lookup: look-ups served as designed.
    latency: look-ups that left L1 and needed no load, answered within a time.
    freshness: probes of the listener heard within a time.
    """

    lookup: Objective = Objective(0.999)
    latency: Objective = Objective(0.99, within=0.005)
    freshness: Objective = Objective(0.999, within=0.5)


@dataclass(frozen=True, slots=True)
class Limit:
    """When an alert that is not about an objective fires.

    wait: how long its condition has to hold (`for`).
    threshold: what its number is held against, in the unit that docs/alerts.md names; None where
        there is nothing to choose.
    floor: events per second below which it says nothing; None where it has no floor.
    enabled: False leaves it out of the rules.
    """

    wait: Duration = field(default=Duration("10m"), metadata={"key": "for"})
    threshold: float | None = None
    floor: float | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Jump:
    """When the miss ratio has jumped: over `window`, against `baseline` as it was `offset` ago.

    ratio_factor: times the baseline's miss ratio.
    rate_factor: times the baseline's misses per second, so that a quiet night, which makes any
        ratio worse, says nothing.
    settled: a cache whose newest process is younger says nothing: a roll-out empties L1, and the
        window has to lie behind the time that filling it takes.
    """

    window: Duration = _30M
    baseline: Duration = _1D
    offset: Duration = _1H
    ratio_factor: float = 2.0
    rate_factor: float = 1.5
    settled: Duration = _1H


def _limit(wait: str, threshold: float | None = None, floor: float | None = None) -> Limit:
    return Limit(Duration(wait), threshold, floor)


LIMITS: Final[Mapping[str, Limit]] = MappingProxyType({
    "L2Down": _limit("2m", 0.5),
    "InvalidationStalled": _limit("2m", 0.5),
    "MetricsAbsent": _limit("10m"),
    "L2UnreachableFromSome": _limit("10m"),
    "L2ErrorRatioHigh": _limit("10m", 0.05, 5),
    "L2LatencyHigh": _limit("10m", 0.025, 5),
    "PoolSaturated": _limit("10m", 0.001, 5),
    "RedisEvictingLiveEntries": _limit("10m", 0.01, 1),
    "MissRatioJumped": _limit("15m", 0.05, 1),
    "L1Thrashing": _limit("15m", 0.1, 1),
    "LoadErrors": _limit("10m", 0.05, 0.1),
    "LoadLatencyHigh": _limit("10m", 1.0, 0.1),
    "LoaderOverload": _limit("15m", 10),
    "Stampede": _limit("10m", 0.5, 1),
    "WarmupFailed": _limit("10m"),
    "ListenerDisconnected": _limit("10m"),
    "ListenerFlapping": _limit("10m", 3),
    "StaleServing": _limit("10m", 0.01, 1),
    "DecodeFailures": _limit("10m", 0.001, 1),
    "RecoveryOverflow": _limit("5m"),
    "CacheCostsMoreThanItSaves": _limit("30m", 1.0, 1),
    "TargetDown": _limit("10m", 0.1),
    "ExporterUnmounted": _limit("10m"),
    "CollectorFailing": _limit("10m"),
    "CardinalityOverflow": _limit("10m"),
    "ProviderUnhealthy": _limit("10m"),
})  # fmt: skip
"""The shipped limits, by alert."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration of the monitoring pack.

    aggregation_labels: by which rules group, and which tell one fleet from another; `job` among
        them. Never one of a replica: each roll-out would start new series.
    redis_labels: labels that the routers' targets and their Redis exporter's have in common.
    scrape_interval: of the routers. Every range of a rule is at least four times as long.
    window: of rates in alerts and panels that are about now.
    memory: how long a cause explains its symptoms after it was over; the slow windows of the
        objectives stay true about as long.
    """

    jobs: Jobs = field(default_factory=Jobs)
    urls: Urls = field(default_factory=Urls)
    aggregation_labels: tuple[str, ...] = ("cluster", "namespace", "job")
    redis_labels: tuple[str, ...] = ("cluster", "namespace")
    scrape_interval: Duration = Duration("15s")
    window: Duration = _5M
    objectives: Objectives = field(default_factory=Objectives)
    burns: Burns = field(default_factory=Burns)
    alerts: Mapping[str, Limit] = field(default_factory=lambda: LIMITS)
    miss_ratio: Jump = field(default_factory=Jump)
    memory: Duration = _6H
    masks: Mapping[str, Mask] = field(default_factory=lambda: MASKS)

    @property
    def windows(self) -> tuple[Duration, ...]:
        """Every window that a burn rate looks over, once, the shortest first."""
        pairs = (*self.burns.page, *self.burns.ticket)
        found = {window: None for pair in pairs for window in (pair.long, pair.short)}
        return tuple(sorted(found, key=seconds))

    def level(self, *labels: str) -> str:
        """The first part of a recorded name: the labels that are left, `labels` after ours."""
        return "_".join((*self.aggregation_labels, *labels))

    def by(self, *labels: str) -> str:
        """A list of labels to group by, `labels` after ours."""
        return ", ".join((*self.aggregation_labels, *labels))

    def recorded(self, metric: str, operation: str, *labels: str) -> str:
        """The name of a recorded series: `recorded("requests", "rate5m", "cache")`."""
        return f"{self.level(*labels)}:routecache_{metric}:{operation}"

    def runbook(self, alert: str) -> str:
        """The address of an alert's runbook; `alert` without the prefix."""
        return f"{self.urls.runbooks}/{PREFIX}{alert}{self.urls.runbook_suffix}"


_UNITS: Final = {"y": 31536000, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


def seconds(duration: str) -> float:
    """How long a `Duration` is.

    Raises ValueError if it is none: Prometheus wants the units in order, each at most once.
    """
    rest, total = duration, 0.0
    for unit, length in _UNITS.items():
        digits = len(rest) - len(rest.lstrip("0123456789"))
        end = digits + len(unit)
        if digits and rest[digits:end] == unit and not rest[end : end + 1].isalpha():
            total += int(rest[:digits]) * length
            rest = rest[end:]
    if rest or total <= 0:
        raise ValueError(f"{duration!r} is no duration such as 5m or 1h30m")
    return total
