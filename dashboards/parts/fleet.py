"""The processes: which stand out, what they run, whether they are seen at all."""

from grafana_foundation_sdk.builders import table, timeseries

from dashboards import panels
from dashboards.shared import CACHE, JOB, PROCESS, RATE

_BY = "cluster, namespace, job, instance"


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
        "job": "Job",
        "cluster": "Cluster",
        "namespace": "Namespace",
        "Value #A": "Time/look-up",
        "Value #B": "Look-ups/s",
        "Value #C": "Missed",
        "Value #D": "Degraded",
        "Value #E": "L2 errors/s",
        "Value #F": "Circuits open",
    }
    alarm = {"type": "color-text"}
    return (
        panels.table(
            20,
            "Worst five instances",
            "The processes in which a look-up waits longest for L2 and loaders, averaged over "
            "all look-ups. One process far above the others: its way to Redis, a cold L1, or a "
            "configuration of its own. All alike: look at what they share.",
            [f"({expr})\nand on ({_BY})\n{worst}" for expr in shown],
            columns,
        )
        .sort_by([panels.sort("Time/look-up", descending=True)])
        .override_by_name("Instance", panels.override(custom__minWidth=120))
        .override_by_name(
            "Time/look-up", panels.override(unit="s", decimals=2, custom__minWidth=120)
        )
        .override_by_name("Look-ups/s", panels.override(unit="ops", decimals=1))
        .override_by_name("Missed", panels.override(unit="percentunit", decimals=1))
        .override_by_name(
            "Degraded",
            panels.override(
                unit="percentunit",
                decimals=2,
                custom__cellOptions=alarm,
                thresholds=panels.threshold_steps(
                    [(None, "text"), (0.001, "orange"), (0.0144, "red")]
                ),
            ),
        )
        .override_by_name("L2 errors/s", panels.override(unit="ops", decimals=2))
        .override_by_name(
            "Circuits open",
            panels.override(
                decimals=0,
                custom__cellOptions=alarm,
                thresholds=panels.threshold_steps([(None, "text"), (1, "red")]),
            ),
        )
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
    ).sort_by([panels.sort("Processes", descending=True)])


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
            panels.override(
                custom__cellOptions={"type": "color-text"},
                thresholds=panels.threshold_steps([(None, "green"), (2, "orange")]),
            ),
        )
        .sort_by([panels.sort("Cache")])
    )


def scrapes() -> timeseries.Panel:
    """Targets that answer, that do not, and that answer without our metrics."""
    up = f'up{{{JOB}, instance=~"$instance"}}'
    colors = {"up": "green", "down": "red", "no routecache metrics": "orange"}
    panel = panels.stacked(
        23,
        "Targets by state",
        "Scrape targets: up and exporting, down, or answering without one routecache metric "
        "(exporter not mounted). More than 10% down is a ticket, and so is a single target "
        "without metrics.",
        "short",
        [
            (f"count({up} == 1 and on ({_BY}) routecache_build_info)", "up"),
            (f"count({up} == 0)", "down"),
            (f"count({up} == 1 unless on ({_BY}) routecache_build_info)", "no routecache metrics"),
        ],
    ).decimals(0)
    return panels.colored(panel, colors)


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
                    f"count by (collector) (routecache_collect_success{{{PROCESS}}} == 0)",
                    failing,
                ),
            ],
        )
        .min(0)
        .override_by_regexp(
            "/^failing/",
            panels.override(
                unit="short",
                decimals=0,
                color={"mode": "fixed", "fixedColor": "red"},
                custom__axisPlacement="right",
                custom__drawStyle="bars",
                custom__fillOpacity=40,
            ),
        )
    )
