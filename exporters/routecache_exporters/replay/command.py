"""`routecache replay FILE`."""

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from routecache import RoutingCache, RoutingSettings, multiprocess, snapshot
from routecache_exporters.ports import LOOPBACK, choose_port, port_number
from routecache_exporters.replay import workers
from routecache_exporters.replay.context import parse_context
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.report import Report, Terms, make_report, without_credentials
from routecache_exporters.replay.requests import asked, timestamp_column
from routecache_exporters.replay.runner import Replayer
from routecache_exporters.replay.table import print_report
from routecache_exporters.signals import Stop, stop_on_signals
from routecache_exporters.usage import Commands, UsageError, require
from routecache_exporters.weboptions import (
    add_config_option,
    add_listen_option,
    metrics_at,
    start_server,
)

_DESCRIPTION = """\
Stream a request log through a RoutingCache and print what the caches did. FILE is CSV with a
header or JSON Lines, plain or gzip, of any size; - reads stdin. For each row provider status,
model selection, fallback chain and tool name are looked up and, on a miss, computed by a small
routing policy (routecache_exporters.replay.policy)."""

_CONTEXT_HELP = """\
columns that make the request's context, each as COL or COL:BUCKET. Buckets: pow2 (the next power
of two), pow10, a number N (multiples of N), auto (pow2 for numbers). Default: all columns
that a router knows before it answers, with auto"""

_COST_HELP = """\
milliseconds that computing one answer is taken to cost (default 20). At --speed max they are only
accounted in the seconds saved; at other speeds, or with --spend-cost, every miss takes them"""


def add_command(commands: Commands) -> None:
    """Add `replay` to the subcommands."""
    parser = commands.add_parser(
        "replay", help="stream a request log through the caches", description=_DESCRIPTION,
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="the request log")
    parser.add_argument(
        "--speed",
        type=_speed,
        default="max",
        metavar="1|10|max",
        help="logged seconds per second; max (the default) never waits, so TTLs do not advance",
    )
    parser.add_argument("--context", metavar="COLS", help=_CONTEXT_HELP)
    parser.add_argument(
        "--timestamp", metavar="COL", help="column of arrival times (default: by its name)"
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="replay at most N requests")
    parser.add_argument(
        "--workers",
        type=_positive,
        default=1,
        metavar="N",
        help="replay in N processes, each of which takes every N-th request (default 1)",
    )
    parser.add_argument(
        "--cost-ms", type=_milliseconds, default=20.0, metavar="MS", help=_COST_HELP
    )
    parser.add_argument(
        "--spend-cost", action="store_true", help="let misses take --cost-ms also at --speed max"
    )
    redis = parser.add_mutually_exclusive_group()
    redis.add_argument("--redis-url", metavar="URL", help="L2 (default: REDIS_URL, else localhost)")
    redis.add_argument("--no-redis", action="store_true", help="L1 only")
    metrics = parser.add_mutually_exclusive_group()
    metrics.add_argument(
        "--metrics-port",
        type=port_number,
        metavar="PORT",
        help="serve /metrics there on loopback while it runs; 0 is a free port (default 9464)",
    )
    add_listen_option(metrics)
    metrics.add_argument("--no-metrics", action="store_true", help="serve no /metrics")
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(args: argparse.Namespace) -> int:
    """Replay and report; the exit code is in `routecache_exporters.cli.main`."""
    if not args.json:
        require("rich.table", "cli")  # before the work, not after it
    if args.workers > 1 and args.file == "-":
        raise UsageError("--workers needs a file, which every worker reads, and no pipe")
    settings = _settings(args)
    with Log(args.file) as log, stop_on_signals() as stop:
        context = parse_context(args.context, log.columns)
        terms = Terms(
            log.name,
            context.text,
            args.cost_ms / 1e3,
            args.spend_cost or args.speed is not None,
            args.speed,
            without_credentials(settings.redis_url) if settings.enable_redis else None,
            args.workers,
        )
        timestamp = timestamp_column(log.columns, args.timestamp, needed=args.speed is not None)
        if args.speed is None and args.timestamp is None:
            timestamp = None  # nobody waits for it, so nobody need read it
        cost = terms.cost if terms.cost_spent else 0.0
        if args.workers > 1:
            report = _in_workers(args, terms, settings, timestamp, cost, stop)
            _print(report, as_json=args.json)
            return _exit_code(report, stop)
        with RoutingCache(settings=settings) as cache, _metrics(args), _progress(log) as progress:
            pace = Pace(args.speed, stop)
            replayer = Replayer(cache, pace, cost=cost)
            before = snapshot()
            whole = replayer.run(
                asked(log, context, timestamp), limit=args.limit, progress=progress
            )
            after = snapshot()
        _check_any(replayer.requests, log.name, log.bad, stop)
        report = make_report(
            terms, replayer, log.bad, before, after, behind=pace.behind, interrupted=not whole
        )
    _print(report, as_json=args.json)
    return _exit_code(report, stop)


