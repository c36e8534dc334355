"""What the words of `routecache tune` mean."""

import argparse
import math
from collections.abc import Mapping

from routecache_exporters.replay.arguments import SIZED, positive

MOST_VALUES = 50
"""Life times, and sizes: the grid is their product, and each cell an L1."""


def life_times(text: str) -> tuple[float, ...]:
    """Seconds, separated by commas."""
    return tuple(period(part) for part in _parts(text))


def entries(text: str) -> tuple[int, ...]:
    """Whole numbers from 1 up, separated by commas."""
    return tuple(positive(part) for part in _parts(text))


def share(text: str) -> float:
    """A percentage from 0 to 100, as a share."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 to 100")
    return value / 100


def period(text: str) -> float:
    """A finite number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def periods(text: str) -> Mapping[str, float]:
    """Seconds for all caches, or `CACHE=SECS,...`."""
    if "=" not in text:
        return dict.fromkeys(SIZED, period(text))
    chosen: dict[str, float] = {}
    for part in _parts(text):
        name, equals, value = part.partition("=")
        if name not in SIZED or not equals or name in chosen:
            raise argparse.ArgumentTypeError(
                f"{part!r} is no period: give seconds for all, or CACHE=SECS once for each of "
                f"{', '.join(SIZED)}"
            )
        chosen[name] = period(value)
    return chosen


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_VALUES:
        raise argparse.ArgumentTypeError(f"{len(parts)} values, of which at most {MOST_VALUES} fit")
    return parts
