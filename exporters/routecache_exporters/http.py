"""The exporter's web surface: a server for programs that have none, and apps for those that do.

Every variant serves the same pages:

    /            a landing page for people
    /metrics     OpenMetrics or the classic text format, whichever the client prefers; gzip;
                 `?name[]=` limits the answer to the named series
    /-/healthy   200 while the exporter runs
    /-/ready     200 once `ready` says so, 503 before

Anything else is 404, and any method but GET and HEAD is 405.
"""

from typing import Final
from wsgiref.types import WSGIApplication

from prometheus_client.core import CollectorRegistry

from routecache_exporters.web.asgi import ASGIApplication, asgi_app
from routecache_exporters.web.core import Ready, Response, Site
from routecache_exporters.web.server import ExporterServer, ListenError, serve
from routecache_exporters.web.wsgi import wsgi_app

__all__ = [
    "ASGIApplication",
    "ExporterServer",
    "ListenError",
    "Ready",
    "Response",
    "Site",
    "make_asgi_app",
    "make_wsgi_app",
    "start_http_server",
]

DEFAULT_PORT: Final = 9464


def start_http_server(
    addr: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    registry: CollectorRegistry | None = None,
    ready: Ready | None = None,
    timeout: float = 10.0,
) -> ExporterServer:
    """Serve the pages from a daemon thread of this process.

    addr: an IPv4 or IPv6 address or a host name. The default is this machine only; "0.0.0.0" or
        "::" is every interface, and whoever reaches the port can read the metrics.
    port: 0 picks a free one, which the returned server tells.
    registry: what /metrics serves, to which routecache's metrics are added unless they are there;
        None is prometheus_client's global registry, with the program's own metrics.
    ready: called by /-/ready, from any thread; None is always ready.
    timeout: seconds that a client may take for one exchange in all; for the head of its request
        it has 2.5 of them. When all 32 connections are taken, the longest idle one makes room; if
        none is idle, the newcomer is answered 503.

    Returns a server to close, or to leave running until the process ends. Raises ListenError (an
    OSError) if the address cannot be listened on, and ConfigurationError if `port` or
    `timeout` is no number or out of range. Safe for threads and tasks.
    """
    return serve(Site(registry, ready=ready), addr, port, timeout=timeout)


def make_wsgi_app(
    registry: CollectorRegistry | None = None, *, ready: Ready | None = None
) -> WSGIApplication:
    """The pages as a WSGI application, to be mounted at any path.

    The arguments are those of `start_http_server`. Safe for threads.
    """
    return wsgi_app(Site(registry, ready=ready))


def make_asgi_app(
    registry: CollectorRegistry | None = None, *, ready: Ready | None = None
) -> ASGIApplication:
    """The pages as an ASGI application for asyncio servers, to be mounted at any path.

    The arguments are those of `start_http_server`. Pages are made in threads, so that a scrape
    does not hold up the event loop. Safe for tasks.
    """
    return asgi_app(Site(registry, ready=ready))
