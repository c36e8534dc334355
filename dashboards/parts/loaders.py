"""Loaders, whose work the cache saves: how much they are called, fail, take, and are spared."""

from typing import Final

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, timeseries

from dashboards import colors, panels, styles
from dashboards.limits import floor, threshold, wait
from dashboards.shared import CACHE, JOB_CACHE, RATE, recorded


def _rate(metric: str, *by: str) -> str:
    inner = f"rate(routecache_{metric}{{{CACHE}}}[{RATE}])"
    return f"sum by ({', '.join(by)}) ({inner})" if by else f"sum({inner})"


_LOADS: Final = _rate("loads_total")


def loads_against_yesterday() -> timeseries.Panel:
    """Loader calls now and 24 hours before."""
    loads = f"{recorded('loads', 'rate⟦=window⟧', 'cache')}{{{JOB_CACHE}}}"
    yesterday = "24 hours before"
    panel = panels.timeseries(
        17,
        "Loads against yesterday",
        "Loader calls per second, ⟦=window⟧ rates: what the systems behind the cache have to bear. "
        "Well above the same time yesterday, with look-ups as they were, the cache holds back "
        "less. Job-wide: not filtered by instance.",
        "ops",
        [(f"sum({loads})", "loads"), (f"sum({loads} offset 1d)", yesterday)],
    ).min(0)
    line = {"color": {"mode": "fixed", "fixedColor": "orange"}}
    panel.override_by_name("loads", styles.override(**line, custom__fillOpacity=15))
    return styles.dashed(panel, yesterday)


