"""One colour for the same thing in every panel of every dashboard.

Green answers or works, blue is Redis (L2), orange is a loader or a warning, red is lost, purple
was invalidated, grey (`text`) is a frame of reference: a limit, yesterday, a total.
"""

from typing import Final

REFERENCE: Final = "text"

TIERS: Final = {"l1": "green", "l2": "blue"}
ANSWERS: Final = {
    "L1": "green",
    "L2": "blue",
    "Loader": "orange",
    "Stale": "yellow",
    "Nobody": "red",
}
"""Who answered a look-up."""

OUTCOMES: Final = {
    "l1_hit": "green",
    "l2_hit": "blue",
    "load": "orange",
    "stale": "yellow",
    "miss": "purple",
    "error": "red",
}
REASONS: Final = {
    "cold": "blue",
    "expired": "green",
    "evicted": "yellow",
    "invalidated": "purple",
    "l2_unavailable": "red",
    "undecodable": "dark-red",
}
"""Why a look-up missed."""

STALE: Final = {"refreshing": "yellow", "blind": "purple", "error": "red"}
REMOVALS: Final = {"invalidated": "purple", "cleared": "orange", "health": "red"}
EVICTIONS: Final = {"size": "yellow", "expired": "green"}
REFRESHES: Final = {"stale": "yellow", "early": "green"}
ERRORS: Final = {
    "timeout": "orange",
    "connection": "red",
    "pool": "yellow",
    "oom": "dark-red",
    "decode": "purple",
    "cancelled": "blue",
    "error": "red",
}
"""How a command or a load failed; the rarer kinds have no colour of their own."""

CIRCUITS: Final = {"closed": "green", "half_open": "orange", "open": "red"}
LISTENERS: Final = {"connected": "green", "disconnected": "red"}
PROBES: Final = {"ok": "green", "lost": "red"}
CONNECTIONS: Final = {"in_use": "blue", "idle": "super-light-blue"}
TARGETS: Final = {"up": "green", "down": "red", "no routecache metrics": "orange"}

SCALES: Final = {
    "0.25 ×": "light-purple",
    "0.5 ×": "light-blue",
    "1 ×": "blue",
    "2 ×": "light-green",
    "4 ×": "green",
    "8 ×": "dark-green",
}
"""L1 at so many times its size."""

QUANTILES: Final = {"p50": "green", "p99": "orange"}
