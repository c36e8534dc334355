"""`routecache demo`."""

import argparse
import math
import sys
from pathlib import Path

from routecache_exporters.demo.run import PREFIX, Options, run_demo
from routecache_exporters.demo.sample import write_sample
from routecache_exporters.inspecting.command import prefix
from routecache_exporters.ports import port_number
from routecache_exporters.usage import Commands, UsageError
from routecache_exporters.weboptions import CONFIG_FLAG, add_config_option, add_listen_option

MIN_OUTAGE_SECONDS = 90.0
"""A shorter run has no room for an outage, its alert and the alert's end."""

_DESCRIPTION = """\
Replay a sample log through a RoutingCache with a Redis of its own (or the one that REDIS_URL
names), serve /metrics, and start Prometheus and Alertmanager with the repository's own
configuration if they are on PATH. Ctrl-C or SIGTERM stops all that was started."""


def add_command(commands: Commands) -> None:
    """Add `demo` to the subcommands."""
    parser = commands.add_parser(
        "demo", help="run a router, its caches and their monitoring", description=_DESCRIPTION,
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument("--seconds", type=_seconds, metavar="N", help="end after N seconds")
    parser.add_argument(
        "--outage",
        action="store_true",
        help="stop Redis for a while and start it again on its data, so that alerts fire and "
        f"resolve (with --seconds: at least {MIN_OUTAGE_SECONDS:g})",
    )
    parser.add_argument(
        "--prefix",
        type=prefix,
        metavar="PREFIX",
        help="what its keys in Redis begin with (default: routing: in a Redis of its own, "
        f"{PREFIX} in that of REDIS_URL, so that no router routes by the demo's answers)",
    )
    parser.add_argument(
        "--router-only", action="store_true", help="start no Prometheus and no Alertmanager"
    )
    address = parser.add_mutually_exclusive_group()
    address.add_argument(
        "--port", type=port_number, help="serve /metrics on this port (default 9464, 0: a free one)"
    )
    add_listen_option(address)
    add_config_option(parser)
    parser.add_argument(
        "--prometheus-port", type=port_number, metavar="PORT", help="default 9090, 0: a free one"
    )
    parser.add_argument(
        "--alertmanager-port", type=port_number, metavar="PORT", help="default 9093, 0: a free one"
    )
    parser.add_argument(
        "--write-sample",
        type=Path,
        metavar="FILE",
        help="only write the sample log as CSV, fit for `routecache replay`",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo; the exit code is 0, or 1 when a look-up raised or answered wrong."""
    if args.write_sample is not None:
        _write_sample(args.write_sample)
        return 0
    if args.outage and args.seconds is not None and args.seconds < MIN_OUTAGE_SECONDS:
        raise UsageError(
            f"--outage needs --seconds of at least {MIN_OUTAGE_SECONDS:g}: the alert has to fire "
            f"and to resolve"
        )
    if args.web_config is not None and not args.router_only:
        raise UsageError(
            f"{CONFIG_FLAG} needs --router-only: the demo's own Prometheus scrapes without TLS "
            "and without a password"
        )
    return run_demo(
        Options(
            seconds=args.seconds,
            outage=args.outage,
            router_only=args.router_only,
            prefix=args.prefix,
            listen=args.listen,
            web_config=args.web_config,
            port=args.port,
            prometheus_port=args.prometheus_port,
            alertmanager_port=args.alertmanager_port,
        ),
        sys.stdout,
    )


def _write_sample(path: Path) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            write_sample(stream)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    print(f"wrote {path}: try `routecache replay {path}`")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
