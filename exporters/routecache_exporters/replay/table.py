"""The table that ends a replay, drawn with rich."""

from typing import TYPE_CHECKING, TextIO

from routecache.cells import HistogramSnapshot
from routecache_exporters.replay.pace import Order
from routecache_exporters.replay.report import QUANTILES, CacheReport, Report
from routecache_exporters.usage import require

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 118  # columns, where the output is no terminal
_LEFT = ", from earlier replays or other workers (--fresh begins without the former)"


def print_report(report: Report, stream: TextIO) -> None:
    """Write the table and what is to be known about it.

    Raises:
        UsageError: rich is not installed.
    """
    console_module = require("rich.console", "cli")
    console = console_module.Console(
        file=stream, width=None if stream.isatty() else _WIDTH, highlight=False, markup=False
    )
    console.print(_table(report))
    for line in [_overall(report), *_remarks(report)]:
        console.print(line, soft_wrap=True)


def _table(report: Report) -> "Table":
    table: Table = require("rich.table", "cli").Table(
        title=f"{report.rows:,} requests of {report.terms.log} by {report.terms.context}",
        title_justify="left",
        show_lines=True,
    )
    table.add_column("cache")
    for heading in ("look-ups", "L1 hits", "L2 hits", "hit ratio"):
        table.add_column(heading, justify="right")
    table.add_column("misses by reason")
    table.add_column("latency ~p50 / ~p99 by outcome")
    table.add_column("saved", justify="right")
    for name, cache in report.caches.items():
        books = cache.books
        table.add_row(
            name,
            f"{books.requests:,}",
            f"{books.l1_hits:,}",
            f"{books.l2_hits:,}",
            percent(books.hit_ratio),
            "\n".join(f"{reason} {n:,}" for reason, n in sorted(books.misses.items())) or "none",
            _latency(cache),
            duration(cache.seconds_saved),
        )
    return table


def _latency(cache: CacheReport) -> str:
    return "\n".join(
        f"{outcome:<7} {_quantile(histogram, 0.5):>8} / {_quantile(histogram, 0.99)}"
        for outcome, histogram in cache.books.latency.items()
    )


def _quantile(histogram: HistogramSnapshot, q: float) -> str:
    value = histogram.quantile(q)
    return "-" if value is None else duration(value)


def _overall(report: Report) -> str:
    return (
        f"overall: {report.requests:,} look-ups, hit ratio {percent(report.hit_ratio)}, "
        f"{duration(report.seconds_saved)} of computing saved, "
        f"{report.total('wrong_answers')} wrong answers, {report.total('exceptions')} exceptions, "
        f"replayed in {duration(report.elapsed)}"
    )


def _remarks(report: Report) -> list[str]:
    """What a reader has to know to read the table right."""
    terms = report.terms
    remarks = [f"Redis: {terms.redis}" if terms.redis else "Redis: not used"]
    if terms.workers > 1:
        remarks.append(f"{terms.workers} processes took turns, each with an L1 of its own.")
    remarks.append(f"p50 and p99 are {QUANTILES}.")
    firsts = report.total("first_l1_misses")
    if firsts and terms.redis:
        share = report.total("first_l1_misses_l2_hits") / firsts
        remarks.append(
            f"{firsts:,} look-ups were the first of their key in this process; "
            f"L2 answered {percent(share)} of them{_LEFT if share else ''}."
        )
    if terms.speed is None:
        remarks.append("Speed max: no time passed between requests, so TTLs did not advance.")
    if terms.speed == "log":
        remarks.append("Speed log: the caches' clock was the log's, so latencies are not measured.")
    if terms.cost_spent:
        remarks.append(
            f"A computation took {duration(terms.cost)} (really spent); saved is hits times the "
            f"measured time."
        )
    else:
        remarks.append(
            f"A computation is taken to cost {duration(terms.cost)}: accounted in 'saved' (hits "
            f"times cost), not spent, so the latency of loads is without it."
        )
    if report.behind > 1:
        remarks.append(
            f"The replay fell up to {duration(report.behind)} behind the log's arrival times."
        )
    remarks += time_remarks(report.order, report.doubt)
    if report.l2_unavailable:
        remarks.append(f"Redis did not answer {report.l2_unavailable:,} look-ups.")
    if report.bad.count:
        first = "; ".join(f"line {row.line}: {row.reason}" for row in report.bad.first)
        remarks.append(f"{report.bad.count:,} bad rows were left out ({first}).")
    if report.first_exception:
        remarks.append(f"The first exception was {report.first_exception}")
    if not report.books_balance:
        remarks.append("The caches counted other look-ups than the replay made.")
    if report.interrupted:
        remarks.append("Interrupted: the log was not replayed to its end.")
    return remarks


def time_remarks(order: Order, doubt: str | None) -> list[str]:
    """What there is to know of a log's arrival times, if anything."""
    remarks = []
    if order.late:
        one = order.late == 1
        remarks.append(
            f"{order.late:,} {'request is' if one else 'requests are'} older than one before "
            f"{'it' if one else 'them'}, by up to {duration(order.most)}: sort the log by its time."
        )
    if doubt is not None:
        remarks.append(
            f"The arrival times are no dates; they were taken for {doubt} (--time-unit)."
        )
    return remarks


def percent(share: float | None) -> str:
    """`share` (0 to 1) with two decimals, `-` for None. Only what is whole reads 100.00 %."""
    if share is None:
        return "-"
    return f"{100 * share if share == 1 else min(100 * share, 99.99):.2f} %"


def duration(seconds: float) -> str:
    """A duration with three significant digits in the unit that reads best."""
    for bound, unit, scale in ((1e-6, "ns", 1e9), (1e-3, "us", 1e6), (1.0, "ms", 1e3)):
        if 0 < seconds < bound:
            return f"{seconds * scale:.3g} {unit}"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
