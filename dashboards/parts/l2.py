"""L2 as the routers see it: circuits, failed commands, their latency, the connection pool."""

from typing import Final

from grafana_foundation_sdk.builders import timeseries

from dashboards import panels
from dashboards.shared import CACHE, PROCESS, RATE

_STATE_COLORS: Final = {"closed": "green", "half_open": "orange", "open": "red"}
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
    return panels.colored(panel, _STATE_COLORS)


def errors() -> timeseries.Panel:
    """Failed commands, by kind and as a share."""
    selector = f'{CACHE}, tier="l2"'
    failed = f'sum(rate(routecache_errors_total{{{selector}, error!~"{_OF_VALUES}"}}[{RATE}]))'
    commands = f"sum(rate(routecache_l2_operation_duration_seconds_count{{{PROCESS}}}[{RATE}]))"
    share = "share of commands"
    return panels.stacked(
        14,
        "L2 errors",
        "Redis commands that failed, per second by kind, and (right) as a share of all commands "
        "attempted: more than 5% at more than 5 commands/s opens a ticket. decode, encode and "
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
    ).override_by_name(
        share,
        panels.override(
            unit="percentunit",
            min=0,
            max=1,
            color={"mode": "fixed", "fixedColor": "text"},
            custom__axisPlacement="right",
            custom__fillOpacity=0,
            custom__lineStyle={"fill": "dash", "dash": [6, 4]},
            custom__stacking={"mode": "none", "group": "A"},
        ),
    )


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
    return panels.lines_at(panel, [(None, "transparent"), (0.05, "orange")])


def connections() -> timeseries.Panel:
    """The pool's use, and what waiting for it costs."""
    wait = "seconds waited per second"
    most = "allowed"
    return (
        panels.stacked(
            16,
            "L2 connections",
            "Connections of all processes' pools, and how many they may open (dashed). The "
            "gauge is sampled and misses bursts: time spent waiting for a connection (right) is "
            "the proof that a pool is too small.",
            "short",
            [
                (f"sum by (state) (routecache_l2_connections{{{PROCESS}}})", "{{state}}"),
                (f"sum(routecache_l2_max_connections{{{PROCESS}}})", most),
                (
                    f"sum(rate(routecache_l2_connection_wait_seconds_total{{{PROCESS}}}[{RATE}]))",
                    wait,
                ),
            ],
        )
        .decimals(0)
        .override_by_name(
            most,
            panels.override(
                color={"mode": "fixed", "fixedColor": "text"},
                custom__fillOpacity=0,
                custom__lineStyle={"fill": "dash", "dash": [6, 4]},
                custom__stacking={"mode": "none", "group": "A"},
            ),
        )
        .override_by_name(
            wait,
            panels.override(
                unit="s",
                decimals=0,
                min=0,
                color={"mode": "fixed", "fixedColor": "orange"},
                custom__axisPlacement="right",
                custom__axisSoftMax=0.1,
                custom__fillOpacity=0,
                custom__stacking={"mode": "none", "group": "A"},
            ),
        )
    )
