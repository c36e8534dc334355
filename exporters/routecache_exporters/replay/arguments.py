"""What the words of a replay's command line mean."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from routecache import RoutingSettings

Speed: TypeAlias = float | Literal["log"] | None
"""Logged seconds per second; None for never waiting; "log" for the log's own time."""

SIZED = ("provider", "model", "fallback")
"""The caches whose size and life time a `RoutingSettings` chooses."""

PREFIX: Final = "routecache-replay:"
"""What a replay's keys in Redis begin with: its answers are a made-up policy's, which no router
must ever read, and a router's are not those that it is held against."""

SIZES_HELP = """\
entries that L1 holds, as CACHE=N,... with provider, model and fallback (default 50, 100 and 50)"""


UNIT_HELP = """\
what arrival times that are numbers count in (default: s for the seconds since 1970, and the unit in
which the first of them is a time like that, if it is too large for it)"""


def speed(text: str) -> Speed:
    """A number above 0, max or log."""
    if text == "max":
        return None
    if text == "log":
        return "log"
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor max nor log")
    return number


def milliseconds(text: str) -> float:
    """A finite number from 0 up."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds from 0 up")
    return value


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def sizes(text: str) -> Mapping[str, int]:
    """`provider=50,model=100` as a mapping."""
    chosen: dict[str, int] = {}
    for part in text.split(","):
        name, equals, size = part.strip().partition("=")
        if name not in SIZED or not equals or name in chosen:
            raise argparse.ArgumentTypeError(
                f"{part.strip()!r} is no size: give CACHE=N once for each of {', '.join(SIZED)}"
            )
        chosen[name] = positive(size)
    return chosen


def sized(settings: RoutingSettings, chosen: Mapping[str, int]) -> RoutingSettings:
    """`settings` with the sizes that were `chosen` by cache."""
    fields: dict[str, Any] = {f"{name}_maxsize": n for name, n in chosen.items()}
    return replace(settings, **fields)


def settings_of(args: argparse.Namespace) -> RoutingSettings:
    """The environment's settings, with what `--no-redis`, `--redis-url` and `--sizes` say.

    Their keys in Redis are the replay's own (`PREFIX`).
    """
    settings = replace(sized(RoutingSettings.from_env(), args.sizes), prefix=PREFIX)
    if args.no_redis:
        return replace(settings, enable_redis=False)
    if args.redis_url is not None:
        return replace(settings, redis_url=args.redis_url, enable_redis=True)
    return settings
