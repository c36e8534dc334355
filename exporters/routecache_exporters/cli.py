"""The `routecache` command."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from routecache.errors import ConfigurationError
from routecache_exporters.demo import command as demo
from routecache_exporters.exporter import command as exporter
from routecache_exporters.inspecting import command as inspecting
from routecache_exporters.pack import boards_command as boards
from routecache_exporters.pack import command as pack
from routecache_exporters.redis_stats import command as redis_stats
from routecache_exporters.replay import command as replay
from routecache_exporters.tune import command as tune
from routecache_exporters.usage import Commands, FailedError, UsageError
from routecache_exporters.warming import command as warming


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line instead of printing the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: the arguments after the program's name; None takes the process's own.

    Returns:
        The exit code: 0 for success, also of `explain` for a key that Redis does not hold; 1 when
        a look-up of a replay or the demo raised or answered wrong, `tune` had nothing to recommend,
        `warm` did not bring enough, Redis kept `explain`, `inspect`, `clear` or `warm` from their
        work, or the answer to `clear`'s question was no; 2 for a mistake in the command line, the
        environment or the log; 128 + n when signal n ended it.
    """
    try:
        args = _parser().parse_args(argv)
        code: int = args.run(args)
    except (UsageError, ConfigurationError) as error:
        print(f"routecache: {error}", file=sys.stderr)
        return 2
    except FailedError as error:
        print(f"routecache: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output left, for example `head`. Python would complain at exit once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:  # the second Ctrl-C; the first ends a command in order
        return 128 + signal.SIGINT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="routecache", description="A two-tier cache for LLM routers: see it work.",
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"routecache {_version()}")
    commands: Commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    replay.add_command(commands)
    tune.add_command(commands)
    warming.add_command(commands)
    demo.add_command(commands)
    inspecting.add_commands(commands)
    redis_stats.add_command(commands)
    boards.add_command(commands)
    pack.add_command(commands)
    exporter.add_command(commands)
    return parser


def _version() -> str:
    try:
        return metadata.version("routecache")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
