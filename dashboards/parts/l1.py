"""L1: whether it is large enough, what it would do at other sizes, what it holds and gives up."""

from typing import Final

from grafana_foundation_sdk.builders import bargauge, table, timeseries

from dashboards import colors, panels, styles
from dashboards.limits import floor, threshold
from dashboards.shared import CACHE, RANGE, RATE
from routecache.sizing import SCALES

_NAMES: Final = {f"{scale:g}": f"{scale:g} ×" for scale in SCALES}
_ENOUGH: Final = 0.01
"""A size is enough if the largest one would answer less than this share of look-ups more."""

_WINDOW: Final = "⟦=window⟧"

# 0.25 to "0.25 ×", which is how series are called.
_NAMED: Final = 'label_replace({}, "size", "$1 ×", "scale", "(.*)")'


def _increase(metric: str, window: str, *by: str, selector: str = CACHE) -> str:
    inner = f"rate(routecache_{metric}{{{selector}}}[{window}])"
    return f"sum by ({', '.join(by)}) ({inner})" if by else f"sum({inner})"


def curve() -> bargauge.Panel:
    """The hit ratio that L1 would have at each size."""
    misses = _increase("whatif_misses_total", RANGE, "scale")
    requests = f"scalar({_increase('requests_total', RANGE)})"
    ratio = _NAMED.format(f"1 - {misses} / {requests}")
    return (
        panels.bars(
            301,
            "What-if: L1 hit ratio by size",
            "The share of look-ups that L1 would answer at a quarter to eight times its size, over "
            "the dashboard's time, predicted from the reuse of sampled keys; 1 × is the size in "
            "force. Where the bars stop to rise, more memory buys nothing; where they hardly fall, "
            "less would do.",
            "percentunit",
            (ratio, "{{size}}"),
            upright=True,
        )
        .max(1)
        .decimals(1)
        .thresholds(styles.thresholds([(None, "blue")]))
    )


def advice() -> table.Panel:
    """The size that each cache should have."""
    requests = _increase("requests_total", RANGE, "cache")
    real = _increase("hits_total", RANGE, "cache", selector=f'{CACHE}, tier="l1"')
    size = f'max by (cache) (routecache_max_entries{{{CACHE}, tier="l1"}})'

    def at(scale: float) -> str:
        chosen = f'{CACHE}, scale="{scale:g}"'
        return _increase("whatif_misses_total", RANGE, "cache", selector=chosen)

    best = f"{at(SCALES[-1])} + {_ENOUGH} * {requests}"
    # One series per size that is enough, worth that size; the least of them.
    enough = "\nor\n".join(
        f"label_replace({scale:g} * {size} and on (cache) ({at(scale)} <= {best}), "
        f'"scale", "{scale:g}", "", "")'
        for scale in SCALES
    )
    shown = {
        "Size now": (size, {"decimals": 0, "unit": "short"}),
        "Advised": (
            f"ceil(min by (cache) (\n{enough}\n))",
            {"decimals": 0, "unit": "short", "custom__cellOptions": {"type": "color-text"}},
        ),
        "L1 answers": (f"{real}\n/\n({requests} > 0)", _SHARE),
        **{
            f"at {_NAMES[f'{scale:g}']}": (
                f"1 - {at(scale)}\n/\n({requests} > 0)", _SHARE
            )
            for scale in SCALES
        },
    }  # fmt: skip
    columns = {"cache": "Cache"} | {
        f"Value #{ref}": header for ref, header in zip("ABCDEFGHI", shown, strict=True)
    }
    panel = panels.table(
        302,
        "Recommended size",
        "Entries that L1 should have: the smallest of six sizes at which eight times the size "
        f"would answer less than {_ENOUGH:.0%} of look-ups more. Set l1_maxsize to it if the "
        "prediction at 1 × is near what L1 answers; a cache without a line has had too few "
        "look-ups.",
        [expr for expr, _ in shown.values()],
        columns,
    )
    for header, (_, properties) in shown.items():
        panel.override_by_name(header, styles.override(**properties))
    panel.override_by_name(
        "Advised", styles.override(thresholds=styles.threshold_steps([(None, "blue")]))
    )
    return panel.sort_by([styles.sort("Cache")])


_SHARE: Final[dict[str, object]] = {"unit": "percentunit", "decimals": 1}


def whatif_over_time() -> timeseries.Panel:
    """The curve's course."""
    misses = _increase("whatif_misses_total", _WINDOW, "scale")
    requests = f"scalar({_increase('requests_total', _WINDOW)} > 0)"
    real = _increase("hits_total", _WINDOW, selector=f'{CACHE}, tier="l1"')
    panel = panels.timeseries(
        303,
        "What-if over time",
        "L1's predicted hit ratio at each size, and what it answers now (dashed). Lines that part "
        "at some hours only: the working set grows then. Rates over ⟦=window⟧, since few keys are "
        "sampled.",
        "percentunit",
        [
            (_NAMED.format(f"1 - {misses} / {requests}"), "{{size}}"),
            (f"{real}\n/\n({_increase('requests_total', _WINDOW)} > 0)", "now"),
        ],
    ).min(0).max(1)  # fmt: skip
    styles.dashed(panel, "now")
    return styles.colored(panel, colors.SCALES)


