"""What fires now, and the numbers that say how bad it is."""

from typing import Final

from grafana_foundation_sdk.builders import stat, table

from dashboards import panels
from dashboards.shared import CACHE, FIRING, JOB_CACHE, PROCESS, RATE
from routecache_exporters.pack.config import PREFIX
from routecache_exporters.pack.panels import OVERVIEW, PANELS

ALERT_PANELS: Final = {
    f"{PREFIX}{name}": panel.number
    for name, panel in PANELS.items()
    if name not in {"RecentCause", "Watchdog"}
}
"""The panel that shows what an alert is about; `dashboard_url` in the rules says the same."""

_SEVERITIES = {"critical": ("critical", "red"), "warning": ("warning", "orange")}


def firing_alerts() -> table.Panel:
    """Every alert that somebody is told of, with the way to its runbook and its panel."""
    # Seconds since the condition holds, for the alerts that got past their `for`.
    since = (
        f"(time() - ALERTS_FOR_STATE{{{FIRING}}})\n"
        "and ignoring (alertstate)\n"
        f'ALERTS{{alertstate="firing", {FIRING}}}'
    )
    expr = since
    for number in sorted(set(ALERT_PANELS.values())):
        names = "|".join(name for name, panel in ALERT_PANELS.items() if panel == number)
        expr = f'label_replace(\n{expr},\n"panel", "{number}", "alertname", "{names}")'
    columns = {
        "severity": "Severity",
        "alertname": "Alert",
        "Value": "For",
        "job": "Job",
        "cache": "Cache",
        "l2": "Redis",
        "collector": "Collector",
        "cluster": "Cluster",
        "namespace": "Namespace",
        "panel": "Panel",
    }
    runbook = {"title": "Runbook", "url": "${runbooks:raw}/${__value.raw}.md", "targetBlank": True}
    panel_link = {
        "title": "The panel that shows it",
        "url": f"/d/{OVERVIEW}?viewPanel=${{__value.raw}}"
        "&${__url_time_range}&${__all_variables}",
    }
    return (
        panels.table(
            1,
            "Firing alerts",
            "RouteCache alerts that notify somebody: critical pages, warning is a ticket. The "
            "name leads to the runbook, the panel number to the panel that shows the cause. "
            "Not filtered by instance and cache.",
            [expr],
            columns,
        )
        .no_value("No RouteCache alert is firing")
        .override_by_name(
            "Severity",
            panels.override(
                mappings=panels.value_map(_SEVERITIES),
                custom__cellOptions={"type": "color-background", "mode": "basic"},
                custom__width=90,
            ),
        )
        .override_by_name("Alert", panels.override(links=[runbook], custom__minWidth=230))
        .override_by_name("For", panels.override(unit="dtdurations", decimals=0, custom__width=110))
        .override_by_name("Panel", panels.override(links=[panel_link], custom__width=70))
    )


def lookups() -> stat.Panel:
    """The load."""
    return panels.stat(
        2,
        "Look-ups",
        "Look-ups per second over all selected caches; a batch of n counts n.",
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
    return (
        panels.stat(
            4,
            "Degraded look-ups, 1 h",
            "Share of the last hour's look-ups that no tier answered because Redis could not be "
            "reached or an entry could not be read. Orange: more than the SLO allows (0.1%). "
            "Red: fast enough to page (14.4 times that). Job-wide: not filtered by instance.",
            "percentunit",
            f"sum(cluster_namespace_job_cache:routecache_degraded:rate1h{{{JOB_CACHE}}})\n/\n"
            "(sum(cluster_namespace_job_cache:routecache_requests:rate1h"
            f"{{{JOB_CACHE}}}) > 0)",
        )
        .decimals(2)
        .thresholds(panels.thresholds([(None, "green"), (0.001, "orange"), (0.0144, "red")]))
    )


def circuits_open() -> stat.Panel:
    """Whether Redis answers."""
    return (
        panels.stat(
            5,
            "L2 circuits open",
            "Share of the processes' circuits to Redis that are open or half open, so that "
            "look-ups skip L2. Orange: some (ticket after 10 min). Red: half or more (page after "
            "2 min).",
            "percentunit",
            f'sum(routecache_l2_circuits{{{PROCESS}, state=~"open|half_open"}})\n/\n'
            f"(sum(routecache_l2_circuits{{{PROCESS}}}) > 0)",
        )
        .decimals(0)
        .thresholds(panels.thresholds([(None, "green"), (0.0001, "orange"), (0.5, "red")]))
    )
