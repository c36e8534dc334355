"""`routecache explain`, `routecache inspect` and `routecache clear`."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from routecache import keys
from routecache.errors import ConfigurationError, KeyTypeError, RemoteError
from routecache.explanation import plain
from routecache.manager import DEFAULT_REDIS_URL
from routecache.remote.inspection import Inspection
from routecache.tiered.explaining import L2Look
from routecache_exporters.inspecting.census import take
from routecache_exporters.inspecting.show import show_census, show_explanation
from routecache_exporters.usage import Commands, FailedError, UsageError, require

_EXPLAIN = """\
Tell what Redis holds of one key: its age and time left, tags, writer, serializer, the lease of a
load, and whether a tag's invalidation hides it. Never its value. What the processes hold in memory
only they can tell: manager.explain(key)."""

_INSPECT = """\
Count what Redis holds for one cache, or for every cache that a walk over the keys finds, and read
a sample of the values for their size, time left, serializer and writer. Walks with SCAN, on a
cluster over each primary. To Redis a sampled value counts as used."""

_CLEAR = """\
Remove one cache's values, leases and tags from Redis, or with --key one key, or with --tag make
all that carries the tag a miss. Running processes hear of it and drop their copies. No key of
another prefix is touched."""

FAILURES = {
    "auth": "Redis refused the user, the password or the command",
    "timeout": "Redis did not answer in time",
    "connection": "Redis cannot be reached",
    "loading": "Redis is still loading its data",
    "cluster": "the cluster cannot be used: no node tells who has which slot",
    "readonly": "Redis is a replica or cannot write",
}
"""What the kinds of RemoteError are called on a command line."""


def add_commands(commands: Commands) -> None:
    """Add the three to the subcommands."""
    explain = _add(commands, "explain", "tell what Redis holds of one key", _EXPLAIN, _explain)
    explain.add_argument("key", type=_key, metavar="KEY", help="the key, as the program names it")
    explain.add_argument("--prefix", type=prefix, required=True, help="the cache's cache_prefix")
    explain.add_argument("--json", action="store_true", help="print JSON")
    inspect = _add(commands, "inspect", "count what Redis holds of our caches", _INSPECT, _inspect)
    inspect.add_argument("--prefix", type=prefix, help="one cache only")
    inspect.add_argument(
        "--sample", type=_whole, default=200, metavar="N",
        help="values to read for each prefix (default 200, 0: none)",
    )  # fmt: skip
    inspect.add_argument(
        "--limit", type=_whole, default=0, metavar="N",
        help="end after about N keys of the whole Redis (default: walk all)",
    )  # fmt: skip
    inspect.add_argument("--json", action="store_true", help="print JSON")
    clear = _add(commands, "clear", "remove one cache's keys from Redis", _CLEAR, _clear)
    clear.add_argument("--prefix", type=prefix, required=True, help="the cache's cache_prefix")
    what = clear.add_mutually_exclusive_group()
    what.add_argument("--key", type=_key, help="delete this key only")
    what.add_argument("--tag", type=_key, help="invalidate this tag only")
    clear.add_argument("--yes", action="store_true", help="do not ask")


def _add(
    commands: Commands,
    name: str,
    help_: str,
    description: str,
    run: Callable[[argparse.Namespace, Inspection], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_, description=description, allow_abbrev=False)
    parser.set_defaults(run=lambda args: _with_redis(args, run))
    parser.add_argument("--url", metavar="URL", help="default: REDIS_URL, else localhost")
    return parser


def _with_redis(
    args: argparse.Namespace, run: Callable[[argparse.Namespace, Inspection], int]
) -> int:
    if getattr(args, "json", None) is False:
        require("rich.table", "cli")  # before the work, not after it
    _agree(args)
    try:
        with Inspection(args.url or os.environ.get("REDIS_URL") or DEFAULT_REDIS_URL) as redis:
            return run(args, redis)
    except RemoteError as error:
        said = FAILURES.get(error.kind, "Redis failed")
        raise FailedError(f"{said} ({error.kind})") from None


def _explain(args: argparse.Namespace, redis: Inspection) -> int:
    look = L2Look()
    look.take_in(redis.look(args.prefix, args.key), redis.server_times(), None)
    if look.tags:
        look.told(look.tags, redis.tag_times(args.prefix, look.tags))
    said = look.explained(stale_ttl=0.0, retention=0.0)
    if args.json:
        found = plain(said)
        del found["lease_is_ours"]
        _print_json({"prefix": args.prefix, "key": args.key, "l2": found})
    else:
        show_explanation(args.key, args.prefix, said, sys.stdout)
    return 0


def _inspect(args: argparse.Namespace, redis: Inspection) -> int:
    with _progress("walking", lambda: min(redis.size(), args.limit or sys.maxsize)) as progress:
        census = take(
            redis, args.prefix, sample=args.sample, limit=args.limit, progress=progress
        )  # fmt: skip
    if args.json:
        _print_json(census.as_dict())
    else:
        show_census(census, sys.stdout)
    return 0


def _agree(args: argparse.Namespace) -> None:
    if not hasattr(args, "yes") or args.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("clear changes what running processes see: confirm with --yes")
    print(f"{_aim(args)}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise FailedError("nothing was changed")


def _aim(args: argparse.Namespace) -> str:
    of = f"the cache {args.prefix} in {'--url' if args.url else 'REDIS_URL or localhost'}"
    if args.key is not None:
        return f"Delete one key of {of}"
    return f"Invalidate one tag of {of}" if args.tag is not None else f"Remove all keys of {of}"


def _clear(args: argparse.Namespace, redis: Inspection) -> int:
    if args.key is not None:
        there = redis.delete(args.prefix, args.key)
        print("deleted: Redis held it" if there else "deleted: Redis did not hold it")
        return 0
    if args.tag is not None:
        redis.invalidate_tag(args.prefix, args.tag)
        print("invalidated: what carries the tag is a miss from now on")
        return 0
    removed = 0
    try:
        # A walk each for the leases, the values and the tags.
        with _progress("removing", lambda: 3 * redis.size()) as progress:
            for walked, n in redis.clear(args.prefix):
                removed += n
                progress(walked)
    finally:
        print(f"removed {removed:,} keys of {args.prefix}")
    return 0


@contextmanager
def _progress(what: str, total: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, when that is a terminal and rich is there to draw it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        rich = require("rich.progress", "cli")
        console = require("rich.console", "cli").Console(stderr=True)
    except UsageError:
        yield lambda _: None
        return
    with rich.Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total())
        yield lambda n: bar.advance(task, n)


def _print_json(found: dict[str, Any]) -> None:
    json.dump(found, sys.stdout, indent=2, allow_nan=False)
    print()


def prefix(text: str) -> str:
    """What keys in Redis may begin with."""
    try:
        return keys.check_prefix(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _key(text: str) -> str:
    try:
        return keys.check_key(text)
    except KeyTypeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)
