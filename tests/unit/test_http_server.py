"""The built-in server, over real sockets: addresses, targets, errors and its end."""

import http.client
import re
import socket
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from routecache.errors import CacheError, ConfigurationError
from routecache_exporters.http import ListenError, start_http_server

PAGES = ("/", "/metrics", "/-/healthy", "/-/ready")


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of the test's own."""
    return CollectorRegistry()


def fetch(port: int, method: str, path: str, addr: str = "127.0.0.1", **options: Any) -> Any:
    """Status, headers and body of one request over a real connection."""
    with closing(http.client.HTTPConnection(addr, port, timeout=10)) as connection:
        connection.request(method, path, **options)
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()


def test_the_server_serves_every_page(registry: CollectorRegistry) -> None:
    """Over a real socket each page answers GET and HEAD, and the rest is 404 or 405."""
    with start_http_server(port=0, registry=registry) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        for path in PAGES:
            status, headers, body = fetch(server.port, "GET", path)
            assert (status, len(body)) == (200, int(headers["Content-Length"]))
            assert fetch(server.port, "HEAD", path)[::2] == (200, b"")
        assert fetch(server.port, "GET", "/metrics?name[]=nothing")[2] == b""
        assert fetch(server.port, "GET", "/%2D/healthy")[0] == 200
        assert fetch(server.port, "GET", "/nothing")[0] == 404
        for method in ("POST", "DELETE", "OPTIONS", "BREW"):
            status, headers, _ = fetch(server.port, method, "/metrics", body=b"x" * 50_000)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_the_server_tells_nothing_about_itself(registry: CollectorRegistry) -> None:
    """No version of Python or of the server is in the headers, and errors do not echo."""
    with start_http_server(port=0, registry=registry) as server:
        assert fetch(server.port, "GET", "/")[1]["Server"] == "routecache"
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1 <echo>\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.endswith(b"400\n")
    assert b"echo" not in answer


def test_closing_the_server_frees_its_port(registry: CollectorRegistry) -> None:
    """After close(), which may be repeated, another server can have the port at once."""
    server = start_http_server(port=0, registry=registry)
    server.close()
    server.close()
    with start_http_server(port=server.port, registry=registry) as again:
        assert fetch(again.port, "GET", "/-/healthy")[0] == 200


def test_a_taken_port_is_one_clear_error(registry: CollectorRegistry) -> None:
    """The error names the port and what to do, and is a CacheError as well as an OSError."""
    with start_http_server(port=0, registry=registry) as server:
        with pytest.raises(ListenError) as caught:
            start_http_server(port=server.port, registry=registry)
        assert f"port {server.port} is taken" in str(caught.value)
        assert "0 picks a free one" in str(caught.value)
        assert isinstance(caught.value, CacheError)
        assert isinstance(caught.value, OSError)


def test_addresses_that_cannot_be_listened_on_are_explained(registry: CollectorRegistry) -> None:
    """A foreign address and a bad name each have their own message."""
    with pytest.raises(ListenError, match=r"does not have the address 192\.0\.2\.1"):
        start_http_server("192.0.2.1", 0, registry=registry)
    with pytest.raises(ListenError, match="there is no address 'not a host'"):
        start_http_server("not a host", 0, registry=registry)


@pytest.mark.parametrize("port", ["9", True, False, -1, 65536, 9464.0, None])
def test_what_is_no_port_is_refused(registry: CollectorRegistry, port: Any) -> None:
    """Text, a bool and numbers out of range are one error that tells what was given and may be."""
    with pytest.raises(ConfigurationError) as caught:
        start_http_server(port=port, registry=registry)
    assert str(caught.value) == (
        f"port={port!r}: give a whole number from 0 (picks a free port) to 65535"
    )


@pytest.mark.parametrize("timeout", [0, -1, "5", True, float("nan"), float("inf")])
def test_what_is_no_timeout_is_refused(registry: CollectorRegistry, timeout: Any) -> None:
    """The time-out is a number of seconds that a socket can take."""
    with pytest.raises(ConfigurationError, match=rf"timeout={timeout!r}: give a number"):
        start_http_server(port=0, registry=registry, timeout=timeout)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://127.0.0.1:1/-/healthy", 200),
        ("HTTPS://[::1]/%2D/healthy?x", 200),
        ("http://example.com", 200),
        ("http://example.com?x", 200),
        ("http://example.com/nothing", 404),
        ("ftp://example.com/-/healthy", 404),
        ("*", 404),
    ],
)
def test_targets_in_absolute_form(registry: CollectorRegistry, target: str, status: int) -> None:
    """A request as a proxy gets it is served; scheme and host do not matter."""
    with start_http_server(port=0, registry=registry) as server:
        assert fetch(server.port, "GET", target)[0] == status


def test_an_absolute_target_keeps_its_query(registry: CollectorRegistry) -> None:
    """`name[]` limits the metrics also there."""
    with start_http_server(port=0, registry=registry) as server:
        target = f"{server.url}/metrics?name[]=routecache_build_info"
        body = fetch(server.port, "GET", target)[2]
    assert body.count(b"\n") == 3


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("addr", "url"),
    [
        ("localhost", r"http://(127\.0\.0\.1|\[::1\]):\d+"),
        ("0.0.0.0", r"http://127\.0\.0\.1:\d+"),
        *([("::1", r"http://\[::1\]:\d+"), ("::", r"http://\[::1\]:\d+")] if _has_ipv6() else []),
    ],
)
def test_the_url_reaches_the_server(registry: CollectorRegistry, addr: str, url: str) -> None:
    """IPv4, IPv6 and wildcard addresses all give a URL that this machine can open."""
    with start_http_server(addr, 0, registry=registry) as server:
        assert re.fullmatch(url, server.url)
        host = server.url.removeprefix("http://").rpartition(":")[0].strip("[]")
        assert fetch(server.port, "GET", "/-/healthy", host)[0] == 200


FORK = """
import os, sys
from prometheus_client import CollectorRegistry
from routecache_exporters.http import start_http_server

registry = CollectorRegistry()
server = start_http_server(port=0, registry=registry)
told, tell = os.pipe()
child = os.fork()
if not child:
    os.close(tell)
    os.read(told, 1)  # until the parent has closed its server and listens anew
    server.close()
    samples = [s for family in registry.collect() for s in family.samples]
    os._exit(0 if samples else 1)
server.close()
start_http_server(port=server.port, registry=registry).close()
os.close(tell)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_lets_go_of_the_port_and_can_still_collect() -> None:
    """The parent's port is free as soon as the parent closes, and the child's collector works."""
    run = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    subprocess.run(run, check=True, timeout=60)
