"""Where the exporter listens: addresses as text, and sockets bound to them.

An address is `host:port`, `:port` for every interface, `[::1]:port`, or `unix:///path`.
"""

import contextlib
import errno
import os
import re
import socket
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from routecache.errors import CacheError, ConfigurationError

_UNIX: Final = "unix://"
_UNIX_MODE: Final = 0o660  # owner and group; a path of everybody's is for the operator to open
_REACHED_AT: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # bound elsewhere
_HOST_PORT: Final = re.compile(
    r"(?:\[(?P<v6>[^\[\]/]+)\]|(?P<host>[^\[\]:/]*)):(?P<port>\d{1,5})", re.ASCII
)


class ListenError(CacheError, OSError):
    """The exporter cannot listen on the given address; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """A host, "" for every interface, and a port, 0 for a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket."""

    path: str


Address: TypeAlias = TCPAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Read one address.

    Raises ConfigurationError, which says what addresses look like.
    """
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if path.startswith("/") and "\0" not in path and not path.endswith("/"):
            return UnixAddress(path)
    elif match := _HOST_PORT.fullmatch(text):
        port = int(match["port"])
        if port <= 65535:
            return TCPAddress(match["v6"] or match["host"] or "", port)
    raise ConfigurationError(
        f"{text!r} is no address to listen on: give host:port, :port for every interface, "
        f"[::1]:port, or unix:///path"
    )


def tcp_address(host: str, port: object) -> TCPAddress:
    """The address of a host and a port that come apart.

    Raises ConfigurationError if `port` is no number or out of range.
    """
    # A bool is an int to Python: port=True would ask for port 1.
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigurationError(
            f"port={port!r}: give a whole number from 0 (picks a free port) to 65535"
        )
    return TCPAddress(host, port)


@dataclass(slots=True)
class Listener:
    """A bound socket that listens.

    host, port: what it is bound to; the path and 0 for a Unix socket.
    reached: the address by which this machine reaches it, if `host` does not tell.
    """

    sock: socket.socket
    host: str
    port: int
    unix: tuple[int, int] | None = None
    reached: str | None = None

    def url(self, scheme: str) -> str:
        """Where this machine reaches it, without a slash at the end."""
        if self.unix is not None:
            return _UNIX + self.host
        host = self.reached or _REACHED_AT.get(self.host, self.host)
        return (
            f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"
        )

    def close(self) -> None:
        """Stop listening, and remove a Unix socket's file if it still is this one's."""
        self.sock.close()
        if self.unix is not None:
            with contextlib.suppress(OSError):
                if _identity(self.host) == self.unix:
                    os.unlink(self.host)


def listen(address: Address, backlog: int) -> Listener:
    """Bind and listen. Raises ListenError."""
    try:
        if isinstance(address, UnixAddress):
            return _listen_unix(address.path, backlog)
        return _listen_tcp(address, backlog)
    except OSError as error:
        raise ListenError(error.errno, _advice(error, address)) from error


def _listen_tcp(address: TCPAddress, backlog: int) -> Listener:
    host, both = address.host, False
    if not host:
        both = socket.has_dualstack_ipv6()
        host = "::" if both else "0.0.0.0"  # noqa: S104  # asked for
    family, _, _, _, where = socket.getaddrinfo(
        host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there the option would let two processes share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if both:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(where)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    bound: tuple[Any, ...] = sock.getsockname()
    # IPv6 may be switched off on this machine although sockets for it can be had.
    reached = "127.0.0.1" if both else None
    return Listener(sock, str(bound[0]), int(bound[1]), reached=reached)


def _listen_unix(path: str, backlog: int) -> Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_over(path)
        sock.bind(path)
        os.chmod(path, _UNIX_MODE)  # before anybody can connect
        sock.listen(backlog)
        return Listener(sock, path, 0, _identity(path))
    except BaseException:
        sock.close()
        raise


def _remove_left_over(path: str) -> None:
    """Remove the socket of a process that ended without doing so; nobody listens on it."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _advice(error: OSError, address: Address) -> str:
    if isinstance(address, UnixAddress):
        return _advice_unix(error, address.path)
    host, port = address.host, address.port
    where = f"cannot serve metrics on {host or 'every interface'} port {port}"
    if isinstance(error, socket.gaierror):
        return f"{where}: there is no address {host!r}; give an IP address or a known host name"
    if error.errno == errno.EADDRINUSE:
        advice = "stop what listens there or give another port (0 picks a free one)"
        return f"{where}: port {port} is taken; {advice}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine does not have the address {host}; 127.0.0.1 always works"
    if error.errno == errno.EACCES:
        return f"{where}: not permitted; give a port above 1023"
    return f"{where}: {error.strerror}"


def _advice_unix(error: OSError, path: str) -> str:
    where = f"cannot serve metrics on {_UNIX}{path}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: a process listens there; stop it or give another path"
    if error.errno == errno.EEXIST:
        return f"{where}: there is a file that is no socket; remove it or give another path"
    if error.errno == errno.ENOENT:
        return f"{where}: the folder {Path(path).parent} does not exist; make it first"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where}: not permitted; give a path in a folder that this user may write to"
    return f"{where}: {error.strerror or error}; give a shorter path"
