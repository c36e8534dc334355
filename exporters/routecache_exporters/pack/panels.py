"""The panel that shows what an alert is about, to which its link leads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Panel(NamedTuple):
    """A panel of a dashboard; neither the uid nor the number ever changes."""

    dashboard: str
    number: int


OVERVIEW: Final = "routecache-overview"


def _overview(number: int) -> Panel:
    return Panel(OVERVIEW, number)


PANELS: Final[Mapping[str, Panel]] = MappingProxyType({
    "LookupBudgetBurn": _overview(12),
    "LatencyBudgetBurn": _overview(9),
    "FreshnessBudgetBurn": _overview(13),
    "L2Down": _overview(13),
    "InvalidationStalled": _overview(13),
    "MetricsAbsent": _overview(23),
    "L2UnreachableFromSome": _overview(20),
    "L2ErrorRatioHigh": _overview(14),
    "L2LatencyHigh": _overview(15),
    "PoolSaturated": _overview(16),
    "RedisEvictingLiveEntries": _overview(8),
    "MissRatioJumped": _overview(8),
    "L1Thrashing": _overview(19),
    "LoadErrors": _overview(18),
    "LoadLatencyHigh": _overview(18),
    "LoaderOverload": _overview(18),
    "Stampede": _overview(17),
    "ListenerDisconnected": _overview(13),
    "ListenerFlapping": _overview(13),
    "StaleServing": _overview(6),
    "DecodeFailures": _overview(8),
    "RecoveryOverflow": _overview(13),
    "CacheCostsMoreThanItSaves": _overview(7),
    "TargetDown": _overview(23),
    "ExporterUnmounted": _overview(23),
    "CollectorFailing": _overview(24),
    "CardinalityOverflow": _overview(24),
    "ProviderUnhealthy": _overview(18),
    "RecentCause": _overview(1),
    "Watchdog": _overview(1),
})  # fmt: skip
"""By alert, without the common prefix."""
