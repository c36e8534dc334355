"""The panel that shows what an alert is about, to which its link leads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Panel(NamedTuple):
    """A panel of a dashboard; neither the uid nor the number ever changes."""

    dashboard: str
    number: int


OVERVIEW: Final = "routecache-overview"
CACHE: Final = "routecache-cache"
L1: Final = "routecache-l1"
REDIS: Final = "routecache-redis"
COHERENCE: Final = "routecache-coherence"
LOADERS: Final = "routecache-loaders"
EXPORTER: Final = "routecache-exporter"

PANELS: Final[Mapping[str, Panel]] = MappingProxyType({
    "LookupBudgetBurn": Panel(OVERVIEW, 12),
    "LatencyBudgetBurn": Panel(OVERVIEW, 25),
    "FreshnessBudgetBurn": Panel(OVERVIEW, 26),
    "L2Down": Panel(OVERVIEW, 13),
    "InvalidationStalled": Panel(COHERENCE, 506),
    "MetricsAbsent": Panel(OVERVIEW, 23),
    "L2UnreachableFromSome": Panel(OVERVIEW, 20),
    "L2ErrorRatioHigh": Panel(OVERVIEW, 14),
    "L2LatencyHigh": Panel(REDIS, 15),
    "PoolSaturated": Panel(REDIS, 16),
    "RedisEvictingLiveEntries": Panel(REDIS, 105),
    "MissRatioJumped": Panel(CACHE, 8),
    "L1Thrashing": Panel(L1, 309),
    "LoadErrors": Panel(LOADERS, 603),
    "LoadLatencyHigh": Panel(LOADERS, 604),
    "LoaderOverload": Panel(LOADERS, 608),
    "Stampede": Panel(LOADERS, 606),
    "WarmupFailed": Panel(EXPORTER, 715),
    "ListenerDisconnected": Panel(COHERENCE, 507),
    "ListenerFlapping": Panel(COHERENCE, 508),
    "StaleServing": Panel(COHERENCE, 512),
    "DecodeFailures": Panel(CACHE, 206),
    "RecoveryOverflow": Panel(COHERENCE, 515),
    "CacheCostsMoreThanItSaves": Panel(LOADERS, 610),
    "TargetDown": Panel(OVERVIEW, 23),
    "ExporterUnmounted": Panel(OVERVIEW, 23),
    "CollectorFailing": Panel(OVERVIEW, 24),
    "CardinalityOverflow": Panel(EXPORTER, 706),
    "ProviderUnhealthy": Panel(CACHE, 211),
    "RecentCause": Panel(OVERVIEW, 1),
    "Watchdog": Panel(OVERVIEW, 1),
})  # fmt: skip
"""By alert, without the common prefix."""
