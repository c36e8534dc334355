"""Look-ups as callers see them: who answers, how often nobody had it, how long it took."""

from typing import Final

from grafana_foundation_sdk.builders import bargauge, heatmap, table, timeseries

from dashboards import colors, panels, styles
from dashboards.limits import within
from dashboards.shared import CACHE, RATE

_LEFT_L1: Final = "routecache_request_duration_seconds"


def _rate(metric: str, selector: str = CACHE) -> str:
    return f"sum(rate(routecache_{metric}{{{selector}}}[{RATE}]))"


def _outcomes(outcomes: str) -> str:
    matches = "=~" if "|" in outcomes else "="
    return _rate("request_duration_seconds_count", f'{CACHE}, outcome{matches}"{outcomes}"')


def who_answers() -> timeseries.Panel:
    """Look-ups by who answered them."""
    # A stale value may come from L1 or from L2; a blind hit is an L1 hit like any other.
    stale = _rate("stale_hits_total", f'{CACHE}, reason=~"refreshing|error"')
    of_l2 = _outcomes("stale")
    l1 = _rate("hits_total", f'{CACHE}, tier="l1"')
    queries = [
        (f"{l1}\n-\n(({stale}) - ({of_l2} or vector(0)) or vector(0))", "L1"),
        (_outcomes("l2_hit"), "L2"),
        (_outcomes("load"), "Loader"),
        (stale, "Stale"),
        (_outcomes("miss|error"), "Nobody"),
    ]
    panel = panels.stacked(
        6,
        "Who answers now",
        "Look-ups per second by who answered: L1 (memory), L2 (Redis), the loader, a value past "
        "its time (stale), or nobody (no value, or the loader failed). In an outage of Redis blue "
        "turns into orange: see whether the loaders bear it.",
        "ops",
        queries,
    )
    return styles.colored(panel, colors.ANSWERS)


def hit_ratio_by_cache() -> timeseries.Panel:
    """Hit ratio per cache."""
    hits = f"sum by (cache) (rate(routecache_hits_total{{{CACHE}}}[{RATE}]))"
    requests = f"sum by (cache) (rate(routecache_requests_total{{{CACHE}}}[{RATE}]))"
    return (
        panels.timeseries(
            7,
            "Hit ratio by cache",
            "Share of look-ups that L1 or L2 answered. A drop after a deploy is a cold L1 and "
            "mends itself; the reasons beside it tell a drop that does not.",
            "percentunit",
            [(f"{hits}\n/\n({requests} > 0)", "{{cache}}")],
        )
        .min(0)
        .max(1)
    )


def misses_by_reason() -> timeseries.Panel:
    """Look-ups that no tier answered, by reason."""
    query = f"sum by (reason) (rate(routecache_misses_total{{{CACHE}}}[{RATE}]))"
    panel = panels.stacked(
        8,
        "Misses by reason",
        "Look-ups per second that no tier answered, by how the key's last L1 copy went: cold "
        "(never here), expired (TTL), evicted (L1 too small), invalidated. l2_unavailable (Redis "
        "not reached) and undecodable (entry not readable) spend the SLO's budget.",
        "ops",
        [(query, "{{reason}}")],
    )
    return styles.colored(panel, colors.REASONS)


def latency(number: int, quantile: float, *, exemplars: bool = False) -> timeseries.Panel:
    """Latency of one quantile by outcome, L1 hits included."""
    limit = within("latency")
    name = f"p{quantile * 100:g}"
    l1 = f"sum by (le) (rate(routecache_l1_hit_duration_seconds_bucket{{{CACHE}}}[{RATE}]))"
    left = f"sum by (le, outcome) (rate({_LEFT_L1}_bucket{{{CACHE}}}[{RATE}]))"
    panel = panels.timeseries(
        number,
        f"Latency by outcome, {name}",
        f"{name} of look-ups by outcome; l1_hit is sampled, the others are exact up to the "
        f"width of a bucket. Dashed: {limit:ms}, the limit for look-ups that leave L1 and need no "
        "load. load includes the loader's own time. Logarithmic. A point is the trace of a slow "
        "look-up, if the router traces.",
        "s",
        [
            (f"histogram_quantile({quantile}, {l1})", "l1_hit"),
            (f"histogram_quantile({quantile}, {left})", "{{outcome}}"),
        ],
        exemplars=exemplars,
    ).scale_distribution(panels.LOG10)
    panel = styles.lines_at(panel, [(None, "transparent"), (limit, "orange")])
    return styles.colored(panel, colors.OUTCOMES)


