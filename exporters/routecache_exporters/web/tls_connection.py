"""One connection over TLS, from the first byte to the farewell.

The socket that was accepted stays what the server's books know (`connections.py`), and can hang up
on at any time: TLS runs over a duplicate of it. Shutting an `SSLSocket` down in one thread while
another is writing would make the rest of an answer leave unencrypted.
"""

import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from routecache_exporters.web.security import Policy
from routecache_exporters.web.tls import is_allowed

_HANDSHAKE: Final = b"\x16"  # how every TLS connection begins (RFC 8446, 5.1)
_TEXT: Final = b"This port speaks HTTPS. Use https:// in front of the address.\n"
NOT_TLS: Final = (
    b"HTTP/1.0 400 Bad Request\r\nServer: routecache\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_TEXT), _TEXT)
"""The answer to a client that speaks plain HTTP to a TLS port."""

_log = logging.getLogger("routecache.exporters")


@contextlib.contextmanager
def spoken(raw: socket.socket, policy: Policy, timeout: float) -> Iterator[ssl.SSLSocket | None]:
    """TLS over `raw` after its handshake, or None if the client may not or cannot go on.

    timeout: seconds that one step may take; who bounds the whole shuts `raw` down.
    """
    assert policy.context is not None
    first = raw.recv(1, socket.MSG_PEEK)
    if first != _HANDSHAKE:
        if first:
            raw.send(NOT_TLS)  # a new socket's buffer has room for it
        yield None
        return
    with raw.dup() as duplicate:
        duplicate.settimeout(timeout)
        with policy.context.wrap_socket(
            duplicate, server_side=True, do_handshake_on_connect=False
        ) as tls:
            yield tls if _shaken(tls, policy) else None
            _farewell(tls)


def _shaken(tls: ssl.SSLSocket, policy: Policy) -> bool:
    try:
        tls.do_handshake()
    except ssl.SSLError as error:
        _log.debug("a TLS handshake failed: %s", error.reason)
        return False
    except OSError as error:
        _log.debug("a TLS handshake ended with %s", type(error).__name__)
        return False
    if policy.allowed_sans is None or is_allowed(tls.getpeercert(), policy.allowed_sans):
        return True
    _log.debug("a client's certificate has none of the allowed names")
    return False


def _farewell(tls: ssl.SSLSocket) -> None:
    """Say that nothing follows, so that nobody takes a cut connection for the end; do not wait."""
    with contextlib.suppress(OSError, ValueError):
        tls.settimeout(0)
        tls.unwrap()
