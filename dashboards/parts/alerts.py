"""What fires now, and the numbers that say how bad it is."""

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.builders import stat, table

from dashboards import panels, styles
from dashboards.limits import PAGE, PAGE_LONG, budget, paging, threshold, wait
from dashboards.shared import CACHE, FIRING, JOB_CACHE, PROCESS, RATE, recorded
from routecache_exporters.pack.config import PREFIX
from routecache_exporters.pack.panels import PANELS, Panel

_TOLD: Final[Mapping[str, Panel]] = {
    f"{PREFIX}{name}": panel
    for name, panel in PANELS.items()
    if name not in {"RecentCause", "Watchdog"}
}
"""Where each alert is shown that somebody is told of."""

_SEVERITIES = {"critical": ("page", "red"), "warning": ("ticket", "orange")}


def firing_alerts() -> table.Panel:
    """Every alert that somebody is told of, with the way to its runbook and its panel."""
    # Seconds since the condition holds, for the alerts that got past their `for`.
    expr = (
        f"(time() - ALERTS_FOR_STATE{{{FIRING}}})\n"
        "and ignoring (alertstate)\n"
        f'ALERTS{{alertstate="firing", {FIRING}}}'
    )
    for label in ("number", "dashboard"):
        for place, alerts in _by_place(label).items():
            names = "|".join(alerts)
            expr = f'label_replace(\n{expr},\n"{label}", "{place}", "alertname", "{names}")'
    columns = {
        "severity": "Severity",
        "alertname": "Alert",
        "Value": "For",
        "cache": "Cache",
        "l2": "Redis",
        "collector": "Part",
        "dashboard": "Shown at",
        "number": "Panel",
        "job": "Job",
        "⟦label⟧": "⟦Label⟧",
    }
    runbook = {
        "title": "Runbook",
        "url": "${runbooks:raw}/${__value.raw}⟦suffix⟧",
        "targetBlank": True,
    }
    panel_link = {
        "title": "The panel that shows it",
        "url": "/d/${__value.raw}?viewPanel=${__data.fields.number}"
        "&${__url_time_range}&${__all_variables}",
    }
    return (
        panels.table(
            1,
            "Firing alerts",
            "Start here. RouteCache alerts that notify somebody: critical pages, warning is a "
            "ticket. The name leads to the runbook, the last column to the panel that shows the "
            "cause. Not filtered by instance and cache.",
            [expr],
            columns,
        )
        .no_value("No RouteCache alert is firing")
        # That text is of the whole table; an alert without such a label has an empty cell.
        .override_by_regexp("/.+/", styles.override(noValue="–"))
        .override_by_name(
            "Severity",
            styles.override(
                mappings=styles.value_map(_SEVERITIES),
                custom__cellOptions={"type": "color-background", "mode": "basic"},
                custom__width=75,
            ),
        )
        .override_by_name(
            "Alert",
            styles.override(
                links=[runbook],
                mappings=styles.regex_map(f"{PREFIX}(.*)", "$1"),
                custom__minWidth=180,
            ),
        )
        .override_by_name("For", styles.override(unit="dtdurations", decimals=0, custom__width=95))
        .override_by_name("Panel", styles.override(custom__width=60))
        .override_by_name(
            "Shown at",
            styles.override(
                links=[panel_link],
                mappings=styles.regex_map("routecache-(.*)", "$1"),
                custom__width=80,
            ),
        )
    )


def _by_place(field: str) -> dict[str, list[str]]:
    """Alerts by the dashboard, or by the number of the panel, that shows them."""
    found: dict[str, list[str]] = {}
    for alert, panel in _TOLD.items():
        found.setdefault(str(getattr(panel, field)), []).append(alert)
    return found


def lookups() -> stat.Panel:
    """The load."""
    return panels.stat(
        2,
        "Look-ups",
        "Look-ups per second over all selected caches; a batch of n counts n. Far from usual: ask "
        "what changed in front of the router before you look at the cache.",
        "ops",
        f"sum(rate(routecache_requests_total{{{CACHE}}}[{RATE}]))",
    )


def hit_ratio() -> stat.Panel:
    """Cost and capacity in one number."""
    return panels.stat(
        3,
        "Hit ratio",
        "Share of look-ups that L1 or L2 answered. It says what the cache saves, not whether it "
        "works: a low ratio is cost, not an incident.",
        "percentunit",
        f"sum(rate(routecache_hits_total{{{CACHE}}}[{RATE}]))\n/\n"
        f"(sum(rate(routecache_requests_total{{{CACHE}}}[{RATE}])) > 0)",
    ).decimals(1)


def degraded() -> stat.Panel:
    """The SLO's bad events, against its budget."""
    allowed, pages = budget("lookup"), paging("lookup")
    window = PAGE_LONG
    return (
        panels.stat(
            4,
            f"Degraded, {window}",
            f"Share of the look-ups of the last {window} that no tier answered because Redis could "
            "not be reached or an entry could not be read. Orange: more than the objective allows "
            f"({allowed:%}). Red: fast enough to page ({PAGE} times that). Job-wide: not filtered "
            "by instance.",
            "percentunit",
            f"sum({recorded('degraded', f'rate{window}', 'cache')}{{{JOB_CACHE}}})\n/\n"
            f"(sum({recorded('requests', f'rate{window}', 'cache')}{{{JOB_CACHE}}}) > 0)",
        )
        .decimals(2)
        .thresholds(styles.thresholds([(None, "green"), (allowed, "orange"), (pages, "red")]))
    )


def circuits_open() -> stat.Panel:
    """Whether Redis answers."""
    half = threshold("L2Down")
    return (
        panels.stat(
            5,
            "Circuits open",
            "Share of the processes' circuits to Redis that are open or half open, so that "
            f"look-ups skip L2. Orange: some (ticket after {wait('L2UnreachableFromSome')}). Red: "
            f"{half:%} or more (page after {wait('L2Down')}).",
            "percentunit",
            f'sum(routecache_l2_circuits{{{PROCESS}, state=~"open|half_open"}})\n/\n'
            f"(sum(routecache_l2_circuits{{{PROCESS}}}) > 0)",
        )
        .decimals(0)
        .thresholds(styles.thresholds([(None, "green"), (0.0001, "orange"), (half, "red")]))
    )
