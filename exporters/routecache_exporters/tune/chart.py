"""The plot of `routecache tune`: for each cache what a size buys, and what a life time costs.

SVG written by hand, so that no drawing library is needed; readable without colour, because every
cell and point has its number.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from routecache_exporters.replay.table import duration, percent
from routecache_exporters.tune.report import CacheTuning, Report, number

_WIDTH, _ROW, _TOP = 1180, 340, 84
_LEFT, _MAP_WIDTH, _HEIGHT = 78, 560, 224  # of a map and of a curve beside it
_CURVE_LEFT, _CURVE_WIDTH = 760, 370

_STYLE = """\
text{font:12px system-ui,sans-serif;fill:#1b1f24}.t{font-size:18px;font-weight:600}
.h{font-size:14px;font-weight:600}.m{fill:#57606a}.e{text-anchor:end}.c{text-anchor:middle}
.w{fill:#fff}.a{stroke:#8c959f}.g{stroke:#d8dee4}.l{fill:none;stroke:#0550ae;stroke-width:2}
.p{fill:#0550ae}.r{fill:none;stroke:#bc4c00;stroke-width:3}
.n{fill:none;stroke:#1b1f24;stroke-width:2;stroke-dasharray:5 4}
.b{fill:none;stroke:#fff;stroke-width:2}"""


def draw(report: Report) -> str:
    """The plot as one SVG document."""
    height = _TOP + _ROW * len(report.caches) + 24
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>routecache tune {escape(report.terms.log)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        _text(
            24,
            34,
            f"{report.rows:,} requests in {duration(report.span)} of {Path(report.terms.log).name}",
            "t",
        ),
        _text(24, 56, f"context {report.terms.context}; {_tiers(report)}", "m"),
        '<rect class="r" x="760" y="44" width="16" height="14"/>',
        _text(784, 56, "recommended"),
        '<rect class="n" x="880" y="44" width="16" height="14"/>',
        _text(904, 56, "in force"),
    ]
    for i, (name, cache) in enumerate(report.caches.items()):
        parts.append(f'<g transform="translate(0 {_TOP + i * _ROW})">')
        parts += _map(name, cache, has_l2=report.terms.has_l2)
        parts += _curve(cache)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _tiers(report: Report) -> str:
    processes = f"{report.terms.workers} processes" if report.terms.workers > 1 else "1 process"
    return f"{processes}, {'L2 behind L1' if report.terms.has_l2 else 'L1 only'}"


def _map(name: str, cache: CacheTuning, *, has_l2: bool) -> Iterable[str]:
    """Life times down, sizes across; each cell its share of look-ups answered by L1."""
    ttls, sizes = _axes(cache)
    wide, high = _MAP_WIDTH / len(sizes), _HEIGHT / len(ttls)
    shares = [figures.l1_hit_ratio for figures in cache.grid.values()]
    low, span = min(shares), (max(shares) - min(shares)) or 1.0
    what = "share of look-ups answered by L1" if has_l2 else "hit ratio"
    yield _text(24, 14, f"{name}: {what}", "h")
    yield _text(_LEFT + _MAP_WIDTH / 2, _HEIGHT + 80, "entries in L1", "c m")
    yield _text(24, 30, "life time", "m")
    for y, ttl in enumerate(ttls):
        yield _text(_LEFT - 8, 40 + (y + 0.5) * high + 4, f"{number(ttl)} s", "e")
        for x, size in enumerate(sizes):
            figures = cache.grid[ttl, size]
            depth = (figures.l1_hit_ratio - low) / span
            left, top = _LEFT + x * wide, 40 + y * high
            yield (
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide - 2:.1f}" '
                f'height="{high - 2:.1f}" fill="{_shade(depth)}"/>'
            )
            css = "c w" if depth > 0.55 else "c"
            yield _text(
                left + wide / 2, top + high / 2 + 4, f"{100 * figures.l1_hit_ratio:.1f}", css
            )
            if figures is cache.choice.figures:
                yield f'<rect class="r" {_box(left, top, wide, high, 1)}/>'
            if figures is cache.now:  # dark and light dashes, to be seen on any cell
                box = _box(left, top, wide, high, 4)
                yield f'<rect class="b" {box}/><rect class="n" {box}/>'
    for x, size in enumerate(sizes):
        yield _text(_LEFT + (x + 0.5) * wide, _HEIGHT + 58, f"{size:,}", "c")


def _box(left: float, top: float, wide: float, high: float, inset: float) -> str:
    return (
        f'x="{left + inset:.1f}" y="{top + inset:.1f}" '
        f'width="{wide - 2 - 2 * inset:.1f}" height="{high - 2 - 2 * inset:.1f}"'
    )


def _curve(cache: CacheTuning) -> Iterable[str]:
    """Each life time's price: how old answers are, against how often one is loaded."""
    ttls, sizes = _axes(cache)
    line = [cache.grid[ttl, sizes[-1]] for ttl in ttls]
    outdated = line[0].outdated is not None
    across = [(f.outdated or 0.0) if outdated else f.mean_age for f in line]
    up = [1000 * f.loads / f.look_ups for f in line]
    right, top = _rounded(max(across)), _rounded(max(up))
    yield _text(_CURVE_LEFT - 40, 14, "loads per 1,000 look-ups, largest size", "h")
    title = "answers older than the last change" if outdated else "mean age of answers"
    yield _text(_CURVE_LEFT + _CURVE_WIDTH / 2, _HEIGHT + 80, title, "c m")
    bottom = 40 + _HEIGHT
    for i in range(5):
        x, y = _CURVE_LEFT + i * _CURVE_WIDTH / 4, bottom - i * _HEIGHT / 4
        yield f'<path class="g" d="M{_CURVE_LEFT} {y:.1f}h{_CURVE_WIDTH}M{x:.1f} 40v{_HEIGHT}"/>'
        yield _text(_CURVE_LEFT - 8, y + 4, f"{top * i / 4:.3g}", "e")
        told = percent(right * i / 4) if outdated else duration(right * i / 4)
        yield _text(x, bottom + 20, told, "c")
    yield f'<path class="a" fill="none" d="M{_CURVE_LEFT} 40v{_HEIGHT}h{_CURVE_WIDTH}"/>'
    places = [
        (_CURVE_LEFT + a / right * _CURVE_WIDTH, bottom - u / top * _HEIGHT)
        for a, u in zip(across, up, strict=True)
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path class="l" d="M{path}"/>'
    for figures, (x, y) in zip(line, places, strict=True):
        yield f'<circle class="p" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        chosen = cache.choice.figures
        if chosen is not None and chosen.ttl == figures.ttl:
            yield f'<circle class="r" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        if figures.ttl == cache.now.ttl:
            yield f'<circle class="n" cx="{x:.1f}" cy="{y:.1f}" r="12"/>'
        yield _text(x + 8, y - 9, f"{number(figures.ttl)} s")


def _axes(cache: CacheTuning) -> tuple[Sequence[float], Sequence[int]]:
    return sorted({ttl for ttl, _ in cache.grid}), sorted({size for _, size in cache.grid})


def _shade(depth: float) -> str:
    """From nearly white to blue."""
    low, high = (234, 241, 251), (9, 64, 140)
    return "#" + "".join(
        f"{round(a + (b - a) * depth):02x}" for a, b in zip(low, high, strict=True)
    )


def _rounded(value: float) -> float:
    """The next number above `value` that quarters read well of."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 1.0
    while power > value:
        power /= 10
    return next(
        step * power for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if step * power >= value
    )


def _text(x: float, y: float, text: str, css: str = "") -> str:
    kind = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}>{escape(text)}</text>'
