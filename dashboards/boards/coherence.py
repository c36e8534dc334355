"""Coherence and consistency: whether processes hear each other, and what they serve meanwhile."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import budget, coherence
from dashboards.shared import Cell, Row, lay_out, new_dashboard
from routecache_exporters.pack import panels as uids


def dashboard() -> Dashboard:
    """The dashboard Coherence and consistency."""
    new = new_dashboard(
        uids.COHERENCE,
        "RouteCache / Coherence",
        "How soon a write in one process is known in all, what is stale, and what is still owed.",
    )
    return lay_out(new, _rows()).build()


def _rows() -> list[Row]:
    return [
        Row(
            "Now",
            [
                Cell(coherence.lag_now(), 0, 0, 6, 4),
                Cell(coherence.lost_now(), 6, 0, 6, 4),
                Cell(coherence.deaf_now(), 12, 0, 6, 4),
                Cell(coherence.owed_now(), 18, 0, 6, 4),
            ],
        ),
        Row(
            "Do processes hear each other?",
            [
                Cell(coherence.lag(), 0, 0, 8, 8),
                Cell(coherence.probes(), 8, 0, 8, 8),
                Cell(budget.unheard(), 16, 0, 8, 8),
                Cell(coherence.listeners(), 0, 8, 6, 8),
                Cell(coherence.reconnects(), 6, 8, 6, 8),
                Cell(coherence.invalidations(), 12, 8, 6, 8),
                Cell(coherence.invalidations_by_cache(), 18, 8, 6, 8),
            ],
        ),
        Row(
            "What is stale, and what is owed",
            [
                Cell(coherence.stale_hits(), 0, 0, 6, 8),
                Cell(coherence.stale_share(), 6, 0, 6, 8),
                Cell(coherence.pending(), 12, 0, 6, 8),
                Cell(coherence.recovery(), 18, 0, 6, 8),
            ],
        ),
    ]