def whatif_error() -> timeseries.Panel:
    """How far the prediction is off where reality is known."""
    one = _increase("whatif_misses_total", _WINDOW, selector=f'{CACHE}, scale="1"')
    real = _increase("l1_misses_total", _WINDOW)
    requests = f"({_increase('requests_total', _WINDOW)} > 0)"
    error = "predicted − real"
    panel = panels.timeseries(
        304,
        "Prediction against reality",
        "L1's miss ratio at 1 ×, predicted and real, and the difference. Within 5 points (dashed) "
        "over an hour the other sizes can be trusted. Beyond it: too few look-ups, or access that "
        "does not repeat.",
        "percentunit",
        [
            (f"{one}\n/\n{requests}", "predicted"),
            (f"{real}\n/\n{requests}", "real"),
            (f"({one} - {real})\n/\n{requests}", error),
        ],
    )
    styles.colored(panel, {"predicted": "blue", "real": "green", error: "orange"})
    return styles.lines_at(
        panel, [(None, "orange"), (-0.05, "transparent"), (0.05, "orange")]
    )  # fmt: skip


def fill() -> timeseries.Panel:
    """How full L1 is, over time."""
    entries = f'sum by (cache) (routecache_entries{{{CACHE}, tier="l1"}})'
    most = f'sum by (cache) (routecache_max_entries{{{CACHE}, tier="l1"}})'
    return (
        panels.timeseries(
            305,
            "L1 fill",
            "Entries as a share of what L1 may hold, over all processes. A full L1 is normal. "
            "Never near full: l1_maxsize could be less. A fall to 0 is a restart or a clear.",
            "percentunit",
            [(f"{entries}\n/\n({most} > 0)", "{{cache}}")],
        )
        .min(0)
        .max(1)
    )


def size_bytes() -> timeseries.Panel:
    """What L1 takes."""
    return panels.stacked(
        306,
        "L1 size, encoded",
        "Bytes of the values in L1 as encoded, over all processes; in memory they take several "
        "times as much. Too much: l1_max_bytes bounds it, or a smaller l1_maxsize.",
        "bytes",
        [(f"sum by (cache) (routecache_l1_size_bytes{{{CACHE}}})", "{{cache}}")],
    )


def evictions() -> timeseries.Panel:
    """What left L1 by itself."""
    gone = f'rate(routecache_evictions_total{{{CACHE}, tier="l1"}}[{RATE}])'
    panel = panels.stacked(
        307,
        "Evictions from L1",
        "Entries per second that left L1 for want of room (size), or because their time was over "
        "(expired). Many for want of room are harmless as long as nobody asks for them again: see "
        "evicted among the misses.",
        "ops",
        [(f"sum by (reason) ({gone})", "{{reason}}")],
    )
    return styles.colored(panel, colors.EVICTIONS)


def removals() -> timeseries.Panel:
    """What was taken out of L1."""
    gone = f'rate(routecache_removals_total{{{CACHE}, tier="l1"}}[{RATE}])'
    panel = panels.stacked(
        308,
        "Removals from L1",
        "Entries per second that were taken out before their time: invalidated by a write, a "
        "delete or a tag here or elsewhere, cleared, or by a report of a provider's health. High: "
        "invalidate less at once, by finer tags.",
        "ops",
        [(f"sum by (reason) ({gone})", "{{reason}}")],
    )
    return styles.colored(panel, colors.REMOVALS)


def thrashing() -> timeseries.Panel:
    """Look-ups that a larger L1 would have answered."""
    limit = threshold("L1Thrashing")
    evicted = _increase(
        "l1_misses_total", RATE, "cache", selector=f'{CACHE}, reason="evicted"'
    )  # fmt: skip
    requests = _increase("requests_total", RATE, "cache")
    panel = panels.timeseries(
        309,
        "Look-ups that L1 had evicted",
        "Share of look-ups whose entry L1 had held and given up for want of room. Above "
        f"{limit:%} (dashed) and {floor('L1Thrashing')} look-up/s it is a ticket: set l1_maxsize "
        "to the recommended size.",
        "percentunit",
        [(f"{evicted}\n/\n({requests} > 0)", "{{cache}}")],
    ).min(0)
    return styles.lines_at(panel, [(None, "transparent"), (limit, "orange")])


def hit_latency() -> timeseries.Panel:
    """What a hit takes."""
    buckets = f"sum by (le) (rate(routecache_l1_hit_duration_seconds_bucket{{{CACHE}}}[{RATE}]))"
    panel = panels.timeseries(
        310,
        "Latency of L1 hits",
        "p50 and p99 of look-ups that L1 answers, sampled. Some microseconds; far more is a busy "
        "machine or many threads that wait for the interpreter, not the cache.",
        "s",
        [(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in (0.5, 0.99)],
    ).min(0)
    return styles.colored(panel, colors.QUANTILES)
