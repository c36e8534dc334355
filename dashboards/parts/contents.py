"""What goes into a cache, what fails on the way, and what providers' health takes out of it."""

from grafana_foundation_sdk.builders import statetimeline, timeseries

from dashboards import colors, panels, styles
from dashboards.limits import threshold
from dashboards.shared import CACHE, PROCESS, RATE


def l1_misses_by_reason() -> timeseries.Panel:
    """Look-ups that L1 alone did not answer."""
    query = f"sum by (reason) (rate(routecache_l1_misses_total{{{CACHE}}}[{RATE}]))"
    panel = panels.stacked(
        205,
        "L1 misses by reason",
        "Look-ups per second that left L1, whoever answered then. Yellow (evicted) calls for a "
        "larger L1, green (expired) for a longer TTL, purple (invalidated) is the price of "
        "coherence.",
        "ops",
        [(query, "{{reason}}")],
    )
    return styles.colored(panel, colors.REASONS)


def failed_operations() -> timeseries.Panel:
    """What failed where."""
    failed = f"rate(routecache_errors_total{{{CACHE}}}[{RATE}])"
    return panels.events(
        206,
        "Failed operations",
        "Operations that failed, per second, by tier, operation and kind. decode: an entry that "
        f"cannot be read (a ticket above {threshold('DecodeFailures'):%} of look-ups; another "
        "release or serializer writes it). encode, oversize: the caller's value is at fault. All "
        "others are Redis or the way to it.",
        "ops",
        [
            (
                f"sum by (tier, operation, error) ({failed}) > 0",
                "{{tier}} {{operation}}: {{error}}",
            )
        ],
    )


def writes() -> timeseries.Panel:
    """Entries written and keys deleted."""
    panel = panels.timeseries(
        208,
        "Writes and deletes by tier",
        "Entries written (solid) and keys deleted (dashed) per second and tier. L2 far below L1: "
        "writes do not reach Redis. Deletes near writes: invalidation leaves the cache little.",
        "ops",
        [
            (
                f"sum by (tier) (rate(routecache_writes_total{{{CACHE}}}[{RATE}]))",
                "written to {{tier}}",
            ),
            (
                f"sum by (tier) (rate(routecache_deletes_total{{{CACHE}}}[{RATE}]))",
                "deleted in {{tier}}",
            ),
        ],
    ).min(0)
    styles.colored(panel, {f"written to {tier}": color for tier, color in colors.TIERS.items()})
    for tier, color in colors.TIERS.items():
        styles.dashed(panel, f"deleted in {tier}", color)
    return panel


def value_sizes() -> timeseries.Panel:
    """Encoded sizes."""
    buckets = f"sum by (le) (rate(routecache_value_size_bytes_bucket{{{CACHE}}}[{RATE}]))"
    panel = panels.timeseries(
        209,
        "Size of stored values",
        "p50 and p99 of values as encoded, up to the width of a bucket. Large p99: compress_over "
        "saves network and Redis' memory; above max_value_bytes values are refused (oversize).",
        "bytes",
        [(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in (0.5, 0.99)],
    ).min(0)
    return styles.colored(panel, colors.QUANTILES)


def overhead() -> timeseries.Panel:
    """What a look-up costs beside loads."""
    spent = f"sum by (cache) (rate(routecache_overhead_seconds_total{{{CACHE}}}[{RATE}]))"
    requests = f"sum by (cache) (rate(routecache_requests_total{{{CACHE}}}[{RATE}]))"
    return panels.timeseries(
        210,
        "Cache's own time per look-up",
        "Mean time that a caller spends in the cache for each look-up: hits, Redis, writes and "
        "deletes, without loads. It rises when L1 answers less or Redis slows down; the latency "
        "by outcome tells which.",
        "s",
        [(f"{spent}\n/\n({requests} > 0)", "{{cache}}")],
    ).min(0)


def providers() -> statetimeline.Panel:
    """What routers were told of providers."""
    return panels.states(
        211,
        "Providers' health, as reported",
        "The worst that any process was last told of each provider. Unhealthy: every entry that "
        "names it was dropped, so misses (invalidated) and loads rise; that is meant.",
        (f"min by (provider) (routecache_provider_healthy{{{PROCESS}}})", "{{provider}}"),
        {"0": ("unhealthy", "red"), "1": ("healthy", "green")},
    )
