"""The exporter and the process around it: what a scrape costs, and what the process takes."""

from typing import Final

from grafana_foundation_sdk.builders import stat, table, timeseries

from dashboards import panels, styles
from dashboards.limits import wait
from dashboards.shared import CACHE, JOB, PROCESS, RATE

_TARGET: Final = f'{JOB}, instance=~"$instance"'


def targets() -> stat.Panel:
    """Targets that answer, of all."""
    up = f"up{{{_TARGET}}}"
    return (
        panels.stat(
            701,
            "Targets up",
            "Share of the scrape targets that answer. What is down is missing from every panel and "
            "every alert: Targets by state tells since when.",
            "percentunit",
            f"sum({up})\n/\ncount({up})",
        )
        .decimals(0)
        .thresholds(styles.thresholds([(None, "red"), (0.9, "orange"), (1, "green")]))
    )


def series() -> stat.Panel:
    """What the fleet costs Prometheus."""
    return panels.stat(
        702,
        "Series",
        "Series that Prometheus keeps of the selected targets, after relabelling. Times its cost "
        "per series it is the price of this monitoring; docs/metrics.md tells what each is for.",
        "locale",
        f"sum(scrape_samples_post_metric_relabeling{{{_TARGET}}})",
    ).decimals(0)


def failing() -> stat.Panel:
    """Parts of scrapes that fail."""
    return (
        panels.stat(
            703,
            "Collectors failing",
            "Parts of scrapes, over all processes, that had to leave something out; their metrics "
            f"are missing or old. For {wait('CollectorFailing')} it is a ticket: the router's log "
            "names the cause.",
            "short",
            f"sum(1 - routecache_collect_success{{{PROCESS}}})",
        )
        .decimals(0)
        .thresholds(styles.thresholds([(None, "green"), (1, "red")]))
    )


def overflowing() -> stat.Panel:
    """Label values that were put together."""
    return (
        panels.stat(
            704,
            "Labels collapsed",
            "Distinct label values that became `other`, so that labels stay bounded. Any: more "
            "caches, endpoints or providers than expected; look for a name made of a variable.",
            "short",
            f"sum(routecache_label_overflow_total{{{PROCESS}}})",
        )
        .decimals(0)
        .thresholds(styles.thresholds([(None, "green"), (1, "orange")]))
    )


def series_by_target() -> timeseries.Panel:
    """What each target sends."""
    return panels.timeseries(
        705,
        "Series per scrape",
        "Samples in one scrape of each target: some 600 for a router with four caches, and "
        "Python's own. Growth without an end is a label without a bound, of the router's own "
        "metrics perhaps.",
        "short",
        [(f"scrape_samples_scraped{{{_TARGET}}}", "{{instance}}")],
    ).min(0)


def overflow() -> timeseries.Panel:
    """Which label overflows."""
    panel = panels.timeseries(
        706,
        "Label values collapsed to `other`",
        "Distinct values by label since the process started. Any for "
        f"{wait('CardinalityOverflow')} is a ticket: max_caches may be raised if the caches are "
        "meant; a cache name made of a tenant or key is a mistake.",
        "short",
        [(f"sum by (label) (routecache_label_overflow_total{{{PROCESS}}})", "{{label}}")],
    )
    return panel.min(0).decimals(0).axis_soft_max(4)


def scrape_duration() -> timeseries.Panel:
    """What a scrape takes."""
    return panels.timeseries(
        707,
        "Scrape duration",
        "Time that Prometheus waited for each target's answer. Some milliseconds; far more than "
        "the time to collect beside it is the network, or a process that is busy.",
        "s",
        [(f"scrape_duration_seconds{{{_TARGET}}}", "{{instance}}")],
    ).min(0)


def cpu() -> timeseries.Panel:
    """The processes' work."""
    return panels.timeseries(
        708,
        "CPU by process",
        "CPU seconds per second of the whole process, router included. Near 1 a Python process is "
        "busy with itself, and every latency here rises with it: add processes.",
        "percentunit",
        [(f"rate(process_cpu_seconds_total{{{_TARGET}}}[{RATE}])", "{{instance}}")],
    ).min(0)


def memory() -> timeseries.Panel:
    """The processes' memory."""
    return panels.timeseries(
        709,
        "Memory by process",
        "Resident memory of the whole process, router included. L1's part is a few times what L1 "
        "capacity shows as its encoded size; the rest is not the cache's.",
        "bytes",
        [(f"process_resident_memory_bytes{{{_TARGET}}}", "{{instance}}")],
    ).min(0)


def collections() -> timeseries.Panel:
    """The garbage collector's work."""
    return panels.timeseries(
        710,
        "Garbage collections",
        "Runs of Python's garbage collector per second and generation, over all processes. Many "
        "of generation 2 stop the process noticeably when L1 holds many small objects: "
        "gc.freeze() after start-up spares those that stay.",
        "ops",
        [
            (
                f"sum by (generation) (rate(python_gc_collections_total{{{_TARGET}}}[{RATE}]))",
                "generation {{generation}}",
            )
        ],
    ).min(0)


def files() -> timeseries.Panel:
    """Descriptors in use."""
    used = f"process_open_fds{{{_TARGET}}}"
    return (
        panels.timeseries(
            711,
            "File descriptors in use",
            "Open descriptors as a share of what the process may open. L2 takes one for each "
            "pooled connection and listener. Near 1 connections fail (error connection): raise "
            "the limit.",
            "percentunit",
            [(f"{used}\n/\nprocess_max_fds{{{_TARGET}}}", "{{instance}}")],
        )
        .min(0)
        .max(1)
    )


def started() -> table.Panel:
    """How long each cache has counted."""
    columns = {"cache": "Cache", "Value #A": "Newest started", "Value #B": "Processes"}
    start = f"routecache_start_timestamp_seconds{{{CACHE}}}"
    return (
        panels.table(
            712,
            "Started",
            "How long ago the newest process began to count for each cache, and in how many "
            "processes it lives. A young one starts with an empty L1: its misses are cold.",
            [f"time() - max by (cache) ({start})", f"count by (cache) ({start})"],
            columns,
        )
        .override_by_name("Newest started", styles.override(unit="dtdurations", decimals=0))
        .sort_by([styles.sort("Cache")])
    )
