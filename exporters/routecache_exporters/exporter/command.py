"""`routecache exporter`."""

import argparse
import sys

from prometheus_client.core import CollectorRegistry

from routecache_exporters.signals import stop_on_signals
from routecache_exporters.usage import Commands
from routecache_exporters.web.core import Site
from routecache_exporters.weboptions import (
    DEFAULT_LISTEN,
    add_config_option,
    add_listen_option,
    start_server,
)

_DESCRIPTION = """\
Serve /metrics in a process of its own until SIGINT or SIGTERM. Addresses, TLS and users are given
as to any exporter of Prometheus."""


def add_command(commands: Commands) -> None:
    """Add `exporter` to the subcommands."""
    parser = commands.add_parser(
        "exporter", help="serve /metrics in a process of its own", description=_DESCRIPTION,
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    add_listen_option(parser)
    add_config_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes; the exit code is 0."""
    with (
        stop_on_signals() as stop,
        start_server(args.listen or [DEFAULT_LISTEN], args.web_config, site(args)) as server,
    ):
        for url in server.urls:
            print(f"listening on {url}", file=sys.stderr, flush=True)
        stop.wait()
    return 0


def site(args: argparse.Namespace) -> Site:  # noqa: ARG001  # its options are to come
    """What is served: the pages over the caches that `args` ask for.

    Today these are the caches of the exporter's own process.
    """
    return Site(CollectorRegistry())
