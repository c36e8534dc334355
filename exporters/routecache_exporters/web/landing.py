"""The landing page: where to go from here, and how the caches are doing at this moment.

One self-contained HTML page without scripts and without requests to anywhere. Everything that is
not a constant of this file is escaped.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from html import escape
from typing import Final

from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8888; --quiet: #595959; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a6a6a6; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.quiet, caption { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .5rem; }
th, td { text-align: right; padding: .4rem .75rem; border-bottom: 1px solid var(--line); }
td, th { white-space: nowrap; }
th:first-child, td:last-child, th:last-child { text-align: left; }
ul { padding-left: 1.25rem; } a:focus-visible { outline: 2px solid; outline-offset: 2px; }
"""

_LINKS: Final = (
    ("metrics", "metrics in the Prometheus and OpenMetrics text formats"),
    ("-/healthy", "answers 200 while the exporter runs"),
    ("-/ready", "answers 200 when the program says that it is ready, 503 before"),
)

_CIRCUITS: Final[Mapping[str, str]] = {
    "closed": "closed (in use)",
    "open": "open (L2 is not asked)",
    "half_open": "half open (probing)",
}


@cache
def content_security_policy() -> str:
    """A policy under which the page may use its own style sheet and nothing else at all."""
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def render(snapshot: ProcessSnapshot | None, prefix: str = "") -> str:
    """The page as HTML.

    snapshot: None if the counters could not be read; the page says so.
    prefix: what relative links need in front, such as "exporter/" or "".
    """
    links = "".join(
        f'<li><a href="{escape(prefix + path)}">/{path}</a>: {text}</li>' for path, text in _LINKS
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>routecache exporter</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>routecache exporter</h1>
<p class="quiet">Two-tier cache, L1 in memory and L2 in Redis, as this process sees it.</p>
<h2>Pages</h2>
<ul>{links}</ul>
<h2>Caches</h2>
{_caches(snapshot)}
</main>
</body>
</html>
"""


def _caches(snapshot: ProcessSnapshot | None) -> str:
    if snapshot is None:
        return '<p role="alert">The counters could not be read; the program\'s log says more.</p>'
    if not snapshot.caches:
        return "<p>This process has not made a cache yet.</p>"
    circuits = {endpoint.alias: endpoint.circuit for endpoint in snapshot.endpoints}
    rows = "".join(_row(each, circuits) for each in snapshot.caches)
    heads = ("Cache", "Look-ups", "Hit ratio", "L1 hit ratio", "L1 entries", "L2 circuit")
    head = _cells(heads, 'th scope="col"')
    return (
        '<div class="scroll" role="region" aria-label="Caches" tabindex="0"><table>'
        "<caption>Counted since the process began. Reload for newer numbers.</caption>"
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(each: CacheSnapshot, circuits: Mapping[str, str]) -> str:
    circuit = "no L2"
    if each.l2 is not None:
        state = circuits.get(each.l2, "unknown")
        circuit = _CIRCUITS.get(state, state)
    cells = (
        f"{each.requests:,}",
        _ratio(each.l1_hits + each.l2_hits, each.requests),
        _ratio(each.l1_hits, each.requests),
        f"{each.l1_entries:,} of {each.l1_max_entries:,}",
        circuit,
    )
    return f'<tr><th scope="row">{escape(each.name)}</th>{_cells(cells, "td")}</tr>'


def _cells(texts: Iterable[str], tag: str) -> str:
    name = tag.partition(" ")[0]
    return "".join(f"<{tag}>{escape(text)}</{name}>" for text in texts)


def _ratio(part: int, whole: int) -> str:
    # Rounded down, so that 100 % means all of them.
    return f"{part * 1000 // whole / 10:.1f} %" if whole else "no look-ups yet"
