"""The Overview: whether something is wrong, for whom, since when, and where to look next.

Read from the top: alerts, what callers get (rate, errors, duration), the SLO's budget, then what
stands behind it (Redis, loaders, the processes).
"""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import alerts, budget, fleet, l2, loaders, lookups
from dashboards.shared import Cell, Row, lay_out, new_dashboard
from routecache_exporters.pack.panels import OVERVIEW

UID: Final = OVERVIEW


def dashboard() -> Dashboard:
    """The Overview dashboard."""
    new = new_dashboard(
        UID,
        "RouteCache / Overview",
        "routecache at a glance: alerts, look-ups, SLO budget, Redis, loaders, processes.",
    )
    return lay_out(new, _rows()).build()


def _rows() -> list[Row]:
    return [
        Row(
            "Is something wrong?",
            [
                Cell(alerts.firing_alerts(), 0, 0, 16, 8),
                Cell(alerts.lookups(), 16, 0, 4, 4),
                Cell(alerts.hit_ratio(), 20, 0, 4, 4),
                Cell(alerts.degraded(), 16, 4, 4, 4),
                Cell(alerts.circuits_open(), 20, 4, 4, 4),
            ],
        ),
        Row(
            "What callers get",
            [
                Cell(lookups.who_answers(), 0, 0, 12, 8),
                Cell(lookups.misses_by_reason(), 12, 0, 12, 8),
                Cell(lookups.hit_ratio_by_cache(), 0, 8, 8, 8),
                Cell(lookups.latency(9, 0.99), 8, 8, 8, 8),
                Cell(lookups.latency(10, 0.5), 16, 8, 8, 8),
            ],
        ),
        Row(
            "Served as designed",
            [
                Cell(budget.budget_by_cache(), 0, 0, 14, 7),
                Cell(budget.burn_rate(), 14, 0, 10, 7),
            ],
        ),
        Row(
            "L2 (Redis)",
            [
                Cell(l2.circuits(), 0, 0, 6, 8),
                Cell(l2.errors(), 6, 0, 6, 8),
                Cell(l2.command_latency(), 12, 0, 6, 8),
                Cell(l2.connections(), 18, 0, 6, 8),
            ],
        ),
        Row(
            "Loaders and L1",
            [
                Cell(loaders.loads_against_yesterday(), 0, 0, 9, 8),
                Cell(loaders.loads_in_flight(), 9, 0, 9, 8),
                Cell(loaders.l1_fill(), 18, 0, 6, 8),
            ],
        ),
        Row(
            "Processes",
            [
                Cell(fleet.worst_instances(), 0, 0, 16, 7),
                Cell(fleet.scrapes(), 16, 0, 8, 7),
                Cell(fleet.versions(), 0, 7, 7, 8),
                Cell(fleet.configurations(), 7, 7, 9, 8),
                Cell(fleet.collectors(), 16, 7, 8, 8),
            ],
        ),
    ]
