"""The exporter's web surface: a server for programs that have none, and apps for those that do.

Every variant serves the same pages:

    /            the status page, for people
    /metrics     OpenMetrics or the classic text format, whichever the client prefers; gzip;
                 `?name[]=` limits the answer to the named series
    /stats.json  the performance metrics (docs/stats-json.md); `?history` adds the last minutes
    /-/healthy   200 while the exporter runs
    /-/ready     200 once `ready` says so, 503 before

    /hooks/alertmanager   POST only, with an `AlertmanagerHook`: alerts become health reports

Anything else is 404, and any method but GET and HEAD is 405.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from wsgiref.types import WSGIApplication

from prometheus_client.core import CollectorRegistry

from routecache.errors import ConfigurationError
from routecache_exporters.web.alertmanager import AlertmanagerHook
from routecache_exporters.web.answers import Response
from routecache_exporters.web.asgi import ASGIApplication, asgi_app, beside_asgi
from routecache_exporters.web.core import Ready, Site
from routecache_exporters.web.listen import ListenError, parse_address, tcp_address
from routecache_exporters.web.server import ExporterServer, serve
from routecache_exporters.web.wsgi import beside_wsgi, wsgi_app

__all__ = [
    "ASGIApplication",
    "AlertmanagerHook",
    "ExporterServer",
    "ListenError",
    "Ready",
    "Response",
    "Site",
    "make_asgi_app",
    "make_wsgi_app",
    "mount_asgi",
    "mount_wsgi",
    "start_http_server",
]

DEFAULT_ADDR: Final = "127.0.0.1"
DEFAULT_PORT: Final = 9464
DEFAULT_TIMEOUT: Final = 10.0


def start_http_server(
    addr: str = DEFAULT_ADDR,
    port: int = DEFAULT_PORT,
    *,
    listen: str | Sequence[str] = (),
    config_file: str | os.PathLike[str] | None = None,
    registry: CollectorRegistry | None = None,
    ready: Ready | None = None,
    alertmanager: AlertmanagerHook | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> ExporterServer:
    """Serve the pages from daemon threads of this process, one for each address.

    addr: an IPv4 or IPv6 address or a host name. The default is this machine only; "0.0.0.0" or
        "::" is every interface, and whoever reaches the port can read the metrics.
    port: 0 picks a free one, which the returned server tells.
    listen: addresses instead of `addr` and `port`, each as `--web.listen-address` takes it:
        "host:port", ":port" for every interface, "[::1]:port", "unix:///path".
    config_file: a web configuration file in the format of Prometheus' exporter-toolkit, for TLS,
        client certificates, users, headers and a rate limit; docs/web.md has its keys. It is read
        anew as it changes. Needs `routecache[web]`.
    registry: what /metrics serves, to which routecache's metrics are added unless they are there;
        None is prometheus_client's global registry, with the program's own metrics.
    ready: called by /-/ready, from any thread; None is always ready.
    alertmanager: takes Alertmanager's messages, from who has the hook's own token, or without one
        a password of `config_file`; docs/health.md.
    timeout: seconds that a client may take for one exchange in all; for the TLS handshake and the
        head of its request it has 2.5 of them. When all 32 connections are taken, the longest idle
        one makes room; if none is idle, the newcomer is answered 503.

    Returns a server to close, or to leave running until the process ends. Raises ListenError (an
    OSError) if an address cannot be listened on, and ConfigurationError if an argument makes no
    sense or the file cannot be used. Safe for threads and tasks.
    """
    texts = [listen] if isinstance(listen, str) else listen
    addresses = [parse_address(text) for text in texts] or [tcp_address(addr, port)]
    if texts and (addr, port) != (DEFAULT_ADDR, DEFAULT_PORT):
        raise ConfigurationError("give either addr and port or listen, not both")
    site = Site(registry, ready=ready, alertmanager=alertmanager)
    server = serve(
        site,
        addresses,
        timeout=timeout,
        config_file=None if config_file is None else Path(config_file),
    )
    site.watch()
    return server


def make_wsgi_app(
    registry: CollectorRegistry | None = None,
    *,
    ready: Ready | None = None,
    alertmanager: AlertmanagerHook | None = None,
) -> WSGIApplication:
    """The pages as a WSGI application, to be mounted at any path.

    The arguments are those of `start_http_server`. Safe for threads.
    """
    return wsgi_app(Site(registry, ready=ready, alertmanager=alertmanager))


def make_asgi_app(
    registry: CollectorRegistry | None = None,
    *,
    ready: Ready | None = None,
    alertmanager: AlertmanagerHook | None = None,
) -> ASGIApplication:
    """The pages as an ASGI application for asyncio servers, to be mounted at any path.

    The arguments are those of `start_http_server`. Pages are made in threads, so that a scrape
    does not hold up the event loop. Safe for tasks.
    """
    return asgi_app(Site(registry, ready=ready, alertmanager=alertmanager))


def mount_wsgi(
    app: WSGIApplication,
    path: str = "/ops",
    *,
    registry: CollectorRegistry | None = None,
    ready: Ready | None = None,
    alertmanager: AlertmanagerHook | None = None,
) -> WSGIApplication:
    """A WSGI application, such as Flask's or Django's, with the pages added at `path`.

    app: what answers everywhere else.
    path: begins with a slash and does not end with one.

    The other arguments are those of `start_http_server`. Raises ConfigurationError if `path` is
    none. Safe for threads.
    """
    return beside_wsgi(
        app, make_wsgi_app(registry, ready=ready, alertmanager=alertmanager), _checked(path)
    )


def mount_asgi(
    app: ASGIApplication,
    path: str = "/ops",
    *,
    registry: CollectorRegistry | None = None,
    ready: Ready | None = None,
    alertmanager: AlertmanagerHook | None = None,
) -> ASGIApplication:
    """An ASGI application, such as Django's, with the pages added at `path`.

    app: what answers everywhere else, web sockets and the lifespan included.
    path: begins with a slash and does not end with one.

    The other arguments are those of `start_http_server`. Raises ConfigurationError if `path` is
    none. Safe for tasks.
    """
    return beside_asgi(
        app, make_asgi_app(registry, ready=ready, alertmanager=alertmanager), _checked(path)
    )


def _checked(path: str) -> str:
    if not path.startswith("/") or path.endswith("/"):
        raise ConfigurationError(f"path={path!r}: give one like /ops, without a slash at the end")
    return path
