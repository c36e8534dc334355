"""A small HTTP server for programs that have none: the standard library's, one thread per request.

It speaks HTTP/1.0 and closes after each answer, which costs a scrape well under a millisecond and
keeps every connection short. A client has `HEAD_SECONDS` for the head of its request and `timeout`
seconds for the whole exchange, however it spreads them, and there are never more than
`MAX_CONNECTIONS` at once (`connections.py`), so nobody can pile up threads by being slow, nor
shut others out by being idle.
"""

import contextlib
import errno
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote

from routecache import forking
from routecache.errors import CacheError, ConfigurationError
from routecache.typing import Timer
from routecache_exporters.web.connections import Connections, Parting
from routecache_exporters.web.core import Site, fold_headers

MAX_CONNECTIONS: Final = 32
"""Slots. Two Prometheus servers, an agent and a few people need a quarter of them at worst, and
32 threads that wait cost a program next to nothing."""

HEAD_SECONDS: Final = 2.5
"""For the head of a request. It fits one packet, and a client sends it as soon as it is connected;
TCP sends a lost packet again after 0.2 to 1 s, so that even two losses in a row are forgiven."""

_REACHED_AT: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # bound elsewhere
_POLL: Final = 0.1  # seconds between looks at deadlines and at whether to stop

_ABSOLUTE: Final = re.compile("https?://[^/?#]*", re.IGNORECASE)
_BUSY_TEXT: Final = b"All connections of the exporter are in use. Try again.\n"
_BUSY: Final = (
    b"HTTP/1.0 503 Service Unavailable\r\nServer: routecache\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nRetry-After: 1\r\n\r\n%b"
) % (len(_BUSY_TEXT), _BUSY_TEXT)

_log = logging.getLogger("routecache.exporters")


class ListenError(CacheError, OSError):
    """The exporter cannot listen on the given address; the message says why and what to do."""


class _Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # headers and body leave together
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d\n"  # without the default's echo of the request

    def __getattr__(self, name: str) -> Callable[[], None]:
        # http.server looks for do_<METHOD>; which methods there are is the site's decision.
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        assert isinstance(self.server, _Server)
        headers = fold_headers(self.headers.items())
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if not self.server.connections.answering(self.connection, unread=has_body):
            return
        path, query = _split(self.path)
        response = self.server.site.respond(self.command, path, headers, query)
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        # The base's own refusals, of heads that are too long or make no sense; more may come.
        assert isinstance(self.server, _Server)
        if self.server.connections.answering(self.connection, unread=True):
            super().send_error(code, message, explain)

    def version_string(self) -> str:
        return "routecache"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as in the base
        """An access log of scrapes tells nobody anything."""


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    # Elsewhere the option would let two processes share the port.
    allow_reuse_address = sys.platform != "win32"
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self, family: int, address: tuple[Any, ...], site: Site, timeout: float, timer: Timer
    ) -> None:
        self.address_family = family
        self.site = site
        self.connections = Connections(MAX_CONNECTIONS, HEAD_SECONDS, timeout, timer)
        self._timeout = timeout
        self._parting = Parting(timer)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(self._timeout)  # for what is still open when the server is closed
        if self.connections.admit(request):
            super().process_request(request, client_address)
        else:
            with contextlib.suppress(OSError):
                request.send(_BUSY)  # a new socket's buffer has room for it
            self._parting.add(request)

    def shutdown_request(self, request: Any) -> None:
        if self.connections.leave(request):
            self._parting.add(request)
        else:
            super().shutdown_request(request)

    def service_actions(self) -> None:
        # Runs between requests.
        self.connections.hang_up_late()
        self._parting.look()

    def server_close(self) -> None:
        super().server_close()
        self._parting.close()
        self.connections.stop_reading()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        # Clients that go away are no news; a full traceback on stderr for each would be noise.
        _log.debug("an exchange ended with %s", type(sys.exception()).__name__)


def _split(target: str) -> tuple[str, str]:
    """The decoded path and the query of a request's target.

    In absolute form, which is for proxies but which every server has to take (RFC 9112, 3.2.2),
    the scheme and the host go: there is only one site here.
    """
    absolute = _ABSOLUTE.match(target)
    path, _, query = target[absolute.end() if absolute else 0 :].partition("?")
    return unquote(path), query


class ExporterServer:
    """A running exporter. Close it, or use it as a context manager; also safe to leave running.

    addr: the address it listens on. port: the port, also if 0 was asked for. url: where this
    machine reaches it, without a slash at the end.

    Safe for threads. A forked child does not serve: its copy of the socket is closed.
    """

    def __init__(self, server: _Server) -> None:
        self.addr = str(server.server_address[0])
        self.port = int(server.server_address[1])
        host = _REACHED_AT.get(self.addr, self.addr)
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self._server = server
        self._closed = False
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL,), name="routecache-exporter", daemon=True
        )
        self._thread.start()
        forking.reset_in_child(self)

    def close(self) -> None:
        """Stop listening and free the port; returns within about 0.1 s. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset_after_fork(self) -> None:
        """Let go of the parent's socket; the thread that served it does not exist here."""
        self._closed = True
        self._server.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(
    site: Site, addr: str, port: int, *, timeout: float, timer: Timer = time.monotonic
) -> ExporterServer:
    """Serve `site` in a daemon thread.

    addr: an IPv4 or IPv6 address or a host name. port: 0 picks a free one.
    timeout: seconds that one exchange may take in all, sending the answer included.

    Raises ConfigurationError if `port` or `timeout` is no number or out of range, and ListenError,
    an OSError, if the address cannot be listened on.
    """
    _check(port, timeout)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            addr, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return ExporterServer(_Server(family, address, site, timeout, timer))
    except OSError as error:
        raise ListenError(error.errno, _advice(error, addr, port)) from error


def _check(port: object, timeout: object) -> None:
    # A bool is an int to Python: port=True would ask for port 1.
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigurationError(
            f"port={port!r}: give a whole number from 0 (picks a free port) to 65535"
        )
    if (
        isinstance(timeout, bool)
        or not isinstance(timeout, (int, float))
        or not 0 < timeout <= threading.TIMEOUT_MAX
    ):
        raise ConfigurationError(f"timeout={timeout!r}: give a number of seconds above 0")


def _advice(error: OSError, addr: str, port: int) -> str:
    where = f"cannot serve metrics on {addr} port {port}"
    if isinstance(error, socket.gaierror):
        return f"{where}: there is no address {addr!r}; give an IP address or a known host name"
    if error.errno == errno.EADDRINUSE:
        advice = "stop what listens there or give another port (0 picks a free one)"
        return f"{where}: port {port} is taken; {advice}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine does not have the address {addr}; 127.0.0.1 always works"
    if error.errno == errno.EACCES:
        return f"{where}: not permitted; give a port above 1023"
    return f"{where}: {error.strerror}"
