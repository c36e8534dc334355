"""`routecache redis-exporter`."""

import argparse
from pathlib import Path

from routecache.routing.cache import L2_PREFIXES
from routecache_exporters.redis_stats.groups import environment
from routecache_exporters.usage import Commands, UsageError

_DESCRIPTION = """\
Print the settings with which oliver006/redis_exporter counts the keys and bytes of our caches in
Redis, as environment variables that it reads."""


def add_command(commands: Commands) -> None:
    """Add `redis-exporter` to the subcommands."""
    parser = commands.add_parser(
        "redis-exporter", help="settings for the Redis exporter beside our caches",
        description=_DESCRIPTION, allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument(
        "--prefix",
        action="append",
        metavar="P",
        help="a cache_prefix; repeatable (default: those of RoutingCache)",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write them to FILE")


def run(args: argparse.Namespace) -> int:
    """Print or write the settings."""
    text = environment(args.prefix or L2_PREFIXES)
    if args.write is None:
        print(text, end="")
        return 0
    try:
        args.write.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {args.write}: {error.strerror or error}") from None
    return 0
