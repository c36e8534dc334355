"""The tables and sentences that end a run of `routecache tune`, drawn with rich."""

import shlex
from typing import TYPE_CHECKING, TextIO

from routecache_exporters.replay.table import duration, percent, time_remarks
from routecache_exporters.tune.figures import Figures
from routecache_exporters.tune.report import CacheTuning, Report, number, ttl_variable
from routecache_exporters.usage import require

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 118  # columns, where the output is no terminal
_CHECK_SPEED = 60  # logged seconds per second of the replay that checks a recommendation with Redis


def print_report(report: Report, stream: TextIO) -> None:
    """Write one table for each cache, what is recommended, and what is to be known about it.

    Raises:
        UsageError: rich is not installed.
    """
    console = require("rich.console", "cli").Console(
        file=stream, width=None if stream.isatty() else _WIDTH, highlight=False, markup=False
    )
    console.print(
        f"{report.rows:,} requests in {duration(report.span)} of {report.terms.log} "
        f"by {report.terms.context}",
        soft_wrap=True,
    )
    if report.mostly_bad:
        first = report.bad.first[0]
        console.print(
            f"Most of the log is left out: {report.bad.count:,} of "
            f"{report.bad.count + report.rows:,} rows are bad, the first in line {first.line}: "
            f"{first.reason}",
            soft_wrap=True,
        )
    for name, cache in report.caches.items():
        console.print(_table(name, cache, report))
    for line in [*_recommendation(report), *_remarks(report)]:
        console.print(line, soft_wrap=True)


def _table(name: str, cache: CacheTuning, report: Report) -> "Table":
    # With L2 the size of L1 changes only who answers; without it, also what is loaded.
    what = "share answered by L1" if report.terms.has_l2 else "hit ratio"
    headings = ["hit ratio", "loads / 1,000", "mean age"]
    if cache.now.outdated is not None:
        headings.append("outdated")
    table: Table = require("rich.table", "cli").Table(
        title=f"{name}: {what} in %, by life time and entries in L1", title_justify="left"
    )
    sizes = sorted({size for _, size in cache.grid})
    table.add_column("life time", justify="right")
    for size in sizes:
        table.add_column(f"{size:,}", justify="right")
    for heading in headings:
        table.add_column(heading, justify="right")
    for ttl in sorted({ttl for ttl, _ in cache.grid}):
        row = [cache.grid[ttl, size] for size in sizes]
        most = row[-1]
        cells = [
            *(f"{100 * figures.l1_hit_ratio:.2f}" + _mark(figures, cache) for figures in row),
            percent(most.hit_ratio),
            f"{1000 * most.loads / most.look_ups:.1f}",
            duration(most.mean_age),
            percent(most.outdated),
        ]
        table.add_row(f"{number(ttl)} s", *cells[: len(sizes) + len(headings)])
    return table


def _mark(figures: Figures, cache: CacheTuning) -> str:
    """A star for what is recommended, a dot for what is in force."""
    if figures is cache.choice.figures:
        return " *"
    return " ·" if figures is cache.now else ""


def _recommendation(report: Report) -> list[str]:
    lines = []
    for name, cache in report.caches.items():
        chosen = cache.choice.figures
        if chosen is None:
            lines.append(f"{name}: no recommendation: {cache.choice.why}.")
            continue
        lines.append(
            f"{name}: {number(chosen.ttl)} s and {chosen.size:,} entries: {cache.choice.why}. "
            f"{_told(chosen, report)}; now, with {number(cache.now.ttl)} s and "
            f"{cache.now.size:,}: {_told(cache.now, report)}."
        )
    if report.environment:
        lines += [
            "",
            *(f"export {name}={value}" for name, value in report.environment.items()),
            f"RoutingCache(dataclasses.replace(RoutingSettings.from_env(), {report.arguments}))",
            "",
            _check(report),
        ]
    return lines


def _told(figures: Figures, report: Report) -> str:
    told = f"hit ratio {percent(figures.hit_ratio)}"
    if report.terms.has_l2:
        told += f", {percent(figures.l1_hit_ratio)} by L1"
    told += f", {figures.loads:,} loads, mean age {duration(figures.mean_age)}"
    if figures.outdated is not None:
        told += f", {percent(figures.outdated)} outdated"
    return f"{told}, {duration(figures.loads_saved * report.terms.cost)} of computing saved"


