"""Write docs/metrics.md, the reference of all metrics, or check that it is what the code says.

python -m dashboards.reference            write
python -m dashboards.reference --check    exit 1 with a diff if it is stale

What a metric is comes from the catalogue, where it is shown from the dashboards, what it raises
from the alert rules (through recorded series, too), and what it costs from typical.py.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from dashboards import build, typical
from routecache.stats import LAG_BOUNDS
from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import PREFIX, Metric
from routecache_exporters.pack import generated
from routecache_exporters.pack.config import Config
from routecache_exporters.pack.dashboards import fill

OUTPUT: Final = generated.ROOT / "docs" / "metrics.md"
RULES: Final = generated.ROOT / "deploy" / "prometheus" / "rules"

NOT_SHOWN: Final[Mapping[str, str]] = {}
"""Metrics that no panel shows, by name, and why; a test holds that all others are shown."""

_HEAD: Final = """\
# Metrics

**TL;DR** Everything on /metrics, by name. Written by `make metrics-doc` from the code's own
catalogue (`exporters/routecache_exporters/catalog.py`); `make check` fails if it is stale.

| metric | type | labels | unit | processes | series | meaning | shown | alerts |
|---|---|---|---|---|---|---|---|---|
"""

_NOTES: Final = """
*unit*: of the number, where OpenMetrics wants the name to end with it; else a count, or as the name
says. *processes*: how numbers of several processes, or of label
values that fall together under `other`, become one. *series*: of a router with four caches over
one Redis (`dashboards/typical.py`), idle → working. *shown*: dashboard and panels
([dashboards.md](dashboards.md)). *alerts*:
without their common prefix RouteCache; an alert on recorded series counts, too.

## How many series

{idle} from the start, {working} when caches were warmed, values are loaded, stored and deleted,
tags invalidated and two providers reported; a test holds both. Staying there rests on these
choices:

- **A counter is there at 0 before its first event**, since `increase()` cannot see the event that
  creates a series, but only where that event can happen: nothing of L2 in a cache without it, no
  stale reason that the policy does not allow, of the many errors only those that an alert reads.
- **Histograms are born with their first observation**, but for those that every working cache
  fills. They feed quantiles, and what a late birth loses is one scrape interval. Sizes of
  values, loads, look-ups that end in anything but a hit of L2, and the rarer L2 operations are
  born late.
- **Bounds where somebody decides by them.** Every threshold of an objective is one: 5 ms of
  latency, 0.5 s of freshness. No threshold is a whole number, whose `le` Prometheus 3 writes
  otherwise than 2 does. Value sizes have {sizes} bounds and loads {loads}, which tells a large
  value and a slow loader well enough. The lag's last bound is {lag} s, because a heartbeat of ten
  is lost.
- **Every label is bounded**: a fixed vocabulary, or first come, first served (64 caches, 16
  endpoints, 16 providers), and `other` for the rest.

## Is a cache worth its while

`rate(routecache_load_seconds_avoided_total[1h]) - rate(routecache_overhead_seconds_total[1h])` is
seconds saved per second.

- **avoided**: over all hits for which no load was waited for, the time that loading the value
  took once. It is known where the value came from a loader, and travels with it through Redis. A
  value that was `set` avoids nothing that is known.
- **overhead**: the time that callers spent in the cache: in hits, in all other look-ups without
  the loads that they ran or waited for, and in writes, deletes and tag invalidations. A batch
  counts once; a look-up that ended with another caller's load counts nothing; neither does work in
  the background, nor `clear`.

On the hit path both are sampled: about every 128th hit is timed and stands for all hits of its
thread since the one before. Everything else is exact.

## Exemplars

