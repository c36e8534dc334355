"""L1 capacity and what-if: how large L1 should be."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import l1, loaders
from dashboards.shared import Cell, Row, lay_out, new_dashboard
from routecache_exporters.pack import panels as uids


def dashboard() -> Dashboard:
    """The dashboard L1 capacity and what-if."""
    new = new_dashboard(
        uids.L1,
        "RouteCache / L1 capacity",
        "Whether L1 is large enough, what it would answer at other sizes, and what it gives up.",
    )
    return lay_out(new, _rows()).build()


def _rows() -> list[Row]:
    return [
        Row(
            "What if L1 were larger, or smaller?",
            [
                Cell(l1.curve(), 0, 0, 8, 8),
                Cell(l1.advice(), 8, 0, 16, 8),
                Cell(l1.whatif_over_time(), 0, 8, 12, 8),
                Cell(l1.whatif_error(), 12, 8, 12, 8),
            ],
        ),
        Row(
            "What L1 holds",
            [
                Cell(loaders.l1_fill(), 0, 0, 6, 8),
                Cell(l1.fill(), 6, 0, 9, 8),
                Cell(l1.size_bytes(), 15, 0, 9, 8),
            ],
        ),
        Row(
            "What L1 gives up, and what that costs",
            [
                Cell(l1.evictions(), 0, 0, 6, 8),
                Cell(l1.removals(), 6, 0, 6, 8),
                Cell(l1.thrashing(), 12, 0, 6, 8),
                Cell(l1.hit_latency(), 18, 0, 6, 8),
            ],
        ),
    ]
