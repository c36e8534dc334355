"""Arrival times as a log writes them: ISO 8601, or numbers of one unit in all of its rows."""

import math
from datetime import UTC, datetime
from typing import Final

from routecache_exporters.replay.context import BadValueError

UNITS: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
"""What a log may count its times in."""

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_NEXT_UNIT = 1e11  # seconds since 1970: the year 5138
_NO_TIME = 2.6e11  # seconds: beyond the year 9999, which is a mistake in any log
_THIS_CENTURY = (946_684_800.0, 4_102_444_800.0)  # seconds since 1970


class Times:
    """Reads one log's arrival times. Not safe for threads.

    The unit of numbers is one for the whole log: decided per number, a log that counts from its
    own start would change its unit half-way, and its time would go back.

    Args:
        unit: one of `UNITS`; without it the first number decides. Read as seconds since 1970, it
            has to lie before the year 5138, or else it is in the next smaller unit.

    Attributes:
        unit: as given, or as decided; None as long as there was no number.
        unsure: whether the unit was decided by a number that lies outside of this century in it, as
            one does that counts from the log's own start. Then it may well be another unit.
    """

    def __init__(self, unit: str | None = None) -> None:
        self.unit = unit
        self.unsure = False

    @property
    def doubt(self) -> str | None:
        """What the numbers were taken for, if they may well be something else."""
        return UNITS[self.unit] if self.unsure and self.unit is not None else None

    def seconds(self, value: object) -> float:
        """An arrival time in seconds since 1970 or since whatever the log counts from.

        Without a time zone UTC is meant; only differences matter.

        Raises:
            BadValueError: it is neither ISO 8601 nor a number that can be a time.
        """
        if isinstance(value, str):
            text = value.strip()
            try:
                number = float(text)
            except ValueError:
                return _iso_8601(text)
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadValueError(f"{value!r:.40} is no time")
        else:
            try:
                number = float(value)
            except OverflowError:  # JSON has integers of any length
                number = math.inf
        if not math.isfinite(number):
            raise BadValueError(f"{value!r:.40} is no time")
        unit = self.unit or _unit_of(number)
        seconds = number / _PER_SECOND[unit]
        if abs(seconds) > _NO_TIME:
            raise BadValueError(f"{value!r:.40} is no time in {UNITS[unit]}")
        if self.unit is None:
            self.unit = unit
            self.unsure = not _THIS_CENTURY[0] <= seconds <= _THIS_CENTURY[1]
        return seconds


def _unit_of(number: float) -> str:
    for unit, per_second in _PER_SECOND.items():
        if abs(number) < _NEXT_UNIT * per_second:
            return unit
    return "ns"


def _iso_8601(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadValueError(f"{text[:40]!r} is no time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
