"""The connections of the built-in server: who has a slot, until when, and who makes room.

A connection first waits for the head of its request, which a client that means it sends at once,
and is then answered. Who waits is hung up on when the time for a head is over, or earlier if all
slots are taken and somebody new comes, the longest waiting first. Who is being answered keeps the
slot until the whole exchange is out of time. Then the connection either closes or, if the client
may still be sending, parts: without a slot or a thread, what comes is read and thrown away for a
moment, since closing on unread bytes resets the connection and can destroy the answer on its way.
"""

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import Final

from routecache.typing import Timer

PARTING_SECONDS: Final = 1.0
"""What a client gets to read its answer and stop sending; a body that nobody reads never comes."""

_MAX_PARTING: Final = 32  # beyond it the first in line is closed at once, reset or not
_CHUNK: Final = 64 * 1024  # read of one parting client per look, which comes every 0.1 s or so


@dataclass(slots=True)
class _Exchange:
    head_by: float
    over_by: float
    waiting: bool = True
    unread: bool = False


class Connections:
    """Who has one of `slots` slots. Safe for threads; no call blocks.

    head: seconds for the head of a request, from the connection's acceptance.
    whole: seconds for the whole exchange, sending the answer included.
    """

    def __init__(self, slots: int, head: float, whole: float, timer: Timer) -> None:
        self._slots = slots
        self._head = min(head, whole)
        self._whole = whole
        self._timer = timer
        self._lock = threading.Lock()
        self._open: dict[socket.socket, _Exchange] = {}  # the oldest first

    def admit(self, sock: socket.socket) -> bool:
        """Give `sock` a slot, for which an idle connection may have to go; False if none is."""
        now = self._timer()
        with self._lock:
            if len(self._open) >= self._slots and not self._evict():
                return False
            self._open[sock] = _Exchange(now + self._head, now + self._whole)
            return True

    def __contains__(self, sock: object) -> bool:
        with self._lock:
            return sock in self._open

    def answering(self, sock: socket.socket, *, unread: bool) -> bool:
        """The head of the request came; False if `sock` was hung up on meanwhile.

        unread: whether the client may still be sending when it has its answer.
        """
        with self._lock:
            exchange = self._open.get(sock)
            if exchange is not None:
                exchange.waiting, exchange.unread = False, unread
            return exchange is not None

    def leave(self, sock: socket.socket) -> bool:
        """Free the slot of `sock`, if it has one. Returns whether it should part, not close."""
        with self._lock:
            exchange = self._open.pop(sock, None)
            return exchange is not None and exchange.unread

    def hang_up_late(self) -> None:
        """End what is out of time. Shutting a socket down wakes the thread that waits for it."""
        now = self._timer()
        with self._lock:
            for sock, exchange in self._open.items():
                if (exchange.head_by if exchange.waiting else exchange.over_by) <= now:
                    _shut_down(sock, socket.SHUT_RDWR)

    def stop_reading(self) -> None:
        """End what still waits for a request; answers on their way are finished."""
        with self._lock:
            for sock in self._open:
                _shut_down(sock, socket.SHUT_RD)

    def _evict(self) -> bool:
        for sock, exchange in self._open.items():
            # With bytes to read it is not idle: its thread had no turn yet, as in a burst.
            if exchange.waiting and not _has_sent(sock):
                del self._open[sock]
                _shut_down(sock, socket.SHUT_RDWR)
                return True
        return False


class Parting:
    """Answered connections that are not closed yet. Safe for threads; no call blocks."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._leaving: dict[socket.socket, float] = {}  # the oldest first
        self._closed = False

    def add(self, sock: socket.socket) -> None:
        """Tell the client that the answer ends here, and take `sock` over."""
        _shut_down(sock, socket.SHUT_WR)
        sock.setblocking(False)
        with self._lock:
            if self._closed:
                sock.close()
                return
            if len(self._leaving) >= _MAX_PARTING:
                oldest = next(iter(self._leaving))
                del self._leaving[oldest]
                oldest.close()
            self._leaving[sock] = self._timer() + PARTING_SECONDS

    def look(self) -> None:
        """Read on, and close where the client has closed or the time is over."""
        now = self._timer()
        with self._lock:
            for sock, until in list(self._leaving.items()):
                if until <= now or _at_end(sock):
                    del self._leaving[sock]
                    sock.close()

    def close(self) -> None:
        """Close them all, and from now on whatever is added."""
        with self._lock:
            self._closed = True
            for sock in self._leaving:
                sock.close()
            self._leaving.clear()


def _has_sent(sock: socket.socket) -> bool:
    """Whether bytes of the client wait to be read. `sock` has a time-out, which must not pass."""
    with contextlib.suppress(OSError), sock.dup() as probe:
        probe.setblocking(False)
        return bool(probe.recv(1, socket.MSG_PEEK))
    return False


def _at_end(sock: socket.socket) -> bool:
    try:
        return not sock.recv(_CHUNK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _shut_down(sock: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(how)