def _in_workers(
    args: argparse.Namespace,
    terms: Terms,
    settings: RoutingSettings,
    timestamp: str | None,
    cost: float,
    stop: Stop,
) -> Report:
    with tempfile.TemporaryDirectory(prefix="routecache-replay-") as own:
        if not os.environ.get(multiprocess.DIRECTORY_VARIABLE):
            multiprocess.enable(own)
        store = multiprocess.current()
        assert store is not None
        directory = store.directory
        work = workers.Work(
            args.file, args.context, timestamp, args.speed, cost, args.limit, settings, directory
        )
        before = workers.books(directory, {})
        with _metrics(args):
            done = workers.replay(work, args.workers, stop)
        after = workers.books(directory, done.entries)
    _check_any(done.requests, args.file, done.bad, stop)
    return make_report(
        terms, done, done.bad, before, after, behind=done.behind, interrupted=not done.whole
    )


def _check_any(requests: int, name: str, bad: BadRows, stop: Stop) -> None:
    if not requests and not stop.is_set():
        line, reason = bad.first[0]
        raise UsageError(
            f"none of the {bad.count} rows of {name} could be replayed: line {line}: {reason}"
        )


def _exit_code(report: Report, stop: Stop) -> int:
    if not report.ok:
        return 1
    return 128 + stop.signal if report.interrupted and stop.signal is not None else 0


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        json.dump(report.as_dict(), sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        print_report(report, sys.stdout)


def _settings(args: argparse.Namespace) -> RoutingSettings:
    settings = RoutingSettings.from_env()
    if args.no_redis:
        return replace(settings, enable_redis=False)
    if args.redis_url is not None:
        return replace(settings, redis_url=args.redis_url, enable_redis=True)
    return settings


@contextmanager
def _metrics(args: argparse.Namespace) -> Iterator[None]:
    if args.no_metrics:
        yield
        return
    listen = args.listen
    if listen is None:
        port, note = choose_port(args.metrics_port, 9464, "--metrics-port")
        if note:
            print(note, file=sys.stderr)
        listen = [f"{LOOPBACK}:{port}"]
    with start_server(listen, args.web_config) as server:
        for url in server.urls:
            print(f"metrics: {metrics_at(url)}", file=sys.stderr)
        yield


@contextmanager
def _progress(log: Log) -> Iterator[Callable[[], None] | None]:
    """A bar by bytes on stderr, when that is a terminal and rich is there to draw it."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        rich = require("rich.progress", "cli")
        console = require("rich.console", "cli").Console(stderr=True)
    except UsageError:
        yield None
        return
    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TextColumn("{task.fields[rows]:,} requests"),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("replaying", total=log.total_bytes, rows=0)
        rows = 0

        def progress() -> None:
            nonlocal rows
            rows += 1
            if rows % 100 == 0 or rows < 100:
                bar.update(task, completed=log.bytes_read, rows=rows)

        yield progress


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor max")
    return speed


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds from 0 up")
    return value


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)
