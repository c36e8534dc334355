"""The processes: which stand out, what they run, whether they are seen at all."""

from grafana_foundation_sdk.builders import stat, table, timeseries

from dashboards import colors, panels, styles
from dashboards.limits import budget, paging, threshold
from dashboards.shared import BY_PROCESS, CACHE, JOB, PROCESS, RATE

_BY = BY_PROCESS
_UP = f'up{{{JOB}, instance=~"$instance"}}'


def worst_instances() -> table.Panel:
    """The five processes in which a look-up takes longest, with what may be the cause."""

    def rate(metric: str, selector: str = CACHE) -> str:
        return f"sum by ({_BY}) (rate(routecache_{metric}{{{selector}}}[{RATE}]))"

    requests = f"({rate('requests_total')} > 0)"
    time = f"{rate('request_duration_seconds_sum')} / {requests}"
    worst = f"topk(5, {time})"
    degraded = f'{CACHE}, reason=~"l2_unavailable|undecodable"'
    shown = [
        time,
        requests,
        f"{rate('misses_total')} / {requests}",
        f"{rate('misses_total', degraded)} / {requests}",
        rate("errors_total", f'{CACHE}, tier="l2"'),
        f'sum by ({_BY}) (routecache_l2_circuits{{{PROCESS}, state=~"open|half_open"}})',
    ]
    columns = {
        "instance": "Instance",
        "Value #A": "Time/look-up",
        "Value #B": "Asked/s",
        "Value #C": "Missed",
        "Value #D": "Degraded",
        "Value #E": "Errors/s",
        "Value #F": "Open",
        "job": "Job",
        "⟦label⟧": "⟦Label⟧",
    }
    alarm = {"type": "color-text"}
    return (
        panels.table(
            20,
            "Worst five instances",
            "The processes in which a look-up waits longest for L2 and loaders, averaged over "
            "all look-ups, with their errors of L2 and open circuits. One process far above the "
            "others: its way to Redis, a cold L1, or a configuration of its own. All alike: look "
            "at what they share.",
            [f"({expr})\nand on ({_BY})\n{worst}" for expr in shown],
            columns,
        )
        .sort_by([styles.sort("Time/look-up", descending=True)])
        .override_by_name("Instance", styles.override(custom__minWidth=130))
        .override_by_name("Time/look-up", styles.override(unit="s", decimals=2, custom__width=118))
        .override_by_name("Asked/s", styles.override(unit="short", decimals=1, custom__width=70))
        .override_by_name(
            "Missed", styles.override(unit="percentunit", decimals=1, custom__width=70)
        )
        .override_by_name(
            "Degraded",
            styles.override(
                unit="percentunit",
                decimals=2,
                custom__width=80,
                custom__cellOptions=alarm,
                thresholds=styles.threshold_steps(
                    [(None, "text"), (budget("lookup"), "orange"), (paging("lookup"), "red")]
                ),
            ),
        )
        .override_by_name("Errors/s", styles.override(unit="short", decimals=2, custom__width=70))
        .override_by_name(
            "Open",
            styles.override(
                decimals=0,
                custom__width=55,
                custom__cellOptions=alarm,
                thresholds=styles.threshold_steps([(None, "text"), (1, "red")]),
            ),
        )
    )


def skew() -> stat.Panel:
    """Whether all processes run the same."""
    builds = f"count by (version, revision, python) (routecache_build_info{{{PROCESS}}})"
    configurations = f"count by (cache, policy, serializer) (routecache_config_info{{{CACHE}}})"
    return (
        panels.stat(
            27,
            "Skew",
            "How many versions run, and how many configurations the most divided cache has. More "
            "than one outside a roll-out: processes disagree. The tables at the bottom tell which.",
            "short",
            f"count({builds})",
            "versions",
            (f"max(count by (cache) ({configurations}))", "configurations"),
        )
        .decimals(0)
        .graph_mode(panels.NO_GRAPH)
        .text_mode(panels.WITH_NAMES)
        .thresholds(styles.thresholds([(None, "green"), (2, "orange")]))
    )


def versions() -> table.Panel:
    """What runs. More than one row outside a roll-out is skew."""
    columns = {
        "version": "Version",
        "revision": "Revision",
        "python": "Python",
        "Value": "Processes",
    }
    return panels.table(
        21,
        "Versions running",
        "routecache and Python by number of processes. More than one row outside a roll-out is "
        "a deploy that stopped half-way.",
        [f"count by (version, revision, python) (routecache_build_info{{{PROCESS}}})"],
        columns,
    ).sort_by([styles.sort("Processes", descending=True)])


def configurations() -> table.Panel:
    """How caches are configured. More than one variant is skew."""
    each = f"count by (cache, policy, serializer) (routecache_config_info{{{CACHE}}})"
    variants = f"{each} * 0 + on (cache) group_left () count by (cache) ({each})"
    columns = {
        "cache": "Cache",
        "policy": "L1 policy",
        "serializer": "Serializer",
        "Value #A": "Processes",
        "Value #B": "Variants",
    }
    return (
        panels.table(
            22,
            "Cache configuration in force",
            "L1 policy and serializer of each cache by number of processes. More than one "
            "variant of a cache outside a roll-out: processes disagree, and with different "
            "serializers they do not read each other's entries.",
            [each, variants],
            columns,
        )
        .override_by_name(
            "Variants",
            styles.override(
                custom__cellOptions={"type": "color-text"},
                thresholds=styles.threshold_steps([(None, "green"), (2, "orange")]),
            ),
        )
        .sort_by([styles.sort("Cache")])
    )


def scrapes() -> timeseries.Panel:
    """Targets that answer, that do not, and that answer without our metrics."""
    panel = panels.stacked(
        23,
        "Targets by state",
        "Scrape targets: up and exporting, down, or answering without one routecache metric "
        f"(exporter not mounted). More than {threshold('TargetDown'):%} down is a ticket, and so "
        "is a single target without metrics.",
        "short",
        [
            (f"count({_UP} == 1 and on ({_BY}) routecache_build_info)", "up"),
            (f"count({_UP} == 0)", "down"),
            (f"count({_UP} == 1 unless on ({_BY}) routecache_build_info)", "no routecache metrics"),
        ],
    ).decimals(0)
    return styles.colored(panel, colors.TARGETS)


def collectors() -> timeseries.Panel:
    """What a scrape costs, and whether parts of it fail."""
    failing = "failing: {{collector}}"
    return (
        panels.timeseries(
            24,
            "Time to collect, by part",
            "Slowest process's time for each part of a scrape, and (right) the number of "
            "processes in which that part fails, so that its metrics are missing or old.",
            "s",
            [
                (
                    f"max by (collector) (routecache_collect_duration_seconds{{{PROCESS}}})",
                    "{{collector}}",
                ),
                (
                    f"sum by (collector) (1 - routecache_collect_success{{{PROCESS}}})",
                    failing,
                ),
            ],
        )
        .min(0)
        .override_by_regexp(
            "/^failing/",
            styles.override(
                unit="short",
                decimals=0,
                color={"mode": "fixed", "fixedColor": "red"},
                custom__axisPlacement="right",
                custom__axisSoftMax=1,
                custom__drawStyle="bars",
                custom__fillOpacity=40,
            ),
        )
    )
