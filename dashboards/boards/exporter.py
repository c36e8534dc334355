"""Exporter and runtime: whether all processes are seen, what they cost and run, and warm-ups."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import exporter, fleet, warming
from dashboards.shared import Cell, Row, lay_out, new_dashboard
from routecache_exporters.pack import panels as uids


def dashboard() -> Dashboard:
    """The dashboard Exporter and runtime."""
    new = new_dashboard(
        uids.EXPORTER,
        "RouteCache / Exporter and runtime",
        "Targets, scrapes and their cost, warm-ups, the processes' CPU and memory, versions and "
        "settings.",
    )
    return lay_out(new, _rows()).build()


def _rows() -> list[Row]:
    return [
        Row(
            "Now",
            [
                Cell(exporter.targets(), 0, 0, 6, 4),
                Cell(exporter.series(), 6, 0, 6, 4),
                Cell(exporter.failing(), 12, 0, 6, 4),
                Cell(exporter.overflowing(), 18, 0, 6, 4),
            ],
        ),
        Row(
            "Scrapes",
            [
                Cell(fleet.scrapes(), 0, 0, 8, 8),
                Cell(exporter.scrape_duration(), 8, 0, 8, 8),
                Cell(fleet.collectors(), 16, 0, 8, 8),
                Cell(exporter.series_by_target(), 0, 8, 12, 8),
                Cell(exporter.overflow(), 12, 8, 12, 8),
            ],
        ),
        Row(
            "Warm-up",
            [
                Cell(warming.failed(), 0, 0, 5, 8),
                Cell(warming.entries(), 5, 0, 9, 8),
                Cell(warming.warm_ups(), 14, 0, 10, 8),
            ],
        ),
        Row(
            "Processes",
            [
                Cell(exporter.cpu(), 0, 0, 6, 8),
                Cell(exporter.memory(), 6, 0, 6, 8),
                Cell(exporter.files(), 12, 0, 6, 8),
                Cell(exporter.collections(), 18, 0, 6, 8),
                Cell(fleet.worst_instances(), 0, 8, 24, 7),
                Cell(exporter.started(), 0, 15, 7, 7),
                Cell(fleet.versions(), 7, 15, 7, 7),
                Cell(fleet.configurations(), 14, 15, 10, 7),
            ],
        ),
    ]
