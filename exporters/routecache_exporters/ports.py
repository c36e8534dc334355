"""Which port to listen on, and what to say when it is taken."""

import errno
import socket
from argparse import ArgumentTypeError

from routecache_exporters.usage import UsageError

LOOPBACK = "127.0.0.1"


def choose_port(
    wanted: int | None, default: int, flag: str, addr: str = LOOPBACK
) -> tuple[int, str | None]:
    """The port to use and, when it is not the expected one, a line that says so.

    Args:
        wanted: the port that the user gave; 0 asks for a free one, None for the default.
        default: what to use when the user gave none; if it is taken, a free one is chosen.
        flag: the option by which the user can give another.
        addr: the local address to listen on.

    Raises:
        UsageError: the port that the user gave is taken or may not be used.
    """
    if wanted == 0:
        return _try(addr, 0), None
    try:
        return _try(addr, default if wanted is None else wanted), None
    except OSError as error:
        if wanted is not None:
            why = "taken" if error.errno == errno.EADDRINUSE else f"not usable ({error.strerror})"
            raise UsageError(
                f"port {wanted} on {addr} is {why}: give another with {flag}, or 0 for a free one"
            ) from None
        port = _try(addr, 0)
        return port, f"port {default} is taken, so {port} is used ({flag} chooses)"


def port_number(text: str) -> int:
    """Read a port from 0 to 65535, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _try(addr: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are only timing out is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((addr, port))
        probe.listen(1)
        chosen: int = probe.getsockname()[1]
        return chosen
