"""Write docs/scale-families.md: what is lost with each metric family that is not scraped.

python -m dashboards.families            write
python -m dashboards.families --check    exit 1 with a diff if it is stale

Series are those of a working router (typical.py); alerts and panels are found in the generated
rules and dashboards, through recorded series, too.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from dashboards import reference, typical
from dashboards.reference import Uses, names
from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import PREFIX, Metric
from routecache_exporters.pack import generated

OUTPUT: Final = generated.ROOT / "docs" / "scale-families.md"

_HEAD: Final = """\
# What is lost with each family

**TL;DR** Which families cost most series, and what goes with them. Written by `make dashboards`
from the rules and the dashboards; `make check` fails if it is stale.

A router with four caches has {working} series at work. A family is left out at the scrape, not at
the router; these cost a twentieth or more each, and no alert needs them:

```yaml
metric_relabel_configs:
  - source_labels: [__name__]
    regex: {regex}
    action: drop
```

Histograms are `_bucket`, `_sum` and `_count`: drop all three, or the family is half there. An
alert in the table cannot fire any more, or not for one of its reasons; one that *fires instead*
takes the family for a reason to be silent, so it has to go with it. A panel is empty if all its
queries need the family; others lose a line.

| family | series | share | alerts lost | panels empty | panels with a line less |
|---|---|---|---|---|---|
"""

_SETS: Final = """
## What the least costs

With `action: keep` and the families of one of these sets, this is left of a router. Rules of other
alerts find nothing and stay silent, which looks like health: rules come in one file per group, so
do not load the others.

| kept for | families | series | share |
|---|---|---|---|
{rows}
### What the pages need

```yaml
metric_relabel_configs:
  - source_labels: [__name__]
    regex: {regex}
    action: keep
```
"""

Panels = Mapping[str, Mapping[str, list[set[str]]]]


def render() -> str:
    """The page."""
    found = reference.loaded_rules()
    uses = Uses(found, reference.panels())
    panels = _panels(uses)
    working = typical.series(typical.working())
    total = sum(working.values())
    ordered = sorted(METRICS, key=lambda metric: (-working[metric], metric.name))
    guards = {m: _guarded(m, found) for m in METRICS}
    rows = (
        _row(m, working[m], total, _alerts(uses.alerts(m), guards[m]), panels)
        for m in ordered
        if working[m]
    )
    dear = [m for m in ordered if not uses.alerts(m) and working[m] >= total / 20]
    head = _HEAD.format(working=total, regex=regex(dear))
    return head + "".join(rows) + _sets(found, uses, working, guards)


def regex(metrics: Iterable[Metric]) -> str:
    """What matches the series of `metrics` and no others: Prometheus anchors it."""
    short = (m.name.removeprefix(PREFIX) + _suffix(m) for m in metrics)
    return f"{PREFIX}({'|'.join(short)})"


def _suffix(metric: Metric) -> str:
    return "_(bucket|sum|count)" if metric.type == "histogram" else ""


def _panels(uses: Uses) -> Panels:
    """By dashboard and panel the series that each of its queries needs."""
    found: dict[str, dict[str, list[set[str]]]] = {}
    for board, title, needed in uses.queries:
        found.setdefault(board, {}).setdefault(title, []).append(needed)
    return found


def _row(metric: Metric, count: int, total: int, alerts: str, panels: Panels) -> str:
    mine = names(metric)
    empty = _titles(panels, lambda queries: all(query & mine for query in queries))
    less = _titles(
        panels, lambda q: any(query & mine for query in q) and not all(query & mine for query in q)
    )
    cells = (f"`{metric.name}`", str(count), f"{count / total:.1%}", alerts, empty, less)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _guarded(metric: Metric, rules: Iterable[Mapping[str, Any]]) -> set[str]:
    """The alerts that are silent because of `metric`, and fire without it."""
    mine, found = names(metric), set[str]()
    for rule in rules:
        before, *silences = rule["expr"].split("unless")
        silent_for = reference.used(" ".join(silences)) - reference.used(before)
        if "alert" in rule and silent_for & mine:
            found.add(rule["alert"].removeprefix("RouteCache"))
    return found


def _alerts(alerts: Iterable[str], guarded: set[str]) -> str:
    return ", ".join(f"{name} (fires instead)" if name in guarded else name for name in alerts)


def _titles(panels: Panels, lost: Callable[[list[set[str]]], bool]) -> str:
    boards = {
        b: [t for t, queries in board.items() if lost(queries)] for b, board in panels.items()
    }
    return "; ".join(f"{board}: {', '.join(titles)}" for board, titles in boards.items() if titles)


def _sets(
    found: Sequence[Mapping[str, Any]],
    uses: Uses,
    working: Mapping[Metric, int],
    guards: Mapping[Metric, set[str]],
) -> str:
    total = sum(working.values())
    pages = {
        rule["alert"].removeprefix("RouteCache")
        for rule in found
        if "alert" in rule and rule["labels"].get("severity") == "critical"
    }
    # Who keeps less still loads the rules: what they are silent for has to stay.
    for_pages = [m for m in METRICS if working[m] and (pages & set(uses.alerts(m)) or guards[m])]
    kept = {
        "the alerts that page": for_pages,
        "all alerts": [m for m in METRICS if working[m] and uses.alerts(m)],
        "all alerts and the Overview": [
            m
            for m in METRICS
            if working[m] and (uses.alerts(m) or "Overview and SLO" in uses.panels(m))
        ],
        "everything": [m for m in METRICS if working[m]],
    }
    rows = "".join(
        f"| {what} | {len(metrics)} | {sum(working[m] for m in metrics)} | "
        f"{sum(working[m] for m in metrics) / total:.1%} |\n"
        for what, metrics in kept.items()
    )
    return _SETS.format(rows=rows, regex=regex(for_pages))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    return generated.command(
        arguments,
        "dashboards.families",
        "docs/scale-families.md is stale: run make dashboards",
        write=lambda: generated.write({OUTPUT: render()}),
        differences=lambda: generated.differences({OUTPUT: render()}),
    )


if __name__ == "__main__":
    sys.exit(main())
