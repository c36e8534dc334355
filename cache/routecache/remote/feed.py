"""A connection of redis-py whose socket is read without blocking, after its handshake."""

import socket
import ssl
from typing import Any

import hiredis

_READ = 65536  # bytes by one recv
_TURN = 4 * _READ  # bytes before the thread looks at other connections and at its heartbeats
_NOT_YET = object()
_RETRY_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Feed:
    """A connection that is read without blocking. Belongs to one thread at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket: socket.socket = connection.raw
        self._socket.setblocking(False)
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self.broken = False
        self.more = False  # whether `read` left something that no selector would tell of

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def send(self, *command: bytes | str | int) -> None:
        """Send a short command; a connection that cannot take it at once is broken."""
        data = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub names a 1-tuple
        try:
            if self._socket.send(data) != len(data):
                self.broken = True
        except OSError:
            self.broken = True

    def read(self) -> list[Any]:
        """The replies and messages that are there, some of them if there are many."""
        taken = 0
        self.more = False
        replies: list[Any] = []
        try:
            while taken < _TURN:
                data = self._socket.recv(_READ)
                if not data:
                    self.broken = True
                    break
                taken += len(data)
                self._reader.feed(data)
            else:
                self.more = True
        except _RETRY_LATER:
            pass
        except OSError:
            self.broken = True
        try:
            while (reply := self._reader.gets()) is not _NOT_YET:
                replies.append(reply)
        except hiredis.HiredisError:
            self.broken = True
        return replies

    def close(self) -> None:
        """Close the socket; a forked child leaves its parent's connection alone."""
        self._connection.disconnect()
