"""Whether the other groups can see anything."""

from routecache_exporters.pack.config import Config
from routecache_exporters.pack.promql import aggregated, number, series
from routecache_exporters.pack.rules import Alert, Group


def scrape(config: Config) -> Group:
    """Targets, exporters, collectors, labels."""
    up = f'up{{job="{config.jobs.routers}"}}'
    by = config.by()
    absent, down = config.alerts["MetricsAbsent"], config.alerts["TargetDown"]
    unmounted, failing = config.alerts["ExporterUnmounted"], config.alerts["CollectorFailing"]
    overflow = config.alerts["CardinalityOverflow"]
    alerts = [
        Alert(
            "MetricsAbsent", "warning", f"absent({up})", absent.wait,
            "Prometheus has no target of job <job>.",
            "No target of job <job> exists, so no other RouteCache alert can fire: the routers are "
            "gone, or the scrape configuration or service discovery lost them.",
            team="platform",
        ),
        Alert(
            "TargetDown", "warning",
            f"count by ({by}) ({up} == 0)\n/\ncount by ({by}) ({up})\n"
            f"> {number(down.threshold or 0)}",
            down.wait,
            "Targets of <job> do not answer the scrape.",
            f"<percent> of the targets of <job> have not answered Prometheus for "
            f"{down.wait}. Their look-ups are missing from every panel and every other alert.",
            limit="share of targets",
        ),
        Alert(
            "ExporterUnmounted", "warning",
            f"count by ({by}) (\n  {up} == 1\n"
            f"  unless on ({config.by('instance')})\n  {series('build_info')}\n)\n> 0",
            unmounted.wait,
            "Targets of <job> export no routecache metrics.",
            "Targets of <job> that answer the scrape without one routecache metric: <number>. The "
            "exporter is not mounted there, or another application answers at that address.",
        ),
        Alert(
            "CollectorFailing", "warning",
            f"{aggregated('min', config, series('collect_success'), 'collector')} == 0",
            failing.wait,
            "Collector <collector> of <job> fails.",
            f"For {failing.wait} collector <collector> has failed in at least one process of <job> "
            "on every scrape: its metrics are missing there, or old.",
            labels=("collector",),
        ),
        Alert(
            "CardinalityOverflow", "warning",
            f"{aggregated('max', config, series('label_overflow_total'), 'label')} > 0",
            overflow.wait,
            "Label <label> of <job> has more values than its bound.",
            "A process of <job> has collapsed <number> values of label <label> to `other`: more "
            "caches, endpoints or providers than the exporter tells apart, or names made at run "
            "time.",
            labels=("label",),
        ),
    ]  # fmt: skip
    note = """\
The routers' job name is in this group only. CardinalityOverflow asks whether there was an overflow,
not whether there is one more: a label that is full stays full."""
    return Group("scrape", note, alerts)
