"""What faults do to a lane, and undo."""

import random
from dataclasses import asdict
from typing import Any, Final

from bench.faults.lane import Lane
from bench.faults.traffic import Habits

USUAL: Final[dict[str, Any]] = asdict(Habits())
"""How a router asks unless it is told otherwise."""


def crowd(lane: Lane) -> None:
    """Have eight threads of each router ask in the same instant, of a Redis that takes 2 ms."""
    lane.mode("slow", delay=0.002)
    lane.tell(habits={"threads": 8, "together": True, "rate": 80.0})


def disperse(lane: Lane) -> None:
    """Have them ask in turn again, of a Redis that takes no time."""
    lane.tell(habits={name: USUAL[name] for name in ("threads", "together", "rate")})
    lane.mode("pass")


def stop_redis(lane: Lane) -> None:
    """Stop Redis in order."""
    lane.server.stop()


def start_redis(lane: Lane) -> None:
    """Start it again, with its data."""
    lane.server.start()


def cut_off_one(lane: Lane) -> None:
    """Let the first router no longer connect."""
    lane.proxies[0].mode = "refuse"


def let_all_in(lane: Lane) -> None:
    """Let it connect again."""
    lane.proxies[0].mode = "pass"


def flood_one(lane: Lane) -> None:
    """Cut off the first router, and have it write thousands of keys a second."""
    cut_off_one(lane)
    lane.routers[0].tell(habits={"flood": 4000})


def dry_one(lane: Lane) -> None:
    """Stop that, and let it connect again."""
    lane.routers[0].tell(habits={"flood": 0})
    let_all_in(lane)


def refuse_writes(lane: Lane) -> None:
    """Leave Redis no memory, and have it evict nothing."""
    lane.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    lane.ask("CONFIG", "SET", "maxmemory", "1")


def take_writes(lane: Lane) -> None:
    """Give it all memory again."""
    lane.ask("CONFIG", "SET", "maxmemory", "0")


def fill_redis(lane: Lane) -> None:
    """Leave Redis room for half of the values, and have it evict the others."""
    lane.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    values = sum(lane.ask("MEMORY", "USAGE", key) or 0 for key in lane.values())
    used = lane.ask("INFO", "memory")["used_memory"]
    lane.ask("CONFIG", "SET", "maxmemory", used - values // 2)


def empty_redis(lane: Lane) -> None:
    """Give it all memory again."""
    take_writes(lane)


def corrupt(lane: Lane, values: int) -> None:
    """Overwrite so many values in Redis with what nobody can read."""
    found = lane.values()
    for key in random.sample(found, min(values, len(found))):
        lane.ask("SET", key, b"\xff not an envelope", "XX", "KEEPTTL")


def kill_listeners(lane: Lane) -> None:
    """Kill all connections that subscribe."""
    lane.ask("CLIENT", "KILL", "TYPE", "pubsub")


def exporter(lane: Lane, state: str) -> None:
    """What answers at the first router's /metrics: "on", "off" or "unmounted"."""
    lane.routers[0].tell(exporter=state)


def restart(lane: Lane) -> None:
    """Restart the routers one after the other, as a roll-out does."""
    for router in lane.routers:
        router.restart()


def lose_targets(lane: Lane) -> None:
    """Have Prometheus scrape no lane."""
    lane.lose(True)


def find_targets(lane: Lane) -> None:
    """Have it scrape them again."""
    lane.lose(False)
