"""L2 as the routers see it: circuits, failed commands, their latency, the connection pool."""

from typing import Final

from grafana_foundation_sdk.builders import heatmap, timeseries

from dashboards import colors, panels, styles
from dashboards.colors import REFERENCE
from dashboards.limits import floor, threshold
from dashboards.shared import CACHE, PROCESS, RATE

_OF_VALUES: Final = "decode|encode|oversize"


def circuits() -> timeseries.Panel:
    """Circuits by state."""
    panel = panels.stacked(
        13,
        "L2 circuits by state",
        "Circuit breakers of all processes. Open: Redis did not answer, look-ups skip L2 for a "
        "moment. Half open: one call tries it. Red in full height is Redis itself, a red stripe "
        "is some processes' way to it. A process without look-ups keeps its state.",
        "short",
        [(f"sum by (state) (routecache_l2_circuits{{{PROCESS}}})", "{{state}}")],
    ).decimals(0)
    return styles.colored(panel, colors.CIRCUITS)


def errors() -> timeseries.Panel:
    """Failed commands, by kind and as a share."""
    selector = f'{CACHE}, tier="l2"'
    failed = f'sum(rate(routecache_errors_total{{{selector}, error!~"{_OF_VALUES}"}}[{RATE}]))'
    commands = f"sum(rate(routecache_l2_operation_duration_seconds_count{{{PROCESS}}}[{RATE}]))"
    share = "share of commands"
    panel = panels.events(
        14,
        "L2 errors",
        "Redis commands that failed, per second by kind, and (right) as a share of all commands "
        f"attempted: more than {threshold('L2ErrorRatioHigh'):%} at more than "
        f"{floor('L2ErrorRatioHigh')} commands/s opens a ticket. decode, encode and "
        "oversize are about a value, not about Redis, and are left out of the share. With the "
        "circuits open there are few commands, hence few errors.",
        "ops",
        [
            (
                f"sum by (error) (rate(routecache_errors_total{{{selector}}}[{RATE}])) > 0",
                "{{error}}",
            ),
            (f"{failed}\n/\n({commands} > 0)", share),
        ],
    )
    panel = styles.on_the_right(panel, share, "percentunit", REFERENCE, max=1)
    return styles.colored(styles.dashed(panel, share), colors.ERRORS)


def command_latency() -> timeseries.Panel:
    """p99 of Redis commands."""
    rate = (
        "sum by (le, operation) "
        f"(rate(routecache_l2_operation_duration_seconds_bucket{{{PROCESS}}}[{RATE}]))"
    )
    panel = panels.timeseries(
        15,
        "L2 command latency, p99",
        "p99 of attempts at a Redis command, failed ones included, seen from the process: "
        "network and Redis together. Dashed: 50 ms, the default deadline of a look-up's L2 "
        "steps (l2_timeout). Logarithmic.",
        "s",
        [(f"histogram_quantile(0.99, {rate})", "{{operation}}")],
    ).scale_distribution(panels.LOG10)
    return styles.lines_at(panel, [(None, "transparent"), (0.05, "orange")])


def connections() -> timeseries.Panel:
    """The pool's use, and what waiting for it costs."""
    waited = f"rate(routecache_l2_connection_wait_seconds_total{{{PROCESS}}}[{RATE}])"
    panel = panels.stacked(
        16,
        "L2 connections",
        "Connections of all processes' pools, and how many they may open (dashed). The gauge is "
        "sampled and misses bursts: time spent waiting for a connection (right) is the proof that "
        "a pool is too small (max_connections in REDIS_URL).",
        "short",
        [
            (f"sum by (state) (routecache_l2_connections{{{PROCESS}}})", "{{state}}"),
            (f"sum(routecache_l2_max_connections{{{PROCESS}}})", "allowed"),
            (f"sum({waited})", "waited"),
        ],
    ).decimals(0)
    panel = styles.on_the_right(panel, "waited", "s", "orange", custom__axisSoftMax=0.1)
    return styles.colored(styles.dashed(panel, "allowed"), colors.CONNECTIONS)


def commands() -> timeseries.Panel:
    """The load that the routers put on Redis."""
    counts = f"rate(routecache_l2_operation_duration_seconds_count{{{PROCESS}}}[{RATE}])"
    return panels.stacked(
        111,
        "L2 operations",
        "Operations that processes attempted on Redis, per second. Twice the usual with look-ups "
        "as they were: L1 answers less, see L1 capacity.",
        "ops",
        [(f"sum by (operation) ({counts})", "{{operation}}")],
    )


def latency_heat() -> heatmap.Panel:
    """The distribution behind p99."""
    buckets = f"rate(routecache_l2_operation_duration_seconds_bucket{{{PROCESS}}}[{RATE}])"
    return panels.heat_map(
        112,
        "L2 operation latency, all",
        "How many operations took how long. Two bands are two kinds of server or way: compare "
        "instances. Points are traces of slow ones, if the router traces.",
        "s",
        f"sum by (le) ({buckets})",
    )


def hit_ratio() -> timeseries.Panel:
    """What L2 is worth to those who ask it."""
    hits = f'sum by (cache) (rate(routecache_hits_total{{{CACHE}, tier="l2"}}[{RATE}]))'
    asked = f"sum by (cache) (rate(routecache_l1_misses_total{{{CACHE}}}[{RATE}]))"
    return (
        panels.timeseries(
            113,
            "L2 hit ratio, of look-ups that left L1",
            "Share of the look-ups without an answer in L1 that Redis answered. Near 0 for long: "
            "what one process loads no other asks for, so L2 costs more than it gives; or Redis "
            "evicts what it should keep.",
            "percentunit",
            [(f"{hits}\n/\n({asked} > 0)", "{{cache}}")],
        )
        .min(0)
        .max(1)
    )


def breaker() -> timeseries.Panel:
    """How often circuits change their mind, and what made them."""
    changes = f"rate(routecache_l2_circuit_transitions_total{{{PROCESS}}}[{RATE}])"
    failures = f"rate(routecache_l2_circuit_failures_total{{{PROCESS}}}[{RATE}])"
    panel = panels.timeseries(
        114,
        "Circuit breakers",
        "Times per second that a circuit opened, let a probe through or closed, and the failures "
        "that count against it (dashed). Opening and closing in turn is a Redis at its limit, not "
        "one that is gone.",
        "ops",
        [
            (f"sum by (state) ({changes})", "to {{state}}"),
            (f"sum({failures})", "failures"),
        ],
    ).min(0)
    to = {f"to {state}": color for state, color in colors.CIRCUITS.items()}
    return styles.colored(styles.dashed(panel, "failures"), to)
