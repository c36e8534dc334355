"""Warm-ups: what was filled before anybody asked, and what came to nothing."""

from typing import Final

from grafana_foundation_sdk.builders import stat, table, timeseries

from dashboards import panels, styles
from dashboards.limits import wait
from dashboards.shared import CACHE

_STARTED: Final = f"routecache_warmup_started_timestamp_seconds{{{CACHE}}}"
_COMPLETED: Final = f"routecache_warmup_last_completed_timestamp_seconds{{{CACHE}}}"


def failed() -> stat.Panel:
    """Warm-ups that are not done."""
    return (
        panels.stat(
            713,
            "Warm-ups not completed",
            "Caches of processes whose last warm-up goes on or came to nothing. For "
            f"{wait('WarmupFailed')} it is a ticket: Warm-ups beside it tells where, the loads "
            "panels of Loaders why.",
            "short",
            f"sum({_STARTED} > bool {_COMPLETED})",
        )
        .decimals(0)
        .thresholds(styles.thresholds([(None, "green"), (1, "orange")]))
    )


def entries() -> timeseries.Panel:
    """What warm-ups brought."""
    warmed = f"sum by (cache) (routecache_warmup_entries{{{CACHE}}})"
    room = (
        f'sum by (cache) (\n  routecache_max_entries{{{CACHE}, tier="l1"}}\n'
        f"  and on (instance, cache) {_STARTED}\n)"
    )
    return panels.timeseries(
        714,
        "Entries warmed",
        "Entries that the last warm-up of each process has warmed, by cache over all processes. "
        "It climbs while one goes on. Far below the entries that L1 may hold: few keys were known, "
        "or the deadline was short; see docs/warming.md.",
        "short",
        [(warmed, "{{cache}}"), (room, "{{cache}}, may hold")],
    ).min(0)


def warm_ups() -> table.Panel:
    """When each cache was warmed."""
    columns = {
        "cache": "Cache",
        "Value #A": "Last started",
        "Value #B": "Last completed",
        "Value #C": "Not completed",
    }
    panel = panels.table(
        715,
        "Warm-ups",
        "How long ago the newest warm-up of each cache started, how long ago one last completed in "
        "the process where that is longest ago (where none ever has, it is since 1970), and in how "
        "many processes the last one has not completed.",
        [
            f"time() - max by (cache) ({_STARTED})",
            f"time() - min by (cache) ({_COMPLETED})",
            f"sum by (cache) ({_STARTED} > bool {_COMPLETED})",
        ],
        columns,
    )
    for name in ("Last started", "Last completed"):
        panel = panel.override_by_name(name, styles.override(unit="dtdurations", decimals=0))
    return panel.sort_by([styles.sort("Not completed", descending=True)])