def _check(report: Report) -> str:
    if not report.terms.again:
        return "To check it, replay the log from a file: what came by a pipe cannot be read again."
    return f"Check it: {check(report)}"


def check(report: Report) -> str:
    """The command that replays what was read of the log through the real caches.

    A cache without a recommendation is replayed under what is in force.
    """
    terms = report.terms
    taken = {name: cache.choice.figures or cache.now for name, cache in report.caches.items()}
    # Redis keeps its own time, so that life times have to shrink as much as the log is sped up.
    pace = _CHECK_SPEED if terms.has_l2 else 1
    words = [
        *(f"{ttl_variable(name)}={number(f.ttl / pace)}" for name, f in taken.items()),
        "routecache", "replay", terms.log, "--context", terms.context, "--timestamp",
        terms.timestamp,
        "--sizes", ",".join(f"{name}={f.size}" for name, f in taken.items()),
        *(("--speed", str(pace), "--fresh") if terms.has_l2 else ("--speed", "log", "--no-redis")),
    ]  # fmt: skip
    if terms.time_unit is not None:
        words += ["--time-unit", terms.time_unit]
    if report.interrupted or terms.limit is not None:
        words += ["--limit", str(report.rows)]
    if terms.workers > 1:
        words += ["--workers", str(terms.workers)]
    return shlex.join(words)


def _at_the_edge(report: Report) -> list[str]:
    """Where the best that was tried need not be the best, because nothing beyond was tried."""
    if report.terms.objective.min_hit_ratio is not None:
        return []  # it is reached, and the shortest life time that does was wanted
    remarks = []
    for name, cache in report.caches.items():
        chosen = cache.choice.figures
        if chosen is None:
            continue
        ttls, sizes = ({pair[i] for pair in cache.grid} for i in (0, 1))
        if len(ttls) > 1 and chosen.ttl == max(ttls):
            remarks.append(f"{name}: no longer life time was tried (--ttls): one may save more.")
        if len(sizes) > 1 and chosen.size == max(sizes):
            remarks.append(f"{name}: no larger size was tried (--l1-sizes): one may answer more.")
    return remarks


def _remarks(report: Report) -> list[str]:
    """What a reader has to know to read the tables right."""
    terms = report.terms
    everywhere = ", and the same at every size, because L2 answers what L1 lacks"
    remarks = ["", (
        f"* recommended, · in force. The last columns are those of the largest size"
        f"{everywhere if terms.has_l2 else ''}."
    ), (
        "An answer's age is the time since its load. Invalidations are not in a log: what they "
        "take is loaded once more, and is younger."
    )]  # fmt: skip
    if terms.periods:
        periods = ", ".join(f"{number(secs)} s ({name})" for name, secs in terms.periods.items())
        remarks.append(
            "Outdated: the expected share of answers older than the last change, if changes come "
            f"at random, untold, and on average every {periods}."
        )
    if terms.workers > 1:
        remarks.append(f"{terms.workers} processes take turns, each with an L1 of its own.")
    remarks += [*time_remarks(report.order, report.doubt), *_at_the_edge(report)]
    longest = max(ttl for cache in report.caches.values() for ttl, _ in cache.grid)
    if report.span < 2 * longest:
        remarks.append(
            f"The log is {duration(report.span)} long: it says little of life times above "
            f"{duration(report.span / 2)}."
        )
    if report.shared_evictions:
        remarks.append(
            f"More keys lived at once than are simulated in L2: {report.shared_evictions:,} were "
            f"dropped, and hit ratios are too low by what they would have answered."
        )
    if report.bad.count:
        first = "; ".join(f"line {row.line}: {row.reason}" for row in report.bad.first)
        remarks.append(f"{report.bad.count:,} bad rows were left out ({first}).")
    if report.interrupted:
        remarks.append("Interrupted: the log was not read to its end.")
    remarks.append(f"Simulated in {duration(report.elapsed)}.")
    return remarks
