"""A small HTTP server for programs that have none: the standard library's, one thread per request.

It speaks HTTP/1.0 and closes after each answer, which costs a scrape well under a millisecond and
keeps every connection short. A client has `HEAD_SECONDS` for the head of its request, the TLS
handshake included, and `timeout` seconds for the whole exchange, however it spreads them, and there
are never more than `MAX_CONNECTIONS` at once (`connections.py`), so nobody can pile up threads by
being slow, nor shut others out by being idle. Handshakes run in the connection's own thread; the
loop that accepts never reads.
"""

import contextlib
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseRequestHandler, BaseServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote

from routecache import forking
from routecache.errors import ConfigurationError
from routecache.typing import Timer
from routecache_exporters.web.connections import Connections, Parting
from routecache_exporters.web.core import Site, fold_headers
from routecache_exporters.web.listen import Address, Listener, listen
from routecache_exporters.web.security import Policy, Security
from routecache_exporters.web.tls_connection import spoken

MAX_CONNECTIONS: Final = 32
"""Slots, over all addresses. Two Prometheus servers, an agent and a few people need a quarter of
them at worst, and 32 threads that wait cost a program next to nothing."""

HEAD_SECONDS: Final = 2.5
"""For the head of a request. It fits one packet, and a client sends it as soon as it is connected;
TCP sends a lost packet again after 0.2 to 1 s, so that even two losses in a row are forgiven."""

_MAX_REFUSALS: Final = 8  # clients who are told over TLS that all slots are taken
_POLL: Final = 0.1  # seconds between looks at deadlines and at whether to stop

_ABSOLUTE: Final = re.compile("https?://[^/?#]*", re.IGNORECASE)
_BUSY_TEXT: Final = b"All connections of the exporter are in use. Try again.\n"
_BUSY: Final = (
    b"HTTP/1.0 503 Service Unavailable\r\nServer: routecache\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nRetry-After: 1\r\n\r\n%b"
) % (len(_BUSY_TEXT), _BUSY_TEXT)

_log = logging.getLogger("routecache.exporters")


class _Shared:
    """What the listeners of one exporter have in common."""

    def __init__(self, site: Site, security: Security | None, timeout: float, timer: Timer) -> None:
        self.site = site
        self.security = security
        self.timeout = timeout
        self.connections = Connections(MAX_CONNECTIONS, HEAD_SECONDS, timeout, timer)
        # Over TLS even a refusal takes a handshake and so a thread, of which there are few.
        self.refusals = Connections(_MAX_REFUSALS, HEAD_SECONDS, HEAD_SECONDS, timer)
        self.parting = Parting(timer)
        self.tls = security is not None and bool(security.tls)

    def policy(self) -> Policy:
        return Policy() if self.security is None else self.security.current()


class _Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # headers and body leave together
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d\n"  # without the default's echo of the request

    def __init__(self, sock: Any, server: "_Server", raw: Any, policy: Policy) -> None:
        self._raw = raw  # the accepted socket; `sock` may be TLS over it
        self._shared = server.shared
        self._policy = policy
        super().__init__(sock, ("", 0), server)

    def __getattr__(self, name: str) -> Callable[[], None]:
        # http.server looks for do_<METHOD>; which methods there are is the site's decision.
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        headers = fold_headers(self.headers.items())
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if not self._shared.connections.answering(self._raw, unread=has_body):
            return
        path, query = _split(self.path)
        security, site = self._shared.security, self._shared.site
        read = self.rfile.read if site.takes_body(self.command, path) else None
        if security is None:
            response = site.respond(self.command, path, headers, query, read=read)
        else:
            response = security.respond(
                self._policy, site, self.command, path, headers, query, read
            )
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        # The base's own refusals, of heads that are too long or make no sense; more may come.
        if self._shared.connections.answering(self._raw, unread=True):
            super().send_error(code, message, explain)

    def version_string(self) -> str:
        return "routecache"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as in the base
        """An access log of scrapes tells nobody anything."""


