"""`--web.listen-address` and `--web.config.file`, as every exporter of Prometheus has them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import disable_created_metrics

from routecache.errors import ConfigurationError
from routecache_exporters.http import DEFAULT_ADDR, DEFAULT_PORT, DEFAULT_TIMEOUT
from routecache_exporters.usage import UsageError
from routecache_exporters.web.core import Site
from routecache_exporters.web.listen import ListenError, parse_address
from routecache_exporters.web.server import ExporterServer, serve

LISTEN_FLAG = "--web.listen-address"
CONFIG_FLAG = "--web.config.file"
DEFAULT_LISTEN = f"{DEFAULT_ADDR}:{DEFAULT_PORT}"

_LISTEN_HELP = """\
serve /metrics there: host:port, :port for every interface, [::1]:port or unix:///path; may be given
several times (default 127.0.0.1:9464)"""

_CONFIG_HELP = """\
TLS, users, headers and a rate limit, in the format of Prometheus' exporter-toolkit (docs/web.md)"""


def add_listen_option(container: argparse._ActionsContainer) -> None:
    """Add `--web.listen-address`, as `args.listen`: a list, or None."""
    container.add_argument(
        LISTEN_FLAG,
        dest="listen",
        type=_address,
        action="append",
        metavar="ADDRESS",
        help=_LISTEN_HELP,
    )


def add_config_option(container: argparse._ActionsContainer) -> None:
    """Add `--web.config.file`, as `args.web_config`."""
    container.add_argument(
        CONFIG_FLAG, dest="web_config", type=Path, metavar="FILE", help=_CONFIG_HELP
    )


def start_server(
    listen: Sequence[str], config_file: Path | None, site: Site | None = None
) -> ExporterServer:
    """Serve on all of `listen`.

    site: what to serve; None is this process's global registry.

    Raises:
        UsageError: an address cannot be listened on.
        ConfigurationError: the file cannot be used.
    """
    # These processes are our own, so nobody else's metrics are concerned.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    addresses = [parse_address(text) for text in listen]
    try:
        return serve(
            Site() if site is None else site,
            addresses,
            timeout=DEFAULT_TIMEOUT,
            config_file=config_file,
        )
    except ListenError as error:
        raise UsageError(f"{error} ({LISTEN_FLAG} chooses)") from None


def metrics_at(url: str) -> str:
    """Where /metrics is, for people: a Unix socket has no place for the page's path."""
    return f"/metrics on {url}" if url.startswith("unix:") else f"{url}/metrics"


def _address(text: str) -> str:
    try:
        parse_address(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
