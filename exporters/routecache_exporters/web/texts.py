"""Numbers as short texts for people, as page/status.js writes them too."""

from math import floor
from typing import Final

NOTHING: Final = "–"
"""Where there is no number."""


def count(n: int) -> str:
    """1,234"""
    return f"{n:,}"


def rate(per_second: float) -> str:
    """0.3 /s, 54 /s"""
    return f"{_short(per_second)} /s"


def ratio(share: float | None) -> str:
    """99.2 %, rounded down, so that 100 % means all of them."""
    if share is None:
        return NOTHING
    return f"{floor(share * 1000 + 1e-9) / 10:.1f} %"


def seconds(value: float | None) -> str:
    """310 ns, 4.2 µs, 12 ms, 1.5 s"""
    if value is None:
        return NOTHING
    if value == 0:
        return "0 s"
    for limit, unit in ((1e-6, "ns"), (1e-3, "µs"), (1.0, "ms")):
        if value < limit:
            return f"{_short(value / limit * 1000)} {unit}"
    return f"{_short(value)} s"


def bytes_of(value: int) -> str:
    """310 B, 4.2 kB, 12 MB"""
    for limit, unit in ((1e3, "B"), (1e6, "kB"), (1e9, "MB")):
        if value < limit:
            return f"{value} B" if unit == "B" else f"{_short(value / limit * 1000)} {unit}"
    return f"{_short(value / 1e9)} GB"


def duration(value: float) -> str:
    """12 s, 3 min 20 s, 4 h 5 min, 2 d 4 h"""
    whole = floor(value)
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {small}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _short(value: float) -> str:
    # Half up and not half to even, as JavaScript can say the same.
    if value >= 9.95:
        return f"{floor(value + 0.5):,}"
    return f"{floor(value * 10 + 0.5) / 10:.1f}"