class _Server(ThreadingMixIn, BaseServer):
    """One listener; the books are shared."""

    daemon_threads = True

    def __init__(self, listener: Listener, shared: _Shared) -> None:
        self.shared = shared
        self._listener = listener
        # `finish_request` makes the handler, which needs more than the base hands on.
        super().__init__((listener.host, listener.port), BaseRequestHandler)

    def fileno(self) -> int:
        return self._listener.sock.fileno()

    def get_request(self) -> tuple[Any, Any]:
        return self._listener.sock.accept()

    def process_request(self, request: Any, client_address: Any) -> None:
        shared = self.shared
        request.settimeout(shared.timeout)  # for what is still open when the server is closed
        if shared.connections.admit(request) or (shared.tls and shared.refusals.admit(request)):
            super().process_request(request, client_address)
            return
        if not shared.tls:
            with contextlib.suppress(OSError):
                request.send(_BUSY)  # a new socket's buffer has room for it
        shared.parting.add(request)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        policy = self.shared.policy()
        if policy.context is None:
            _Handler(request, self, request, policy)
            return
        with spoken(request, policy, self.shared.timeout) as tls:
            refused = request in self.shared.refusals
            if refused and tls is not None:
                tls.sendall(_BUSY)
            if refused or tls is None:
                # The client may be sending, and has an alert or an answer to read.
                books = self.shared.refusals if refused else self.shared.connections
                books.answering(request, unread=True)
            else:
                _Handler(tls, self, request, policy)

    def shutdown_request(self, request: Any) -> None:
        unread = self.shared.connections.leave(request)
        if self.shared.refusals.leave(request) or unread:
            self.shared.parting.add(request)
            return
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
        request.close()

    def service_actions(self) -> None:
        # Runs between requests.
        self.shared.connections.hang_up_late()
        self.shared.refusals.hang_up_late()
        self.shared.parting.look()

    def server_close(self) -> None:
        self._listener.close()

    def let_go(self) -> None:
        """Close this process's copy of a listener that another one serves."""
        self._listener.sock.close()

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
    machine reaches it, without a slash at the end. With several addresses these are the first's,
    and `urls` has them all; for a Unix socket `addr` is its path, `port` 0, and the URL
    `unix:///path`.

    Safe for threads. A forked child does not serve: its copy of the socket is closed.
    """

    def __init__(self, listeners: Sequence[Listener], shared: _Shared) -> None:
        self.addr, self.port = listeners[0].host, listeners[0].port
        scheme = "https" if shared.tls else "http"
        self.urls = tuple(listener.url(scheme) for listener in listeners)
        self.url = self.urls[0]
        self._shared = shared
        self._servers = [_Server(listener, shared) for listener in listeners]
        self._closed = False
        self._threads = [
            threading.Thread(
                target=server.serve_forever, args=(_POLL,), name="routecache-exporter", daemon=True
            )
            for server in self._servers
        ]
        for thread in self._threads:
            thread.start()
        forking.reset_in_child(self)

    def close(self) -> None:
        """Stop listening and free the port; returns within about 0.1 s. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
        self._shared.parting.close()
        self._shared.connections.stop_reading()
        self._shared.refusals.stop_reading()
        self._shared.site.rest()

    def reset_after_fork(self) -> None:
        """Let go of the parent's socket; the thread that served it does not exist here."""
        self._closed = True
        for server in self._servers:
            server.let_go()

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
    site: Site,
    addresses: Sequence[Address],
    *,
    timeout: float,
    timer: Timer = time.monotonic,
    config_file: Path | None = None,
) -> ExporterServer:
    """Serve `site` in daemon threads, one for each of `addresses`.

    timeout: seconds that one exchange may take in all, sending the answer included.
    config_file: a web configuration file, for TLS, users and the rest; read anew as it changes.

    Raises ConfigurationError if `timeout` is no number or out of range or the file cannot be used,
    and ListenError, an OSError, if an address cannot be listened on.
    """
    _check(timeout)
    security = None if config_file is None else Security(config_file, timer)
    listeners: list[Listener] = []
    try:
        for address in addresses:
            listeners.append(listen(address, MAX_CONNECTIONS))  # noqa: PERF401  # closed on error
        return ExporterServer(listeners, _Shared(site, security, timeout, timer))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise


def _check(timeout: object) -> None:
    if (
        isinstance(timeout, bool)
        or not isinstance(timeout, (int, float))
        or not 0 < timeout <= threading.TIMEOUT_MAX
    ):
        raise ConfigurationError(f"timeout={timeout!r}: give a number of seconds above 0")
