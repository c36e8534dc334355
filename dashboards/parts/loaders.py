"""Loaders, whose work the cache saves, and L1's room."""

from grafana_foundation_sdk.builders import bargauge, timeseries

from dashboards import panels
from dashboards.shared import CACHE, JOB_CACHE, RATE


def loads_against_yesterday() -> timeseries.Panel:
    """Loader calls now and 24 hours before."""
    loads = f"cluster_namespace_job_cache:routecache_loads:rate5m{{{JOB_CACHE}}}"
    yesterday = "24 hours before"
    return (
        panels.timeseries(
            17,
            "Loader calls against yesterday",
            "Loader calls per second, 5-minute rates: what the systems behind the cache have to "
            "bear. Well above the same time yesterday, with look-ups as they were, the cache "
            "holds back less. Job-wide: not filtered by instance.",
            "ops",
            [(f"sum({loads})", "now"), (f"sum({loads} offset 1d)", yesterday)],
        )
        .min(0)
        .override_by_name("now", panels.override(**_line("orange"), custom__fillOpacity=15))
        .override_by_name(
            yesterday,
            panels.override(**_line("text"), custom__lineStyle={"fill": "dash", "dash": [6, 4]}),
        )
    )


def loads_in_flight() -> timeseries.Panel:
    """Loader calls that run, wait or fail."""
    return panels.timeseries(
        18,
        "Loader calls in flight and failed",
        "Loader calls that run now, look-ups per second that wait for somebody else's call of "
        "the same key instead of making one, and calls per second that gave no value, by kind.",
        "short",
        [
            (f"sum(routecache_loads_in_flight{{{CACHE}}})", "in flight"),
            (f"sum(rate(routecache_coalesced_total{{{CACHE}}}[{RATE}]))", "waiting per second"),
            (
                f"sum by (error) (rate(routecache_load_failures_total{{{CACHE}}}[{RATE}])) > 0",
                "failed per second: {{error}}",
            ),
        ],
    ).min(0)


def l1_fill() -> bargauge.Panel:
    """How full L1 is."""
    entries = f'sum by (cache) (routecache_entries{{{CACHE}, tier="l1"}})'
    most = f'sum by (cache) (routecache_max_entries{{{CACHE}, tier="l1"}})'
    panel = panels.bars(
        19,
        "L1 fill by cache",
        "Entries of L1 as a share of what it may hold. A full L1 is normal: it is too small only "
        "if many misses have the reason evicted.",
        "percentunit",
        (f"{entries}\n/\n({most} > 0)", "{{cache}}"),
    )
    return panel.min(0).max(1).decimals(0).thresholds(panels.thresholds([(None, "blue")]))


def _line(color: str) -> dict[str, object]:
    return {"color": {"mode": "fixed", "fixedColor": color}}
