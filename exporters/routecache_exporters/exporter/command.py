"""`routecache exporter`."""

import argparse
import os
import sys
from pathlib import Path

from prometheus_client.core import CollectorRegistry

from routecache import multiprocess
from routecache.errors import ConfigurationError
from routecache.multiprocess.survey import checked
from routecache_exporters.signals import stop_on_signals
from routecache_exporters.usage import Commands, UsageError
from routecache_exporters.web.core import Site
from routecache_exporters.weboptions import (
    DEFAULT_LISTEN,
    add_config_option,
    add_listen_option,
    start_server,
)

_DESCRIPTION = """\
Serve /metrics, /stats.json and the status page of all workers of a directory in a process of its
own until SIGINT or SIGTERM. Addresses, TLS and users are given as to any exporter of Prometheus."""

_DIRECTORY_FLAG = "--multiproc-dir"
_DIRECTORY_HELP = f"""\
the directory that the workers count in, see docs/workers.md (default: what
{multiprocess.DIRECTORY_VARIABLE} names)"""


def add_command(commands: Commands) -> None:
    """Add `exporter` to the subcommands."""
    parser = commands.add_parser(
        "exporter", help="serve /metrics in a process of its own", description=_DESCRIPTION,
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument(_DIRECTORY_FLAG, type=Path, metavar="DIR", help=_DIRECTORY_HELP)
    add_listen_option(parser)
    add_config_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes; the exit code is 0."""
    served = site(args)
    with (
        stop_on_signals() as stop,
        start_server(args.listen or [DEFAULT_LISTEN], args.web_config, served) as server,
    ):
        served.watch()
        for url in server.urls:
            print(f"listening on {url}", file=sys.stderr, flush=True)
        stop.wait()
    return 0


def site(args: argparse.Namespace) -> Site:
    """What is served: the pages over all workers of the directory that `args` or the environment
    names.

    Raises:
        UsageError: there is none, or it is not one to read.
    """
    directory = args.multiproc_dir or os.environ.get(multiprocess.DIRECTORY_VARIABLE)
    if not directory:
        raise UsageError(
            "a routecache exporter of its own has no caches to tell of: name the directory that "
            f"the workers count in with {_DIRECTORY_FLAG} or {multiprocess.DIRECTORY_VARIABLE}"
        )
    try:
        return Site(CollectorRegistry(), workers=checked(Path(directory)))
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
