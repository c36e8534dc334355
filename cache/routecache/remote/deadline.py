"""A socket that cannot outlast its call.

A socket time-out bounds one `recv`, and a reply can take any number of them: with 50 ms set, a
server dripping bytes held one GET of redis-py for 3.24 s. So each receive and send gets what is
left of the call's one deadline. redis-py's `_connect` is the hook that its own TCP, TLS and Unix
connections override; a test with a dripping server watches over it.
"""

import math
import socket
import time
from typing import Any


class DeadlineSocket:
    """Wraps a connected socket (plain, TLS or Unix) and gives each I/O call the time left."""

    __slots__ = ("_sock", "deadline")

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self.deadline = deadline

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline passed")
        self._sock.settimeout(None if left == math.inf else left)

    def recv_into(self, *args: Any) -> int:
        """As socket.recv_into, within the deadline."""
        self._arm()
        return self._sock.recv_into(*args)

    def recv(self, *args: Any) -> bytes:
        """As socket.recv, within the deadline."""
        self._arm()
        return self._sock.recv(*args)

    def sendall(self, data: Any) -> None:
        """As socket.sendall, within the deadline."""
        self._arm()
        self._sock.sendall(data)

    def settimeout(self, value: float | None) -> None:
        """Ignored: the deadline alone decides."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class DeadlineConnection:
    """Mixin for redis-py connection classes: `set_deadline` bounds all I/O until the next one."""

    _deadline = math.inf
    _wrapped: DeadlineSocket | None = None
    idle_since = 0.0

    def set_deadline(self, deadline: float) -> None:
        """Bound what follows by `deadline`, in seconds of `time.monotonic`."""
        self._deadline = deadline
        if self._wrapped is not None:
            self._wrapped.deadline = deadline

    def _connect(self) -> DeadlineSocket:
        sock = super()._connect()  # type: ignore[misc]  # the redis-py class in the MRO has it
        self._wrapped = DeadlineSocket(sock, self._deadline)
        return self._wrapped


def with_deadline(connection_class: type) -> type:
    """`connection_class`, a redis-py connection class, with DeadlineConnection mixed in."""
    if issubclass(connection_class, DeadlineConnection):
        return connection_class
    return type(f"Deadline{connection_class.__name__}", (DeadlineConnection, connection_class), {})
