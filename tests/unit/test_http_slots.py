"""The built-in server's slots: slow, idle and silent clients cost the others nothing."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from routecache_exporters.http import Site, start_http_server
from routecache_exporters.web.connections import PARTING_SECONDS, Parting
from routecache_exporters.web.listen import TCPAddress
from routecache_exporters.web.server import HEAD_SECONDS, MAX_CONNECTIONS, serve
from tests.helpers import eventually

LOOPBACK = [TCPAddress("127.0.0.1", 0)]


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of the test's own."""
    return CollectorRegistry()


def fetch(port: int, method: str, path: str, body: bytes | None = None) -> Any:
    """Status, headers and body of one request."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := client.recv(4096):
            received += chunk
    except ConnectionError:
        pass  # a reset is an end, too
    return received


class ManualTimer:
    """A clock that moves when told."""

    now = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


def test_a_slow_client_is_hung_up_on(registry: CollectorRegistry) -> None:
    """A head that is not complete within its time ends the exchange, however it trickles in."""
    timer = ManualTimer()
    with (
        serve(Site(registry), LOOPBACK, timeout=10, timer=timer) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as client,
    ):
        client.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        assert fetch(server.port, "GET", "/-/healthy")[0] == 200
        timer.now = HEAD_SECONDS - 0.1
        client.sendall(b"z")
        assert fetch(server.port, "GET", "/-/healthy")[0] == 200
        timer.now = HEAD_SECONDS
        assert read_to_end(client) == b""


def test_an_answer_may_take_longer_than_a_head(registry: CollectorRegistry) -> None:
    """Once the head is there the time-out of the whole exchange counts, and it does count."""
    timer, began, may_end = ManualTimer(), threading.Semaphore(0), threading.Event()

    def ready() -> bool:
        began.release()
        return may_end.wait(10)

    with (
        serve(Site(registry, ready=ready), LOOPBACK, timeout=10, timer=timer) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow,
    ):
        slow.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
        assert began.acquire(timeout=5)
        timer.now = 9.9
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slower:
            slower.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
            assert began.acquire(timeout=5)
            timer.now = 10.0
            assert read_to_end(slow) == b""
            may_end.set()
            assert read_to_end(slower).startswith(b"HTTP/1.0 200 OK\r\n")


@contextmanager
def clients(port: int, sends: bytes = b"", number: int = MAX_CONNECTIONS) -> Iterator[Any]:
    """Connections that sent `sends`, the oldest first."""
    opened = []
    try:
        for _ in range(number):
            opened.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            opened[-1].sendall(sends)
        yield opened
    finally:
        for each in opened:
            each.close()


def test_idle_connections_shut_nobody_out(registry: CollectorRegistry) -> None:
    """When all slots are taken the oldest idle connection goes, and the others keep theirs."""
    with (
        start_http_server(port=0, registry=registry) as server,
        clients(server.port) as idle,
    ):
        assert fetch(server.port, "GET", "/metrics")[0] == 200
        assert read_to_end(idle[0]) == b""
        idle[1].sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert read_to_end(idle[1]).startswith(b"HTTP/1.0 200 OK\r\n")


def test_incomplete_heads_shut_nobody_out(registry: CollectorRegistry) -> None:
    """A connection that sent a part of its head makes room as soon as its thread waits again."""
    with (
        start_http_server(port=0, registry=registry) as server,
        clients(server.port, b"GET /metrics HTTP/1.1\r\nX-Slow: "),
    ):
        assert eventually(lambda: fetch(server.port, "GET", "/metrics")[0] == 200, 2)


def test_a_busy_server_says_so_at_once(registry: CollectorRegistry) -> None:
    """When every slot is being answered a newcomer gets 503 with a whole body, and nobody goes."""
    began, may_end = threading.Semaphore(0), threading.Event()

    def ready() -> bool:
        began.release()
        return may_end.wait(10)

    with (
        start_http_server(port=0, registry=registry, ready=ready) as server,
        clients(server.port, b"GET /-/ready HTTP/1.0\r\n\r\n") as busy,
    ):
        for _ in busy:
            assert began.acquire(timeout=5)
        for method in ("GET", "POST"):
            status, headers, body = fetch(server.port, method, "/metrics", b"x" * 50_000)
            assert (status, headers["Retry-After"]) == (503, "1")
            assert len(body) == int(headers["Content-Length"])
        may_end.set()
        assert all(read_to_end(each).startswith(b"HTTP/1.0 200 OK\r\n") for each in busy)
        assert fetch(server.port, "GET", "/metrics")[0] == 200


@pytest.mark.parametrize("header", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_a_body_that_never_comes_holds_no_slot(registry: CollectorRegistry, header: bytes) -> None:
    """The client has its answer and the connection's end at once, and others have its slot."""
    request = b"POST /metrics HTTP/1.1\r\n" + header + b"\r\n\r\n"
    with (
        serve(Site(registry), LOOPBACK, timeout=10, timer=ManualTimer()) as server,
        clients(server.port, request) as bodiless,
    ):
        for each in bodiless:
            assert read_to_end(each).startswith(b"HTTP/1.0 405 ")
        with clients(server.port) as idle:
            idle[0].sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            assert read_to_end(idle[0]).startswith(b"HTTP/1.0 200 OK\r\n")


def test_who_parts_is_read_until_the_end_or_the_deadline() -> None:
    """A connection closes when its client has closed, its time is over, or all of them close."""
    timer = ManualTimer()
    parting = Parting(timer)
    pairs = [socket.socketpair() for _ in range(4)]
    (ours, theirs), (late, chatty), (last, idle), (after, _) = pairs
    for sock in (ours, late, last):
        parting.add(sock)
    assert theirs.recv(1) == b""
    chatty.sendall(b"x" * 1000)
    theirs.close()
    parting.look()
    assert [sock.fileno() == -1 for sock in (ours, late, last)] == [True, False, False]
    timer.now = PARTING_SECONDS / 2
    parting.add(last)
    timer.now = PARTING_SECONDS
    parting.look()
    assert [sock.fileno() == -1 for sock in (late, last)] == [True, False]
    parting.close()
    parting.add(after)
    assert last.fileno() == after.fileno() == -1
    for sock in (chatty, idle, pairs[3][1]):
        sock.close()


def test_closing_the_server_hangs_up_on_idle_clients(registry: CollectorRegistry) -> None:
    """A connection without a request does not outlive the server."""
    server = start_http_server(port=0, registry=registry)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        assert fetch(server.port, "GET", "/-/healthy")[0] == 200  # so the first one is accepted
        server.close()
        assert read_to_end(client) == b""