def loads_in_flight() -> timeseries.Panel:
    """Loader calls that run, wait or fail."""
    return panels.timeseries(
        18,
        "Loads in flight and failed",
        "Loader calls that run now, look-ups per second that wait for somebody else's call of "
        "the same key instead of making one, and calls per second that gave no value, by kind.",
        "short",
        [
            (f"sum(routecache_loads_in_flight{{{CACHE}}})", "in flight"),
            (_rate("coalesced_total"), "waiting per second"),
            (f"{_rate('load_failures_total', 'error')} > 0", "failed per second: {{error}}"),
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
    return panel.max(1).decimals(0).thresholds(styles.thresholds([(None, "blue")]))


def load_rate() -> timeseries.Panel:
    """Loader calls by cache."""
    return panels.stacked(
        602,
        "Loads by cache",
        "Loader calls per second. They rise with misses: Cache detail tells why those rise.",
        "ops",
        [(_rate("loads_total", "cache"), "{{cache}}")],
    )


def failures() -> timeseries.Panel:
    """Loads that gave no value."""
    limit, share = threshold("LoadErrors"), "share of loads"
    panel = panels.events(
        603,
        "Failed loads",
        "Loader calls that gave no value, per second by kind: error (it raised), timeout "
        "(hard_timeout), cancelled; and (right) as a share of all. A ticket above "
        f"{limit:%} at more than {floor('LoadErrors')} load/s. The provider or service behind the "
        "loader is at fault, not the cache; stale_if_error would bridge it.",
        "ops",
        [
            (_rate("load_failures_total", "error"), "{{error}}"),
            (f"{_rate('load_failures_total')}\n/\n({_LOADS} > 0)", share),
        ],
    )
    panel = styles.on_the_right(panel, share, "percentunit", colors.REFERENCE, max=1)
    return styles.colored(styles.dashed(panel, share), colors.ERRORS)


def load_latency() -> timeseries.Panel:
    """What a load takes."""
    limit = threshold("LoadLatencyHigh")
    buckets = _rate("load_duration_seconds_bucket", "le", "cache")
    panel = panels.timeseries(
        604,
        "Load latency by cache, p99",
        f"p99 of loader calls, failed ones included. Above {limit} s (dashed) for "
        f"{wait('LoadLatencyHigh')} is a ticket. soft_timeout serves the stale value meanwhile, "
        "hard_timeout bounds the wait. Points are traces, if the router traces. Logarithmic.",
        "s",
        [(f"histogram_quantile(0.99, {buckets})", "{{cache}}")],
        exemplars=True,
    ).scale_distribution(panels.LOG10)
    return styles.lines_at(panel, [(None, "transparent"), (limit, "orange")])


def load_heat() -> heatmap.Panel:
    """The distribution behind the quantiles."""
    return panels.heat_map(
        601,
        "Loads, all",
        "How many loader calls took how long. A second band far above the first is a time-out or "
        "a retry behind the loader.",
        "s",
        _rate("load_duration_seconds_bucket", "le"),
    )


def coalesced() -> timeseries.Panel:
    """Look-ups that shared a load."""
    return panels.stacked(
        605,
        "Coalesced look-ups",
        "Look-ups per second that waited for a load of the same key instead of loading too: what "
        "single flight spares the loader. A peak is a hot key that had expired; early_refresh "
        "renews it before.",
        "ops",
        [(_rate("coalesced_total", "cache"), "{{cache}}")],
    )


def duplicates() -> timeseries.Panel:
    """Loads that several processes made of one key."""
    limit = threshold("Stampede")
    every = _rate("loads_total", "cache")
    panel = panels.timeseries(
        606,
        "Duplicate loads",
        "Share of loads that found another process's newer value when they came to store theirs: "
        f"several processes loaded one key at once. Above {limit:%} (dashed) at more than "
        f"{floor('Stampede')} load/s it is a stampede: set distributed_lock.",
        "percentunit",
        [(f"{_rate('duplicate_loads_total', 'cache')}\n/\n({every} > 0)", "{{cache}}")],
    )
    return styles.lines_at(panel.min(0), [(None, "transparent"), (limit, "orange")])


def in_flight() -> timeseries.Panel:
    """Loads that run now."""
    return panels.stacked(
        607,
        "Loads in flight",
        "Loader calls that run at the moment of the scrape. Growing without end: the loader hangs; "
        "set hard_timeout.",
        "short",
        [(f"sum by (cache) (routecache_loads_in_flight{{{CACHE}}})", "{{cache}}")],
    ).decimals(0)


def busy() -> timeseries.Panel:
    """How many loaders run on average."""
    limit = threshold("LoaderOverload")
    panel = panels.timeseries(
        608,
        "Loaders busy",
        "Loader seconds per second: how many loads run at once on average, short ones included. "
        f"Above {limit} (dashed) per job it is a ticket: what is behind the loader gets more than "
        "it may be able to bear.",
        "short",
        [(_rate("load_duration_seconds_sum", "cache"), "{{cache}}"),
         (_rate("load_duration_seconds_sum"), "all")],
    ).min(0)  # fmt: skip
    styles.dashed(panel, "all")
    return styles.lines_at(panel, [(None, "transparent"), (limit, "orange")])


_AVOIDED: Final = "load_seconds_avoided_total"
_SPENT: Final = "overhead_seconds_total"


def avoided_and_spent() -> timeseries.Panel:
    """What the cache saves and costs."""
    panel = panels.timeseries(
        609,
        "Seconds avoided and spent",
        "Loader seconds that hits made needless, and seconds that callers spent in the cache, per "
        "second. What was set instead of loaded avoids nothing that is known. Logarithmic.",
        "s",
        [(_rate(_AVOIDED), "avoided"), (_rate(_SPENT), "spent")],
    ).scale_distribution(panels.LOG10)
    return styles.colored(panel, {"avoided": "green", "spent": "orange"})


def net_value() -> timeseries.Panel:
    """Whether each cache is worth its while."""
    panel = panels.timeseries(
        610,
        "Net value by cache",
        "Seconds avoided less seconds spent, per second: what callers gain. Below 0 (red) the "
        f"cache costs more than it saves, for {wait('CacheCostsMoreThanItSaves')} a ticket: a "
        "loader faster than Redis needs no L2; a value asked for once needs no cache.",
        "s",
        [(f"{_rate(_AVOIDED, 'cache')} - {_rate(_SPENT, 'cache')}", "{{cache}}")],
    )
    return styles.lines_at(panel, [(None, "red"), (0, "transparent")])


def saved() -> stat.Panel:
    """The cache's worth in one number."""
    return panels.stat(
        28,
        "Saved per second",
        "Seconds that callers gain by the cache in each second: loads avoided less time spent in "
        "the cache. Below 0 the cache is not worth having: see Loaders, net value by cache.",
        "s",
        f"{_rate(_AVOIDED)} - {_rate(_SPENT)}",
    ).thresholds(styles.thresholds([(None, "red"), (0, "green")]))


def refreshes() -> timeseries.Panel:
    """Loads that nobody waits for."""
    panel = panels.stacked(
        611,
        "Background refreshes",
        "Refreshes per second that ended behind callers' backs: of stale values (stale_ttl, "
        "soft_timeout), or early before expiry (early_refresh). Nobody waits for these loads.",
        "ops",
        [(_rate("refreshes_total", "kind"), "{{kind}}")],
    )
    return styles.colored(panel, colors.REFRESHES)
