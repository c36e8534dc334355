"""Whose fault a passed deadline is: the server's that was silent, or this process's own."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from routecache.errors import RemoteError
from routecache.remote.deadline import DeadlineSocket


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def wrapped(sock: socket.socket, seconds: float) -> DeadlineSocket:
    return DeadlineSocket(sock, time.monotonic() + seconds)


def test_a_server_that_gives_nothing_to_read_timed_out(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sock = wrapped(pair[0], 0.05)
    sock.sendall(b"PING")
    with pytest.raises(TimeoutError):
        sock.recv_into(bytearray(10))


def test_a_reply_that_is_there_when_the_deadline_has_passed_is_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sock = wrapped(pair[0], -1.0)
    pair[1].sendall(b"PONG")
    assert sock.recv(10) == b"PONG"


def test_nothing_is_sent_past_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(RemoteError, match="pool"):
        wrapped(pair[0], -1.0).sendall(b"PING")
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_a_server_that_was_asked_at_the_last_moment_had_no_fair_time(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sock = wrapped(pair[0], 0.001)
    sock.set_deadline(time.monotonic() + 0.001, time.monotonic() - 1.0)
    sock.sendall(b"PING")
    with pytest.raises(RemoteError, match="pool"):
        sock.recv(10)


def test_the_grace_ends_even_if_there_is_always_more_to_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sock = wrapped(pair[0], 0.0)
    done = threading.Event()

    def receive_for_ever() -> None:
        while True:
            sock.recv(100)

    def flood() -> None:
        pair[1].settimeout(0.1)
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                pair[1].sendall(b"x" * 65536)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        with pytest.raises((RemoteError, TimeoutError)):
            receive_for_ever()
    finally:
        done.set()
        thread.join(10)


def test_a_lost_connection_stays_one(pair: tuple[socket.socket, socket.socket]) -> None:
    sock = wrapped(pair[0], -1.0)
    pair[1].close()
    assert sock.recv(10) == b""
