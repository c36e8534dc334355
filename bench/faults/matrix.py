"""The matrix of faults and alerts as an SVG: which alert told of which fault, after how long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_CELL: Final = (30, 20)
_LEFT: Final = 196
_TOP: Final = 178
_LABEL: Final = "Which alert told of which fault, and after how many seconds"
_STYLE: Final = """
text { font: 11px system-ui, sans-serif; fill: #1f2328 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.page { fill: #ffffff }
.own { fill: #1a7f37 }
.beside { fill: #b7d7c0 }
.bad { fill: #cf222e }
.on { fill: #ffffff; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .grid { stroke: #30363d } .page { fill: #0d1117 }
  .own { fill: #238636 } .beside { fill: #1f4d2e } .on { fill: #ffffff }
}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: its own alerts, the seconds after which each alert was told, whether all is as
    it should be."""

    fault: str
    own: tuple[str, ...]
    fired: Mapping[str, float]
    proved: bool


def drawn(rows: Sequence[Row]) -> str:
    """The picture. Dark green is a fault's own alert, light green what the masks allow beside it,
    red a row that is not as it should be; the number is the seconds until it was told."""
    columns = list(dict.fromkeys(alert for row in rows for alert in row.own))
    columns += sorted({alert for row in rows for alert in row.fired} - set(columns))
    width = _LEFT + _CELL[0] * len(columns) + 110
    height = _TOP + _CELL[1] * len(rows) + 12
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{_LABEL}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    for n, alert in enumerate(columns):
        x = _LEFT + _CELL[0] * n + _CELL[0] // 2 + 4
        parts.append(
            f'<text transform="translate({x} {_TOP - 8}) rotate(-55)">{escape(alert)}</text>'
        )
        parts.append(_line(x - 19, _TOP, x - 19, height - 12))
    for n, row in enumerate(rows):
        parts += _drawn_row(row, _TOP + _CELL[1] * n, columns)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _drawn_row(row: Row, y: int, columns: Sequence[str]) -> list[str]:
    right = _LEFT + _CELL[0] * len(columns)
    parts = [
        _line(0, y, right, y),
        f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(row.fault)}</text>',
    ]
    for n, alert in enumerate(columns):
        own = alert in row.own
        if alert not in row.fired and not own:
            continue
        kind = "bad" if not row.proved else "own" if own else "beside"
        x = _LEFT + _CELL[0] * n
        after = f"{row.fired[alert]:.0f}" if alert in row.fired else "never"
        parts.append(
            f'<rect class="{kind}" x="{x + 1}" y="{y + 1}" width="{_CELL[0] - 2}" '
            f'height="{_CELL[1] - 2}" rx="3"/>'
        )
        on = "" if kind == "beside" else ' class="on"'
        parts.append(
            f'<text{on} x="{x + _CELL[0] // 2}" y="{y + 14}" text-anchor="middle">{after}</text>'
        )
    return parts


def _line(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<line class="grid" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
