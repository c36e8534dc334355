"""Which metric families an alert rests on, through recorded series, too."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from routecache_exporters.catalog import METRICS
from routecache_exporters.pack.rules import Alert, Group, Recording

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*"')
_FAMILIES: Final[Mapping[str, str]] = {
    series: metric.name
    for metric in METRICS
    for series in (
        (metric.name,)
        if metric.type != "histogram"
        else tuple(f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))
    )
}
_FOREIGN: Final = ("up", "redis_evicted_keys_total", "ALERTS")


def families(alert: Alert, groups: Iterable[Group]) -> list[str]:
    """The families without which `alert` cannot fire, or not for one of its reasons, sorted.

    groups: all that record series.
    """
    recorded = {
        rule.record: rule.expr
        for group in groups
        for rule in group.rules
        if isinstance(rule, Recording)
    }
    found, ahead = set[str](), [alert.expr]
    while ahead:
        for name in _names(ahead.pop()) - found:
            found.add(name)
            if name in recorded:
                ahead.append(recorded[name])
    own = {_FAMILIES[name] for name in found if name in _FAMILIES}
    return sorted(own | {name for name in _FOREIGN if name in found})


def _names(expr: str) -> set[str]:
    return set(_NAME.findall(_STRING.sub('""', expr)))
