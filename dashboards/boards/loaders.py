"""Loaders and stampede: what the cache lets through, and what it saves."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import loaders
from dashboards.shared import Cell, Row, lay_out, new_dashboard
from routecache_exporters.pack import panels as uids


def dashboard() -> Dashboard:
    """The dashboard Loaders and stampede."""
    new = new_dashboard(
        uids.LOADERS,
        "RouteCache / Loaders",
        "What the systems behind the cache have to bear, stampedes, and what the cache is worth.",
    )
    return lay_out(new, _rows()).build()


def _rows() -> list[Row]:
    return [
        Row(
            "What is called",
            [
                Cell(loaders.load_rate(), 0, 0, 8, 8),
                Cell(loaders.loads_against_yesterday(), 8, 0, 8, 8),
                Cell(loaders.failures(), 16, 0, 8, 8),
                Cell(loaders.load_latency(), 0, 8, 8, 8),
                Cell(loaders.load_heat(), 8, 8, 8, 8),
                Cell(loaders.busy(), 16, 8, 8, 8),
            ],
        ),
        Row(
            "Is it a stampede?",
            [
                Cell(loaders.duplicates(), 0, 0, 6, 8),
                Cell(loaders.coalesced(), 6, 0, 6, 8),
                Cell(loaders.in_flight(), 12, 0, 6, 8),
                Cell(loaders.refreshes(), 18, 0, 6, 8),
            ],
        ),
        Row(
            "Is the cache worth its while?",
            [
                Cell(loaders.saved(), 0, 0, 4, 8),
                Cell(loaders.avoided_and_spent(), 4, 0, 10, 8),
                Cell(loaders.net_value(), 14, 0, 10, 8),
            ],
        ),
    ]
