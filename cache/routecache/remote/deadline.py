"""A socket that cannot outlast its call, and that knows whose fault it is when it tries.

A socket time-out bounds one `recv`, and a reply can take any number of them: with 50 ms set, a
server dripping bytes held one GET of redis-py for 3.24 s. So each receive and send gets what is
left of the call's one deadline. redis-py's `_connect` is the hook that its own TCP, TLS and Unix
connections override; a test with a dripping server watches over it.

A deadline can also pass because this process was scheduled late: 64 threads that ask at once wait
for the GIL longer than for Redis. So at the deadline the kernel is asked what came meanwhile. What
is there is read, for a few milliseconds more. Only a server that gave nothing to read in its fair
share of the call timed out; anything else is a RemoteError of kind "pool", this process's own.
"""

import math
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

from routecache.errors import RemoteError

T = TypeVar("T")

_GRACE = 0.003  # seconds of reading what has come already
# A server has had its chance after 10 ms, or half of a shorter call, but not within 1 ms.
_FAIR = 0.01
_LEAST = 0.001


class DeadlineSocket:
    """Wraps a connected socket (plain, TLS or Unix) and gives each I/O call the time left."""

    __slots__ = ("_asked_at", "_began", "_deadline", "_grace_until", "_sock")

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self.set_deadline(deadline, time.monotonic())

    def set_deadline(self, deadline: float, began: float) -> None:
        """A call that began at `began` ends at `deadline`, in seconds of `time.monotonic`."""
        self._deadline = deadline
        self._began = self._asked_at = began
        self._grace_until = math.inf

    def recv_into(self, *args: Any) -> int:
        """As socket.recv_into, within the deadline."""
        return self._receive(self._sock.recv_into, args)

    def recv(self, *args: Any) -> bytes:
        """As socket.recv, within the deadline."""
        return self._receive(self._sock.recv, args)

    def sendall(self, data: Any) -> None:
        """As socket.sendall, within the deadline."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise RemoteError("pool")
        self._sock.settimeout(None if left == math.inf else left)
        self._sock.sendall(data)
        self._asked_at = time.monotonic()

    def settimeout(self, value: float | None) -> None:
        """Ignored: the deadline alone decides."""

    def _receive(self, receive: Callable[..., T], args: tuple[Any, ...]) -> T:
        left = self._deadline - time.monotonic()
        if left > 0:
            self._sock.settimeout(None if left == math.inf else left)
            try:
                return receive(*args)
            except TimeoutError:
                pass
        now = time.monotonic()
        if self._grace_until == math.inf:
            self._grace_until = now + _GRACE
        elif now > self._grace_until:
            raise RemoteError("pool")  # there is more to read than this process gets to
        self._sock.settimeout(0)
        try:
            return receive(*args)
        except (BlockingIOError, ssl.SSLWantReadError):
            fair = max(_LEAST, min(_FAIR, (self._deadline - self._began) / 2))
            if time.monotonic() - self._asked_at < fair:
                raise RemoteError("pool") from None
            raise TimeoutError("the server was silent") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class DeadlineConnection:
    """Mixin for redis-py connection classes: `set_deadline` bounds all I/O until the next one."""

    _deadline = math.inf
    _wrapped: DeadlineSocket | None = None
    idle_since = 0.0
    generation = 0

    def set_deadline(self, deadline: float, began: float) -> None:
        """Bound what follows by `deadline`; `began` is when its call did, in monotonic seconds."""
        self._deadline = deadline
        if self._wrapped is not None:
            self._wrapped.set_deadline(deadline, began)

    def _connect(self) -> DeadlineSocket:
        sock = super()._connect()  # type: ignore[misc]  # the redis-py class in the MRO has it
        self._wrapped = DeadlineSocket(sock, self._deadline)
        return self._wrapped


def with_deadline(connection_class: type) -> type:
    """`connection_class`, a redis-py connection class, with DeadlineConnection mixed in."""
    if issubclass(connection_class, DeadlineConnection):
        return connection_class
    return type(f"Deadline{connection_class.__name__}", (DeadlineConnection, connection_class), {})