def latency_heat() -> heatmap.Panel:
    """The distribution behind the quantiles."""
    return panels.heat_map(
        207,
        "Look-ups that left L1, all",
        "How many look-ups took how long once L1 had no answer. Two bands are L2 and the loader; "
        "a third one is what to look for. Points are traces, if the router traces.",
        "s",
        f"sum by (le) (rate({_LEFT_L1}_bucket{{{CACHE}}}[{RATE}]))",
    )


def funnel() -> bargauge.Panel:
    """How far look-ups go."""
    asked = f"({_rate('requests_total')} > 0)"
    steps = (
        ("asked L1", _rate("requests_total")),
        ("left L1", _rate("l1_misses_total")),
        ("left L2 too", _rate("misses_total")),
        ("loaded", _rate("loads_total")),
        ("load failed", _rate("load_failures_total")),
    )
    return (
        panels.bars(
            201,
            "Funnel, now",
            "The share of look-ups that get this far: past L1, past L2, to a loader call, to one "
            "that gave nothing. Fewer loads than left L2: callers shared one, or had no loader. "
            "The step that is longer than usual is where to look.",
            "percentunit",
            *((f"{expr}\n/\n{asked}", name) for name, expr in steps),
        )
        .max(1)
        .decimals(1)
        .thresholds(styles.thresholds([(None, "blue")]))
    )


def funnel_over_time() -> timeseries.Panel:
    """The funnel's course."""
    steps = {
        "asked L1": ("requests_total", "green"),
        "left L1": ("l1_misses_total", "blue"),
        "left L2 too": ("misses_total", "orange"),
        "loaded": ("loads_total", "red"),
    }
    panel = panels.timeseries(
        202,
        "Funnel: L1, L2, loader",
        "Look-ups per second that get this far. The gap between two lines is what that step "
        "answers: a gap that closes has stopped to work. Logarithmic.",
        "ops",
        [(_rate(metric), name) for name, (metric, _) in steps.items()],
    ).scale_distribution(panels.LOG10)
    return styles.colored(panel, {name: color for name, (_, color) in steps.items()})


def each_cache() -> table.Panel:
    """The caches beside each other, and how they are set."""

    def rate(metric: str, selector: str = CACHE) -> str:
        return f"sum by (cache) (rate(routecache_{metric}{{{selector}}}[{RATE}]))"

    def ratio(part: str, whole: str) -> str:
        return f"{part}\n/\n({whole} > 0)"

    requests, left = rate("requests_total"), rate("l1_misses_total")
    shown = {
        "Asked/s": (requests, {"unit": "ops", "decimals": 1}),
        "L1 answers": (ratio(rate("hits_total", f'{CACHE}, tier="l1"'), requests), _SHARE),
        "then L2": (ratio(rate("hits_total", f'{CACHE}, tier="l2"'), left), _SHARE),
        "Loads/s": (rate("loads_total"), {"unit": "ops", "decimals": 2}),
        "L1 TTL": (f'max by (cache) (routecache_ttl_seconds{{{CACHE}, tier="l1"}}) < 1e12', _TIME),
        "L2 TTL": (f'max by (cache) (routecache_ttl_seconds{{{CACHE}, tier="l2"}})', _TIME),
    }
    columns = {"cache": "Cache"} | {
        f"Value #{ref}": header for ref, header in zip("ABCDEF", shown, strict=True)
    }
    panel = panels.table(
        203,
        "Caches",
        "Each cache now, and the time to live that its entries get. A cache that hardly answers "
        "needs a longer TTL (misses expired), more room (evicted), or is not worth having.",
        [expr for expr, _ in shown.values()],
        columns,
    ).override_by_name("Cache", styles.override(custom__minWidth=80))
    for header, (_, properties) in shown.items():
        panel.override_by_name(header, styles.override(**properties))
    return panel.sort_by([styles.sort("Asked/s", descending=True)])


_SHARE: Final[dict[str, object]] = {"unit": "percentunit", "decimals": 1}
_TIME: Final[dict[str, object]] = {"unit": "s", "decimals": 0}
