"""Rules whose windows pass in seconds, so that a minute of outage shows what an hour would.

One non-linear map serves all rules: short windows shrink less than long ones, so that every range
still spans several one-second samples and their order is kept. Between the points of the map
durations are interpolated on a log-log scale and rounded up to whole seconds. docs and tests of
the rules use the same points.
"""

import math
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

RANGES = {300: 5, 1800: 12, 3600: 20, 7200: 25, 21600: 40, 86400: 60, 259200: 90}
"""Range, offset and subquery durations of expressions: seconds deployed -> seconds in the demo."""

WAITS = {120: 2, 300: 4, 600: 5, 900: 6, 1800: 8, 3600: 12}
"""`for` and `keep_firing_for`, likewise."""

_MIN_RANGE = 4  # samples come every second, and a range needs four of them
_UNITS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_STRINGS = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)""")
_IN_EXPRESSION = re.compile(rf"(\[[^\]]*\]|\boffset\s+-?{_DURATION})")


def shorten_groups(rules: Mapping[str, Any]) -> dict[str, Any]:
    """A rule file's content with every duration shortened and groups evaluated as often as may be.

    Args:
        rules: the parsed YAML: `groups` of `rules`.
    """
    shortened = deepcopy(dict(rules))
    for group in shortened["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = shorten_expression(str(rule["expr"]))
            for wait in ("for", "keep_firing_for"):
                if wait in rule:
                    rule[wait] = f"{_mapped(_seconds(str(rule[wait])), WAITS)}s"
    return shortened


def shorten_expression(expression: str) -> str:
    """`expression` (PromQL) with its ranges, offsets and subquery steps shortened."""
    parts = _STRINGS.split(expression)
    # The odd parts are string literals, which may hold anything.
    parts[::2] = [_IN_EXPRESSION.sub(_shorten_durations, part) for part in parts[::2]]
    return "".join(parts)


def _shorten_durations(match: re.Match[str]) -> str:
    return re.sub(_DURATION, lambda text: f"{_range(text[0])}s", match[0])


def _range(text: str) -> int:
    return max(_MIN_RANGE, _mapped(_seconds(text), RANGES))


def _seconds(duration: str) -> float:
    """Prometheus' `1h30m` in seconds; a bare `0` is allowed."""
    if duration == "0":
        return 0.0
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def _mapped(seconds: float, points: Mapping[int, int]) -> int:
    if seconds <= 0:
        return 0
    xs = sorted(points)
    if seconds <= xs[0]:
        return math.ceil(seconds * points[xs[0]] / xs[0])
    # The segment that holds `seconds`; beyond the last point its slope goes on.
    right = next((i for i, x in enumerate(xs) if seconds <= x), len(xs) - 1)
    low, high = xs[right - 1], xs[right]
    slope: float = math.log(points[high] / points[low]) / math.log(high / low)
    scaled: float = points[low] * (seconds / low) ** slope
    return math.ceil(scaled - 1e-9)
