"""`routecache replay FILE`."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from routecache import RoutingCache, RoutingSettings, multiprocess, snapshot
from routecache_exporters.ports import LOOPBACK, choose_port, port_number
from routecache_exporters.replay import workers
from routecache_exporters.replay.arguments import (
    SIZES_HELP,
    UNIT_HELP,
    milliseconds,
    positive,
    settings_of,
    sizes,
    speed,
)
from routecache_exporters.replay.context import parse_context
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.pace import pace_of
from routecache_exporters.replay.progress import progress_of
from routecache_exporters.replay.report import Report, Terms, make_report, without_credentials
from routecache_exporters.replay.requests import asked, timestamp_column
from routecache_exporters.replay.runner import Replayer
from routecache_exporters.replay.table import print_report
from routecache_exporters.replay.times import UNITS, Times
from routecache_exporters.signals import Stop, stop_on_signals
from routecache_exporters.usage import Commands, FailedError, UsageError, require
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
routing policy (routecache_exporters.replay.policy). In Redis it keeps to keys of its own, which
begin with routecache-replay: and which no router reads; they live as long as the caches' entries,
so that a second replay finds what the first one left (--fresh: it does not)."""

_CONTEXT_HELP = """\
columns that make the request's context, each as COL or COL:BUCKET. Buckets: pow2 (the next power
of two), pow10, a number N (multiples of N), auto (pow2 for numbers). Default: all columns
that a router knows before it answers, with auto"""

_COST_HELP = """\
milliseconds that computing one answer is taken to cost (default 20). At --speed max they are only
accounted in the seconds saved; at other speeds, or with --spend-cost, every miss takes them"""

_NEEDS_FILE = "--workers needs a file, which every worker reads, and no pipe"


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
        type=speed,
        default="max",
        metavar="1|10|max|log",
        help="logged seconds per second; max (the default) never waits, so TTLs do not advance; "
        "log never waits either, and the caches' clock is the log's (with --no-redis)",
    )
    parser.add_argument("--context", metavar="COLS", help=_CONTEXT_HELP)
    parser.add_argument(
        "--timestamp", metavar="COL", help="column of arrival times (default: by its name)"
    )
    parser.add_argument("--time-unit", choices=UNITS, help=UNIT_HELP)
    parser.add_argument("--limit", type=positive, metavar="N", help="replay at most N requests")
    parser.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="replay in N processes, each of which takes every N-th request (default 1)",
    )
    parser.add_argument("--cost-ms", type=milliseconds, default=20.0, metavar="MS", help=_COST_HELP)
    parser.add_argument(
        "--spend-cost", action="store_true", help="let misses take --cost-ms also at --speed max"
    )
    parser.add_argument("--sizes", type=sizes, default={}, metavar="SIZES", help=SIZES_HELP)
    redis = parser.add_mutually_exclusive_group()
    redis.add_argument("--redis-url", metavar="URL", help="L2 (default: REDIS_URL, else localhost)")
    redis.add_argument("--no-redis", action="store_true", help="L1 only")
    parser.add_argument(
        "--fresh", action="store_true", help="first remove what earlier replays left in Redis"
    )
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
        raise UsageError(_NEEDS_FILE)
    settings = settings_of(args)
    if args.speed == "log" and settings.enable_redis:
        raise UsageError("--speed log needs --no-redis: the time of Redis is no log's")
    spent = isinstance(args.speed, float) or args.spend_cost
    if args.speed == "log" and args.spend_cost:
        raise UsageError("--spend-cost takes time, which --speed log does not have")
    with Log(args.file) as log, stop_on_signals() as stop:
        if args.workers > 1 and not log.again:
            raise UsageError(_NEEDS_FILE)
        context = parse_context(args.context, log.columns)
        terms = Terms(
            log.name,
            context.text,
            args.cost_ms / 1e3,
            spent,
            args.speed,
            without_credentials(settings.redis_url) if settings.enable_redis else None,
            args.workers,
        )
        timestamp = timestamp_column(
            log.columns, args.timestamp, needed=None if args.speed is None else "--speed"
        )
        if args.speed is None and args.timestamp is None:
            timestamp = None  # nobody waits for it, so nobody need read it
        cost = terms.cost if terms.cost_spent else 0.0
        if args.workers > 1:
            report = _in_workers(args, terms, settings, timestamp, cost, stop)
            _print(report, as_json=args.json)
            return _exit_code(report, stop)
        pace, timer = pace_of(args.speed, stop)
        times = Times(args.time_unit)
        with (
            RoutingCache(settings=settings, timer=timer) as cache,
            _metrics(args),
            progress_of(log) as progress,
        ):
            if args.fresh:
                _clear(cache)
            replayer = Replayer(cache, pace, cost=cost)
            before = snapshot()
            whole = replayer.run(
                asked(log, context, timestamp, times), limit=args.limit, progress=progress
            )
            after = snapshot()
        _check_any(replayer.requests, log.name, log.bad, stop)
        report = make_report(
            terms, replayer, log.bad, before, after, behind=pace.behind, order=pace.order,
            doubt=times.doubt, interrupted=not whole,
        )  # fmt: skip
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
            args.file, args.context, timestamp, args.time_unit, args.speed, cost, args.limit,
            settings, directory,
        )  # fmt: skip
        if args.fresh:
            with RoutingCache(settings=settings) as cache:
                _clear(cache)
        before = workers.books(directory, {})
        with _metrics(args):
            done = workers.replay(work, args.workers, stop)
        after = workers.books(directory, done.entries)
    _check_any(done.requests, args.file, done.bad, stop)
    return make_report(
        terms, done, done.bad, before, after, behind=done.behind, order=done.order,
        doubt=done.doubt, interrupted=not done.whole,
    )  # fmt: skip


def _clear(cache: RoutingCache) -> None:
    if not cache.clear_all():
        raise FailedError("--fresh: Redis failed at removing what earlier replays left")


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
