"""Look-ups as callers see them: who answers, how often nobody had it, how long it took."""

from typing import Final

from grafana_foundation_sdk.builders import timeseries

from dashboards import panels
from dashboards.shared import CACHE, RATE

# One colour per way to answer, in every panel.
_ANSWER_COLORS: Final = {"L1": "green", "L2": "blue", "Loader": "orange", "Nobody": "red"}
_OUTCOME_COLORS: Final = {
    "l1_hit": "green",
    "l2_hit": "blue",
    "load": "orange",
    "miss": "purple",
    "error": "red",
}
_REASON_COLORS: Final = {
    "cold": "blue",
    "expired": "green",
    "evicted": "yellow",
    "invalidated": "purple",
    "l2_unavailable": "red",
    "undecodable": "dark-red",
}

_LEFT_L1 = "routecache_request_duration_seconds"
_LATENCY_LIMITS: Final = [(None, "transparent"), (0.005, "orange")]


def who_answers() -> timeseries.Panel:
    """Look-ups by who answered them."""
    queries = [
        (f'sum(rate(routecache_hits_total{{{CACHE}, tier="l1"}}[{RATE}]))', "L1"),
        (f'sum(rate(routecache_hits_total{{{CACHE}, tier="l2"}}[{RATE}]))', "L2"),
        (f'sum(rate({_LEFT_L1}_count{{{CACHE}, outcome="load"}}[{RATE}]))', "Loader"),
        (f'sum(rate({_LEFT_L1}_count{{{CACHE}, outcome=~"miss|error"}}[{RATE}]))', "Nobody"),
    ]
    panel = panels.stacked(
        6,
        "Who answers now",
        "Look-ups per second by who answered: L1 (memory), L2 (Redis), the loader, or nobody (no "
        "value, or the loader failed). In an outage of Redis blue turns into orange.",
        "ops",
        queries,
    )
    return panels.colored(panel, _ANSWER_COLORS)


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
    return panels.colored(panel, _REASON_COLORS)


def latency(number: int, quantile: float) -> timeseries.Panel:
    """Latency of one quantile by outcome, L1 hits included."""
    name = f"p{quantile * 100:g}"
    l1 = f"sum by (le) (rate(routecache_l1_hit_duration_seconds_bucket{{{CACHE}}}[{RATE}]))"
    left = f"sum by (le, outcome) (rate({_LEFT_L1}_bucket{{{CACHE}}}[{RATE}]))"
    panel = panels.timeseries(
        number,
        f"Latency by outcome, {name}",
        f"{name} of look-ups by outcome; l1_hit is sampled, the others are exact up to the "
        "width of a bucket. Dashed: 5 ms, the limit for look-ups that leave L1 and need no "
        "load. load includes the loader's own time. Logarithmic.",
        "s",
        [
            (f"histogram_quantile({quantile}, {l1})", "l1_hit"),
            (f"histogram_quantile({quantile}, {left})", "{{outcome}}"),
        ],
    ).scale_distribution(panels.LOG10)
    return panels.colored(panels.lines_at(panel, _LATENCY_LIMITS), _OUTCOME_COLORS)
