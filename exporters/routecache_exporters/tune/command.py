"""`routecache tune FILE`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from routecache.keys import digest
from routecache_exporters.replay.arguments import (
    SIZED,
    UNIT_HELP,
    milliseconds,
    positive,
    settings_of,
    sizes,
)
from routecache_exporters.replay.context import parse_context
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.pace import LogTime, Order
from routecache_exporters.replay.policy import Asked
from routecache_exporters.replay.progress import progress_of
from routecache_exporters.replay.requests import asked, timestamp_column
from routecache_exporters.replay.table import duration
from routecache_exporters.replay.times import UNITS, Times
from routecache_exporters.signals import stop_on_signals
from routecache_exporters.tune.arguments import entries, life_times, periods, share
from routecache_exporters.tune.chart import draw
from routecache_exporters.tune.choosing import Objective, choose
from routecache_exporters.tune.figures import figures_of
from routecache_exporters.tune.report import CacheTuning, Report, Terms
from routecache_exporters.tune.simulation import CacheGrid
from routecache_exporters.tune.table import print_report
from routecache_exporters.usage import Commands, UsageError, require

_DESCRIPTION = """\
Replay a request log through L1s of every life time and size at once, in the log's own time and
without Redis, and recommend life times and sizes for provider status, model selections and fallback
chains. FILE is read as by `routecache replay`. docs/tuning.md says how to read the figures."""

_TTLS = (30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0)
_MOST_FAR = 0.01  # of the requests may be out of order by more than the shortest life time
_SIZES = (5, 10, 25, 50, 100, 200, 400)


def add_command(commands: Commands) -> None:
    """Add `tune` to the subcommands."""
    parser = commands.add_parser(
        "tune", help="recommend life times and sizes for a request log", description=_DESCRIPTION,
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run, redis_url=None)
    parser.add_argument("file", metavar="FILE", help="the request log")
    parser.add_argument(
        "--context", metavar="COLS", help="columns that make the context, as of `routecache replay`"
    )
    parser.add_argument(
        "--timestamp", metavar="COL", help="column of arrival times (default: by its name)"
    )
    parser.add_argument("--time-unit", choices=UNITS, help=UNIT_HELP)
    parser.add_argument("--limit", type=positive, metavar="N", help="read at most N requests")
    parser.add_argument(
        "--ttls", type=life_times, default=_TTLS, metavar="SECS,...",
        help="life times to try (default 30 to 1200); those in force are tried in any case",
    )  # fmt: skip
    parser.add_argument(
        "--l1-sizes", type=entries, default=_SIZES, metavar="N,...",
        help="entries of L1 to try (default 5 to 400); those in force are tried in any case",
    )  # fmt: skip
    parser.add_argument(
        "--sizes", type=sizes, default={}, metavar="SIZES",
        help="sizes in force, as CACHE=N,... (default: those of RoutingSettings)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=positive, default=1, metavar="N",
        help="processes that take turns with the requests, each with an L1 of its own (default 1)",
    )  # fmt: skip
    parser.add_argument("--no-redis", action="store_true", help="L1 only: what it lacks is loaded")
    parser.add_argument(
        "--within", type=share, default=0.01, metavar="PCT",
        help="percentage points of the best hit ratio that may be given away for a shorter life "
        "time, and again for a smaller size (default 1)",
    )  # fmt: skip
    parser.add_argument(
        "--min-hit-ratio", type=share, metavar="PCT",
        help="the hit ratio that suffices, instead of the best one's neighbourhood",
    )  # fmt: skip
    parser.add_argument(
        "--changes-every", type=periods, default={}, metavar="SECS|CACHE=SECS,...",
        help="how often the true answer to one key is taken to change, on average and untold",
    )  # fmt: skip
    parser.add_argument(
        "--max-outdated", type=share, metavar="PCT",
        help="percentage of answers that may be older than the last change (with --changes-every)",
    )  # fmt: skip
    parser.add_argument(
        "--cost-ms", type=milliseconds, default=20.0, metavar="MS",
        help="milliseconds that computing one answer is taken to cost (default 20)",
    )  # fmt: skip
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="write the plot there, as SVG, or as HTML"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")


def run(args: argparse.Namespace) -> int:
    """Simulate and report; the exit code is in `routecache_exporters.cli.main`."""
    if not args.json:
        require("rich.table", "cli")  # before the work, not after it
    if args.max_outdated is not None and not args.changes_every:
        raise UsageError(
            "--max-outdated needs --changes-every: what is outdated, if nothing changes?"
        )
    settings = settings_of(args)
    with Log(args.file) as log, stop_on_signals() as stop:
        context = parse_context(args.context, log.columns)
        timestamp = timestamp_column(log.columns, args.timestamp, needed="tune")
        assert timestamp is not None  # it was needed
        terms = Terms(
            log=log.name,
            context=context.text,
            timestamp=timestamp,
            workers=args.workers,
            has_l2=settings.enable_redis,
            cost=args.cost_ms / 1e3,
            objective=Objective(args.within, args.min_hit_ratio, args.max_outdated),
            periods=args.changes_every,
            settings=settings,
            limit=args.limit,
            again=log.again,
            time_unit=args.time_unit,
        )
        times = Times(args.time_unit)
        clock = LogTime(stop, min(args.ttls))
        grids = {name: _grid(name, args, terms) for name in SIZED}
        start = time.monotonic()
        with progress_of(log, "tuning") as progress:
            done = replay_through(
                islice(asked(log, context, timestamp, times), args.limit),
                grids,
                args.workers,
                clock,
                progress,
            )
        elapsed = time.monotonic() - start
    if not done.rows:
        if stop.signal is not None:
            return 128 + stop.signal
        line, reason = log.bad.first[0]
        raise UsageError(
            f"none of the {log.bad.count} rows of {log.name} could be used: line {line}: {reason}"
        )
    _check_times(done, log.name, clock.order)
    report = Report(
        terms,
        {name: _tuning(name, grid, terms) for name, grid in grids.items()},
        done.rows,
        log.bad,
        done.span,
        elapsed,
        sum(column.shared_evictions for grid in grids.values() for column in grid.columns),
        interrupted=not done.whole,
        order=clock.order,
        doubt=times.doubt,
    )
    if args.plot is not None:
        _write(args.plot, draw(report))
    if args.json:
        json.dump(report.as_dict(), sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        print_report(report, sys.stdout)
    if stop.signal is not None:
        return 128 + stop.signal
    return 0 if report.ok else 1


@dataclass(frozen=True, slots=True)
class Done:
    """How many requests were simulated, over how many seconds, and whether those were all."""

    rows: int
    span: float
    whole: bool


def replay_through(
    requests: Iterator[Asked],
    grids: Mapping[str, CacheGrid],
    workers: int,
    clock: LogTime,
    progress: Callable[[], None] | None,
) -> Done:
    """Ask the grids what a router asks its caches for each of `requests`, until `clock` is stopped.

    The requests are dealt to `workers` processes in turn; `progress` is called after each.
    """
    rows = 0
    provider, model, fallback = (grids[name] for name in SIZED)
    for request in requests:
        if not clock.wait(request.at):
            return Done(rows, clock.timer(), whole=False)
        now, worker = clock.timer(), rows % workers
        key = digest(request.context)
        provider.ask(request.provider, now, worker)
        model.ask(key, now, worker)
        fallback.ask(key, now, worker)
        rows += 1
        if progress is not None:
            progress()
    return Done(rows, clock.timer(), whole=True)


def _check_times(done: Done, log: str, order: Order) -> None:
    """Refuse a log whose time stands still: everything would be a hit, at any life time."""
    if order.far > _MOST_FAR * done.rows:
        raise UsageError(
            f"{order.far:,} of {done.rows:,} requests of {log} are older than one before them by "
            f"more than {duration(order.tolerance)}, and by up to {duration(order.most)}: sort "
            f"the log by its time, and leave out times that cannot be right"
        )
    if done.whole and done.rows > 1 and not done.span:
        raise UsageError(
            f"all {done.rows:,} requests of {log} are of one moment, which tells nothing of life "
            f"times: name another column with --timestamp"
        )


def _grid(name: str, args: argparse.Namespace, terms: Terms) -> CacheGrid:
    ttl, size = terms.in_force(name)
    return CacheGrid(
        sorted({*args.ttls, ttl}),
        sorted({*args.l1_sizes, size}),
        workers=args.workers,
        has_l2=terms.has_l2,
        period=terms.periods.get(name),
    )


def _tuning(name: str, grid: CacheGrid, terms: Terms) -> CacheTuning:
    figures = figures_of(grid)
    return CacheTuning(
        figures,
        figures[terms.in_force(name)],
        choose(figures, terms.objective, has_l2=terms.has_l2),
    )


def _write(path: Path, svg: str) -> None:
    if path.suffix.lower() in (".html", ".htm"):
        svg = f"<!doctype html><meta charset=utf-8><title>routecache tune</title>\n{svg}"
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
