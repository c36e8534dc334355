"""`routecache warm FILE`."""

import argparse
import dataclasses
import importlib
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from routecache import (
    RoutingCache,
    RoutingLoaders,
    RoutingSettings,
    RoutingWarmResult,
    WarmProgress,
)
from routecache.errors import RemoteError
from routecache.remote.inspection import Inspection
from routecache.routing.settings import PREFIX
from routecache_exporters.inspecting.command import FAILURES, prefix
from routecache_exporters.replay.arguments import SIZED, sized, sizes
from routecache_exporters.replay.context import parse_context
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.logs import Log
from routecache_exporters.usage import Commands, FailedError, UsageError, require
from routecache_exporters.warming.requests import past_requests

_DESCRIPTION = """\
Fill Redis with what a request log asked for most, before processes start that would load it. The
values come from the program's own loaders: --loaders names a routecache.RoutingLoaders as
MODULE:NAME, found from the working directory too. What Redis holds already is left as it is. Of
each cache as many entries are taken as L1 holds. Sizes and prefix have to be those that the
program gives its RoutingSettings; life times are the environment's, as there."""

_NEEDS_FILE = "warm needs a file, which it reads twice, and no pipe"


def add_command(commands: Commands) -> None:
    """Add `warm` to the subcommands."""
    parser = commands.add_parser(
        "warm", help="fill Redis with what a log asked for most", description=_DESCRIPTION,
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="the request log, as `replay` reads it")
    parser.add_argument(
        "--loaders", required=True, metavar="MODULE:NAME", help="the program's RoutingLoaders"
    )
    parser.add_argument(
        "--context", metavar="COLS",
        help="columns that make the request's context, as for `replay`; they have to be what the "
        "router makes its contexts of",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=_whole, metavar="N", help="read at most N requests of the log"
    )
    parser.add_argument(
        "--deadline", type=_number, default=60.0, metavar="S",
        help="end after so many seconds, half of them for reading the log (default 60)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=_number, metavar="N", help="call loaders at most N times a second"
    )
    parser.add_argument(
        "--concurrency", type=_whole, default=8, metavar="N", help="loads at once (default 8)"
    )
    parser.add_argument(
        "--fleet", default="startup", metavar="NAME",
        help="the name under which processes agree who of them loads (default startup)",
    )  # fmt: skip
    parser.add_argument(
        "--sizes", type=sizes, default={}, metavar="SIZES",
        help="entries to take at most, as many as the routers' L1 holds, as CACHE=N,... with "
        "provider, model and fallback (default 50, 100 and 50)",
    )  # fmt: skip
    parser.add_argument(
        "--prefix", type=prefix, default=PREFIX,
        help=f"what the routers' keys begin with (default {PREFIX})",
    )  # fmt: skip
    parser.add_argument("--redis-url", metavar="URL", help="default: REDIS_URL, else localhost")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(args: argparse.Namespace) -> int:
    """Warm and report: 0 if enough of every cache is warm, else 1."""
    if not args.json:
        require("rich.table", "cli")  # before the work, not after it
    if args.file == "-":
        raise UsageError(_NEEDS_FILE)
    loaders = _loaders(args.loaders)
    with Log(args.file) as log:  # what is wrong with it is told before anything is loaded
        if not log.again:
            raise UsageError(_NEEDS_FILE)
        parse_context(args.context, log.columns)
    settings = sized(RoutingSettings.from_env(), args.sizes)
    settings = replace(
        settings, enable_redis=True, redis_url=args.redis_url or settings.redis_url,
        prefix=args.prefix,
    )  # fmt: skip
    _check_redis(settings.redis_url)
    bad = BadRows()
    requests = past_requests(args.file, args.context, limit=args.limit, bad=bad)
    with RoutingCache(settings) as cache, _progress() as progress:
        result = cache.warm(
            requests, loaders=loaders, hottest=False, deadline=args.deadline, rate=args.rate,
            concurrency=args.concurrency, fleet=args.fleet, progress=progress,
        )  # fmt: skip
    full = [
        each.cache for each in result.caches
        if each.cache in SIZED and each.entries == getattr(settings, f"{each.cache}_maxsize")
    ]  # fmt: skip
    _print(result, bad, full, as_json=args.json)
    return 0 if result.succeeded else 1


def _loaders(spec: str) -> RoutingLoaders:
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise UsageError(f"--loaders {spec!r}: give MODULE:NAME, such as router.caching:LOADERS")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # a console script's own folder is there instead
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(f"--loaders: no module {error.name!r} here or on PYTHONPATH") from None
    except Exception as error:  # the program's own module may raise anything
        raise UsageError(
            f"--loaders: importing {module_name} raised {type(error).__name__}{_place(error)}"
        ) from error
    try:
        found = getattr(module, name)
    except AttributeError:
        raise UsageError(f"--loaders: {module_name} has no {name}") from None
    if not isinstance(found, RoutingLoaders):
        raise UsageError(f"--loaders: {spec} is a {type(found).__name__} and no RoutingLoaders")
    return found


def _place(error: Exception) -> str:
    """Where the program raised it; not its text, which may hold anything."""
    if isinstance(error, SyntaxError):
        return f" at {error.filename}:{error.lineno}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    known = frame.filename.startswith("<") or frame.filename in (__file__, importlib.__file__)
    return "" if known else f" at {frame.filename}:{frame.lineno}"


def _check_redis(url: str) -> None:
    try:
        with Inspection(url):
            pass
    except RemoteError as error:
        said = FAILURES.get(error.kind, "Redis failed")
        raise FailedError(f"{said} ({error.kind}): nothing was warmed") from None


def _print(result: RoutingWarmResult, bad: BadRows, full: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        json.dump(
            {
                "complete": result.complete,
                "succeeded": result.succeeded,
                "seconds": result.seconds,
                "bad_rows": bad.count,
                "full": full,
                "caches": [dataclasses.asdict(each) for each in result.caches],
            },
            sys.stdout,
            indent=2,
        )
        print()
        return
    table = require("rich.table", "cli").Table(box=None, pad_edge=False)
    headings = ("cache", "entries", "loaded", "from Redis", "failed", "skipped", "")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("cache", "") else "right")
    for each in result.caches:
        state = "" if each.complete else "in part" if each.succeeded else "not enough"
        numbers = (each.entries, each.loaded, each.from_l2, each.failed, each.skipped)
        table.add_row(each.cache, *(f"{n:,}" for n in numbers), each.problem or state)
    require("rich.console", "cli").Console(soft_wrap=True).print(table)
    rows = f"; {bad.count:,} bad rows were left out" if bad.count else ""
    print(f"{result.warm:,} entries warm in {result.seconds:.1f} s{rows}")
    if full:
        print(f"As many as L1 holds were taken for {', '.join(full)}: --sizes takes more")


@contextmanager
def _progress() -> Iterator[Callable[[WarmProgress], object] | None]:
    """A bar per cache on stderr, when that is a terminal and rich is there to draw it."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        rich = require("rich.progress", "cli")
        console = require("rich.console", "cli").Console(stderr=True)
    except UsageError:
        yield None
        return
    with rich.Progress(console=console, transient=True) as bar:
        tasks: dict[str, int] = {}

        def progress(step: WarmProgress) -> None:
            if step.cache not in tasks:
                tasks[step.cache] = bar.add_task(step.cache)
            bar.update(tasks[step.cache], total=step.entries, completed=step.done)

        yield progress


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
