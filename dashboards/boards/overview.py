"""Overview and SLO: whether something is wrong, for whom, since when, and where to look next.

Read from the top: what fires and who answers, what callers get, the objectives, then what stands
behind it (Redis, loaders, processes). Each panel leads to the dashboard that tells more.
"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import alerts, budget, fleet, l2, loaders, lookups
from dashboards.shared import Cell, Row, lay_out, leads_to, new_dashboard
from routecache_exporters.pack import panels as uids


def dashboard() -> Dashboard:
    """The dashboard Overview and SLO."""
    new = new_dashboard(
        uids.OVERVIEW,
        "RouteCache / Overview and SLO",
        "routecache at a glance: alerts, look-ups, objectives, Redis, loaders, processes.",
    )
    return lay_out(new, [_now(), _callers(), _objectives(), _l2(), _loads(), _processes()]).build()


def _now() -> Row:
    cache = (uids.CACHE, "Cache detail")
    return Row(
        "Is something wrong?",
        [
            Cell(alerts.firing_alerts(), 0, 0, 11, 7),
            Cell(leads_to(lookups.who_answers(), *cache), 11, 0, 7, 7),
            Cell(leads_to(loaders.loads_against_yesterday(), uids.LOADERS, "Loaders"), 18, 0, 6, 7),
            Cell(leads_to(alerts.lookups(), *cache), 0, 7, 4, 4),
            Cell(leads_to(alerts.hit_ratio(), *cache), 4, 7, 4, 4),
            Cell(leads_to(alerts.degraded(), *cache), 0, 11, 4, 4),
            Cell(leads_to(alerts.circuits_open(), uids.REDIS, "L2 and Redis"), 4, 11, 4, 4),
            Cell(leads_to(fleet.worst_instances(), uids.EXPORTER, "Exporter"), 8, 7, 12, 8),
            Cell(leads_to(loaders.saved(), uids.LOADERS, "Loaders"), 20, 7, 4, 4),
            Cell(leads_to(fleet.skew(), uids.EXPORTER, "Exporter"), 20, 11, 4, 4),
        ],
    )


def _callers() -> Row:
    cache = (uids.CACHE, "Cache detail")
    return Row(
        "What callers get",
        [
            Cell(leads_to(lookups.misses_by_reason(), *cache), 0, 0, 8, 7),
            Cell(leads_to(lookups.hit_ratio_by_cache(), *cache), 8, 0, 8, 7),
            Cell(leads_to(lookups.latency(9, 0.99), *cache), 16, 0, 8, 7),
        ],
    )


def _objectives() -> Row:
    return Row(
        "Objectives",
        [
            Cell(budget.budget_by_cache(), 0, 0, 14, 7),
            Cell(leads_to(budget.burn_rate(), uids.CACHE, "Cache detail"), 14, 0, 10, 7),
            Cell(leads_to(budget.slow(), uids.REDIS, "L2 and Redis"), 0, 7, 12, 7),
            Cell(leads_to(budget.unheard(), uids.COHERENCE, "Coherence"), 12, 7, 12, 7),
        ],
    )


def _l2() -> Row:
    redis = (uids.REDIS, "L2 and Redis")
    return Row(
        "L2 (Redis)",
        [
            Cell(leads_to(l2.circuits(), *redis), 0, 0, 8, 7),
            Cell(leads_to(l2.errors(), *redis), 8, 0, 8, 7),
            Cell(leads_to(l2.command_latency(), *redis), 16, 0, 8, 7),
        ],
    )


def _loads() -> Row:
    return Row(
        "Loaders and L1",
        [
            Cell(leads_to(loaders.loads_in_flight(), uids.LOADERS, "Loaders"), 0, 0, 14, 7),
            Cell(leads_to(loaders.l1_fill(), uids.L1, "L1 capacity"), 14, 0, 10, 7),
        ],
    )


def _processes() -> Row:
    exporter = (uids.EXPORTER, "Exporter")
    return Row(
        "Processes",
        [
            Cell(leads_to(fleet.scrapes(), *exporter), 0, 0, 12, 6),
            Cell(leads_to(fleet.collectors(), *exporter), 12, 0, 12, 6),
            Cell(fleet.versions(), 0, 6, 10, 6),
            Cell(fleet.configurations(), 10, 6, 14, 6),
        ],
    )