Where an OpenTelemetry span is recorded and sampled, `request_duration_seconds`,
`load_duration_seconds` and `l2_operation_duration_seconds` keep, for each bucket, the latest
observation with its `trace_id` and `span_id`. They are in the OpenMetrics format only, which
Prometheus asks for; start it with `--enable-feature=exemplar-storage`. An L1 hit has none, and is
not asked for one. A program with a tracer of another kind sets
`routecache.exemplars.set_exemplar_source` itself, before the exporter would.
"""


def used(expression: str) -> set[str]:
    """Every name in a PromQL expression that may be a series."""
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", expression))


def names(metric: Metric) -> set[str]:
    """The names of the series of `metric`."""
    if metric.type != "histogram":
        return {metric.name}
    return {metric.name + suffix for suffix in ("_bucket", "_sum", "_count")}


def loaded_rules() -> list[Mapping[str, Any]]:
    """Every rule that we ship, but for the optional ones."""
    loaded = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(RULES.glob("*.yml"))]
    return [rule for file in loaded for group in file["groups"] for rule in group["rules"]]


class Uses:
    """Which panels and alerts use a metric, through recorded series, too."""

    def __init__(
        self, rules: Iterable[Mapping[str, Any]], panels: Iterable[tuple[str, str, str]]
    ) -> None:
        rules = list(rules)
        self._recorded = {r["record"]: used(r["expr"]) for r in rules if "record" in r}
        self._alerts = [(r["alert"], self._all(r["expr"])) for r in rules if "alert" in r]
        self._panels = [(board, title, self._all(expr)) for board, title, expr in panels]

    def _all(self, expression: str) -> set[str]:
        found, ahead = set[str](), used(expression)
        while ahead:
            found |= ahead
            ahead = {n for name in ahead for n in self._recorded.get(name, ())} - found
        return found

    @property
    def queries(self) -> Sequence[tuple[str, str, set[str]]]:
        """Dashboard, panel and the names that it needs, of every query of a panel."""
        return self._panels

    def alerts(self, metric: Metric) -> list[str]:
        """Alerts by name, without the prefix that all have."""
        mine = names(metric)
        return sorted(
            {name.removeprefix("RouteCache") for name, all_ in self._alerts if all_ & mine}
        )

    def panels(self, metric: Metric) -> dict[str, list[str]]:
        """Titles of panels by dashboard."""
        mine, found = names(metric), dict[str, list[str]]()
        for board, title, all_ in self._panels:
            if all_ & mine and title not in found.setdefault(board, []):
                found[board].append(title)
        return {board: titles for board, titles in found.items() if titles}


def panels() -> Iterator[tuple[str, str, str]]:
    """Dashboard, panel and expression of every query of every dashboard."""
    for template in build.templates().values():
        dashboard = fill(template, Config())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                title = dashboard["title"].removeprefix("RouteCache / ")
                yield title, panel["title"], target["expr"]


def render() -> str:
    """The page."""
    uses = Uses(loaded_rules(), panels())
    idle, working = typical.series(typical.idle()), typical.series(typical.working())
    rows = [_row(metric, uses, idle[metric], working[metric]) for metric in METRICS]
    notes = _NOTES.format(
        idle=sum(idle.values()),
        working=sum(working.values()),
        sizes=len(_bounds("value_size_bytes")),
        loads=len(_bounds("load_duration_seconds")),
        lag=LAG_BOUNDS[-1],
    )
    return _HEAD + "".join(rows) + notes


def _bounds(name: str) -> tuple[float, ...]:
    return next(m.buckets or () for m in METRICS if m.name == PREFIX + name)


def _row(metric: Metric, uses: Uses, idle: int, working: int) -> str:
    shown = NOT_SHOWN.get(metric.name) or "; ".join(
        f"{board}: {', '.join(titles)}" for board, titles in uses.panels(metric).items()
    )
    cells = (
        f"`{metric.name}`",
        metric.type,
        ", ".join(f"`{label}`{_values(metric, label)}" for label in metric.labels),
        metric.unit,
        metric.aggregation,
        str(idle) if idle == working else f"{idle} → {working}",
        metric.help.removesuffix("."),
        shown,
        ", ".join(uses.alerts(metric)),
    )
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |\n"


def _values(metric: Metric, label: str) -> str:
    values = metric.label_values.get(label, ())
    return f" ({', '.join(values)})" if 0 < len(values) <= 7 else ""


def write() -> None:
    """Write the page."""
    generated.write({OUTPUT: render()})


def differences() -> list[str]:
    """The lines of a unified diff from what is there to the rendered page; none if equal."""
    return generated.differences({OUTPUT: render()})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    stale = "docs/metrics.md is stale: run make metrics-doc"
    return generated.command(
        arguments, "dashboards.reference", stale, write=write, differences=differences
    )


if __name__ == "__main__":
    sys.exit(main())
