"""Cache detail: which cache answers, why another misses, how long callers wait."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import contents, lookups
from dashboards.shared import Cell, Row, lay_out, new_dashboard
from routecache_exporters.pack import panels as uids


def dashboard() -> Dashboard:
    """The dashboard Cache detail."""
    new = new_dashboard(
        uids.CACHE,
        "RouteCache / Cache detail",
        "From look-up to loader: who answers, why not, and how long it takes.",
    )
    return lay_out(new, _rows()).build()


def _rows() -> list[Row]:
    return [
        Row(
            "From L1 to the loader",
            [
                Cell(lookups.funnel(), 0, 0, 5, 8),
                Cell(lookups.funnel_over_time(), 5, 0, 8, 8),
                Cell(lookups.each_cache(), 13, 0, 11, 8),
            ],
        ),
        Row(
            "Why look-ups miss",
            [
                Cell(lookups.misses_by_reason(), 0, 0, 8, 8),
                Cell(contents.l1_misses_by_reason(), 8, 0, 8, 8),
                Cell(lookups.hit_ratio_by_cache(), 16, 0, 8, 8),
            ],
        ),
        Row(
            "How long callers wait",
            [
                Cell(lookups.latency(9, 0.99, exemplars=True), 0, 0, 8, 8),
                Cell(lookups.latency(10, 0.5), 8, 0, 8, 8),
                Cell(lookups.latency_heat(), 16, 0, 8, 8),
            ],
        ),
        Row(
            "What goes in, and what fails",
            [
                Cell(contents.writes(), 0, 0, 8, 8),
                Cell(contents.value_sizes(), 8, 0, 8, 8),
                Cell(contents.overhead(), 16, 0, 8, 8),
                Cell(contents.failed_operations(), 0, 8, 12, 8),
                Cell(contents.providers(), 12, 8, 12, 8),
            ],
        ),
    ]
