"""L2 and Redis: what the routers see of L2, beside what Redis says of itself."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.parts import l2, redis
from dashboards.shared import Cell, Row, lay_out, new_dashboard, redis_variable
from routecache_exporters.pack import panels as uids


def dashboard() -> Dashboard:
    """The dashboard L2 and Redis."""
    new = new_dashboard(
        uids.REDIS,
        "RouteCache / L2 and Redis",
        "L2 as the routers see it, our keys in Redis by prefix, and the server itself.",
        extra=(redis_variable(),),
    )
    return lay_out(new, _rows()).build()


def _rows() -> list[Row]:
    return [
        Row(
            "As the routers see it",
            [
                Cell(l2.circuits(), 0, 0, 6, 8),
                Cell(l2.errors(), 6, 0, 6, 8),
                Cell(l2.command_latency(), 12, 0, 6, 8),
                Cell(l2.connections(), 18, 0, 6, 8),
                Cell(l2.breaker(), 0, 8, 6, 8),
                Cell(l2.commands(), 6, 8, 6, 8),
                Cell(l2.latency_heat(), 12, 8, 6, 8),
                Cell(l2.hit_ratio(), 18, 8, 6, 8),
            ],
        ),
        Row(
            "Our keys",
            [
                Cell(redis.keys_by_prefix(), 0, 0, 8, 8),
                Cell(redis.memory_by_prefix(), 8, 0, 8, 8),
                Cell(redis.bytes_per_value(), 16, 0, 8, 8),
            ],
        ),
        Row(
            "The server",
            [
                Cell(redis.availability(), 0, 0, 8, 8),
                Cell(redis.memory(), 8, 0, 8, 8),
                Cell(redis.evictions(), 16, 0, 8, 8),
                Cell(redis.commands(), 0, 8, 8, 8),
                Cell(redis.busy(), 8, 8, 8, 8),
                Cell(redis.slow_commands(), 16, 8, 8, 8),
                Cell(redis.clients(), 0, 16, 24, 8),
            ],
        ),
    ]
