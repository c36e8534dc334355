"""Where the server listens: several addresses, Unix sockets, and what is no address."""

import http.client
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from routecache.errors import ConfigurationError
from routecache_exporters.http import ExporterServer, ListenError, start_http_server
from routecache_exporters.web.listen import Address, TCPAddress, UnixAddress, parse_address


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(str(self._path))


def status(connection: http.client.HTTPConnection) -> int:
    """Of /-/healthy."""
    with closing(connection):
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, since those of Unix sockets are limited."""
    with TemporaryDirectory(prefix="rc-") as path:
        yield Path(path)


def serving(*listen: str, **options: Any) -> ExporterServer:
    return start_http_server(listen=listen, registry=CollectorRegistry(), **options)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", TCPAddress("127.0.0.1", 9464)),
        ("localhost:0", TCPAddress("localhost", 0)),
        (":9464", TCPAddress("", 9464)),
        ("[::1]:65535", TCPAddress("::1", 65535)),
        ("[fe80::1%eth0]:1", TCPAddress("fe80::1%eth0", 1)),
        ("unix:///run/x.sock", UnixAddress("/run/x.sock")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "9464", "localhost", "::1:9464", "[::1]", "host:", "host:-1", "host:65536", "host:1x",
     "host:٣", "http://host:1", "host:1/metrics", "unix://relative.sock", "unix:/run/x", "unix://",
     "unix:///run/", "vsock://:1", "a b:c"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_address(text)
    assert str(caught.value).startswith(f"{text!r} is no address to listen on: give host:port, ")


def test_one_server_listens_on_all_of_its_addresses(folder: Path) -> None:
    """They share the pages; `close` frees them all and removes the socket's file."""
    path = folder / "x.sock"
    server = serving("127.0.0.1:0", f"unix://{path}", "localhost:0")
    assert server.url == server.urls[0] == f"http://127.0.0.1:{server.port}"
    assert server.urls[1] == f"unix://{path}"
    assert len(server.urls) == 3
    assert status(http.client.HTTPConnection("127.0.0.1", server.port)) == 200
    assert status(UnixConnection(path)) == 200
    assert status(http.client.HTTPConnection(server.urls[2].removeprefix("http://"))) == 200
    server.close()
    assert not path.exists()
    with pytest.raises(ConnectionRefusedError):
        status(http.client.HTTPConnection("127.0.0.1", server.port))


def test_a_single_address_may_be_plain_text(folder: Path) -> None:
    path = folder / "x.sock"
    with start_http_server(listen=f"unix://{path}", registry=CollectorRegistry()) as server:
        assert (server.addr, server.port, server.url) == (str(path), 0, f"unix://{path}")
        assert status(UnixConnection(path)) == 200


def test_every_interface() -> None:
    """`:port` takes IPv4 and, where there is any, IPv6; the URL is that of IPv4."""
    with serving(":0") as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert status(http.client.HTTPConnection("127.0.0.1", server.port)) == 200
        if server.addr == "::":
            assert status(http.client.HTTPConnection("::1", server.port)) == 200


def test_a_unix_socket_is_for_owner_and_group(folder: Path) -> None:
    path = folder / "x.sock"
    with serving(f"unix://{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_socket_that_a_dead_process_left_is_replaced(folder: Path) -> None:
    path = folder / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(f"unix://{path}"):
        assert status(UnixConnection(path)) == 200


def test_a_socket_that_somebody_took_over_is_not_removed(folder: Path) -> None:
    path = folder / "x.sock"
    server = serving(f"unix://{path}")
    path.unlink()
    with serving(f"unix://{path}"):
        server.close()
        assert status(UnixConnection(path)) == 200


def test_paths_that_cannot_be_listened_on_are_explained(folder: Path) -> None:
    """And what was there is still there."""
    file = folder / "file"
    file.write_text("mine")
    path = folder / "x.sock"
    with serving(f"unix://{path}"):
        for where, says in (
            (path, "a process listens there"),
            (file, "there is a file that is no socket"),
            (folder / "no" / "x.sock", f"the folder {folder / 'no'} does not exist"),
            (folder / ("x" * 120), "give a shorter path"),
        ):
            with pytest.raises(ListenError) as caught:
                serving(f"unix://{where}")
            assert f"cannot serve metrics on unix://{where}: " in str(caught.value)
            assert says in str(caught.value)
        assert status(UnixConnection(path)) == 200
    assert file.read_text() == "mine"


def test_when_one_address_fails_none_is_kept(folder: Path) -> None:
    path = folder / "x.sock"
    with serving("127.0.0.1:0") as other, pytest.raises(ListenError, match="is taken"):
        serving(f"unix://{path}", f"127.0.0.1:{other.port}")
    assert os.listdir(folder) == []


def test_addresses_come_in_one_way_only() -> None:
    with pytest.raises(ConfigurationError, match="either addr and port or listen, not both"):
        serving("127.0.0.1:0", port=1)
