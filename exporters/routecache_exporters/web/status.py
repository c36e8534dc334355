"""The status page: is it well, and if not why; then each cache, each L2 endpoint, and the totals.

One HTML page with its style and its script inside and no request to anywhere but `/stats.json`
beside it. The server writes the present numbers into it, so that it tells the same without
JavaScript; with it, page/status.js goes on from there. Everything that is not a constant is
escaped, and the policy allows no other script, style or address.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final, NamedTuple

from routecache_exporters.performance_shapes import PerformanceMetrics
from routecache_exporters.web import cells
from routecache_exporters.web.cells import Cell

_LINKS: Final = (
    ("metrics", "Metrics for Prometheus"),
    ("stats.json", "These numbers as JSON"),
    ("-/healthy", "Healthy"),
    ("-/ready", "Ready"),
)
# The script draws it: without history there is nothing to show.
_SPARK: Final = '<svg class="spark" data-s="%s" hidden></svg>'


class _Table(NamedTuple):
    id: str
    title: str
    caption: str
    note: str
    empty: str
    name: str  # the heading of the first column
    columns: tuple[tuple[str, str], ...]  # cell and heading
    sparks: frozenset[str]


_CACHES: Final = _Table(
    "caches",
    "Caches",
    "Each cache over the last minute: how many look-ups, how they were answered, and how fast.",
    'Over <span id="window">%s</span>; the curves show five minutes, with a mark below while L2 '
    "failed. Latency is p50 / p99; L1 hits are sampled.",
    "No cache has been made yet.",
    "Cache",
    (
        ("rate", "Look-ups"),
        ("ratio", "Hit ratio"),
        ("latency", "Latency"),
        ("misses", "Misses by reason"),
        ("entries", "Entries in L1"),
        ("l2", "L2"),
    ),
    frozenset(("rate", "ratio")),
)
_L2: Final = _Table(
    "l2",
    "L2 endpoints",
    "Each L2 endpoint: its circuit, its operations over the last minute, and its connections.",
    "Latency is p50 / p99 of all operations, failed ones included.",
    "No cache uses Redis.",
    "Endpoint",
    (
        ("circuit", "Circuit"),
        ("listener", "Listener"),
        ("operations", "Operations"),
        ("trips", "Latency"),
        ("connections", "Connections"),
        ("by_operation", "Latency since the start"),
    ),
    frozenset(("trips",)),
)
_TOTALS: Final = _Table(
    "totals",
    "Since the start",
    "What each cache has counted since it began.",
    "",
    "Nothing was counted yet.",
    "Cache",
    (
        ("lookups", "Look-ups"),
        ("loads", "Loads"),
        ("stale", "Stale hits"),
        ("evictions", "Evictions from L1"),
        ("removals", "Removals from L1"),
        ("errors", "Errors"),
        ("counted", "Counted for"),
    ),
    frozenset(),
)


@cache
def _page_file(name: str) -> str:
    # Indentation and comments are for who reads the repository. No string of the script and no
    # rule of the style goes over several lines.
    text = files("routecache_exporters.web").joinpath("page", name).read_text("utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


@cache
def content_security_policy() -> str:
    """A policy for the page's own style and script, requests to its own origin, and no more."""
    style, script = (
        b64encode(sha256(_page_file(name).encode()).digest()).decode()
        for name in ("status.css", "status.js")
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def render(metrics: PerformanceMetrics | None, prefix: str = "") -> str:
    """The page as HTML.

    metrics: None if the counters could not be read; the page says so.
    prefix: what relative links need in front, such as "exporter/" or "".
    """
    caches = metrics["caches"] if metrics else []
    links = "".join(
        f'<li><a href="{escape(prefix + path)}">{text}</a></li>' for path, text in _LINKS
    )
    cache_rows = [(each["name"], _cells(cells.CACHE_CELLS, each, metrics), each) for each in caches]
    total_rows = [(each["name"], _cells(cells.TOTAL_CELLS, each, metrics), each) for each in caches]
    l2_rows = [
        (each["l2"], _cells(cells.ENDPOINT_CELLS, each, metrics), each)
        for each in (metrics["endpoints"] if metrics else [])
    ]
    return f"""<!doctype html>
<html lang="en" data-base="{escape(prefix)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(metrics["summary"]) if metrics else "No numbers"} · routecache</title>
<link rel="icon" href="data:,">
<style>{_page_file("status.css")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the numbers</a>
<header>
<h1>routecache</h1>
<p class="quiet" id="identity">{escape(cells.identity(metrics)) if metrics else ""}</p>
<p id="live">{_as_of(metrics)}</p>
<button type="button" id="pause" aria-pressed="false" hidden>Pause updates</button>
</header>
<main id="main" tabindex="-1">
{_verdict(metrics)}
{_section(_CACHES, cache_rows, cells.window(metrics) if metrics else "")}
{_section(_L2, l2_rows)}
{_section(_TOTALS, total_rows)}
</main>
<footer><nav aria-label="Other pages"><ul>{links}</ul></nav></footer>
<script>{_page_file("status.js")}</script>
</body>
</html>
"""


def _as_of(metrics: PerformanceMetrics | None) -> str:
    if metrics is None:
        return "Reload to try again"
    return f"{datetime.fromtimestamp(metrics['time'], UTC):%H:%M:%S} UTC; reload for newer numbers"


def _verdict(metrics: PerformanceMetrics | None) -> str:
    if metrics is None:
        state, headline = "critical", "No numbers"
        problems = ["The counters could not be read; the program's log says more."]
        figures = ("–", "–", "–")
    else:
        state, headline = metrics["status"], metrics["summary"]
        problems = [problem["text"] for problem in metrics["problems"]]
        figures = (
            cells.total_rate(metrics),
            cells.total_ratio(metrics),
            cells.total_l2(metrics),
        )
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return (
        f'<section id="verdict" data-state="{state}" aria-labelledby="summary">'
        f'<div role="status" aria-live="polite" aria-atomic="true"><h2 id="summary">'
        f'{escape(headline)}</h2><ul id="problems">{items}</ul></div>'
        f'<dl class="figures"><div><dt>Look-ups</dt><dd id="all-rate">{figures[0]}</dd></div>'
        f'<div><dt>Hit ratio</dt><dd id="all-ratio">{figures[1]}</dd></div>'
        f'<div><dt>L2 endpoints</dt><dd id="all-l2">{figures[2]}</dd></div></dl></section>'
    )


def _cells(
    table: Mapping[str, Any], each: object, metrics: PerformanceMetrics | None
) -> Mapping[str, Cell]:
    return {key: make(each, metrics) for key, make in table.items()}


def _section(
    table: _Table, rows: Iterable[tuple[str, Mapping[str, Cell], Any]], note: str = ""
) -> str:
    body = "".join(_row(table, *row) for row in rows)
    heads = "".join(
        f'<th scope="col" role="columnheader">{head}</th>'
        for head in (table.name, *(head for _, head in table.columns))
    )
    noted = table.note % escape(note) if "%s" in table.note else table.note
    return (
        f'<section aria-labelledby="{table.id}-title"><div class="head">'
        f'<h2 id="{table.id}-title">{table.title}</h2>'
        f'<p class="note">{noted}</p></div>'
        f'<p id="{table.id}-empty"{" hidden" if body else ""}>{table.empty}</p>'
        f'<table id="{table.id}" role="table"{"" if body else " hidden"}>'
        f"<caption>{table.caption}</caption>"
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
        f'<template id="{table.id}-row">{_row(table, "", {}, {})}</template></section>'
    )


def _row(table: _Table, name: str, texts: Mapping[str, Cell], each: Mapping[str, Any]) -> str:
    # The roles are those that the elements have anyway, until a narrow window shows rows as grids.
    parts = [
        f'<tr role="row" data-row="{escape(name)}">',
        f'<th scope="row" role="rowheader" data-name>{escape(name)}</th>',
    ]
    for key, head in table.columns:
        cell = texts.get(key, Cell(()))
        lines = "".join(f"<span>{_line(line)}</span>" for line in cell.lines)
        spark = _SPARK % key if key in table.sparks else ""
        bar = _bar(each) if key == "entries" else ""
        parts.append(
            f'<td role="cell" data-label="{head}"><div data-v="{key}" data-state="{cell.state}">'
            f"{lines}</div>{spark}{bar}</td>"
        )
    return "".join((*parts, "</tr>"))


def _line(line: str) -> str:
    label, tab, number = line.partition("\t")
    if not tab:
        return escape(line)
    return f"<span>{escape(label)}</span> <span>{escape(number)}</span>"


def _bar(each: Mapping[str, Any]) -> str:
    room = each.get("max_entries")
    share = 100 * each["entries"] / room if room else 0
    return (
        '<svg class="bar" aria-hidden="true" viewBox="0 0 100 4" preserveAspectRatio="none">'
        f'<rect width="{share:.4g}" height="4"/></svg>'
    )
