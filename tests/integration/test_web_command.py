"""The commands that serve /metrics, with the web options, as processes of their own."""

import base64
import http.client
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import bcrypt
import pytest

from tests.certificates import Authority
from tests.commands import run, start


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for Unix sockets, with a web configuration in it."""
    with TemporaryDirectory(prefix="rc-") as name:
        path = Path(name)
        Authority(path).issue("server")
        hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        (path / "web.yml").write_text(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
            f"basic_auth_users:\n  ann: {hashed}\n"
        )
        yield path


@contextmanager
def running(
    *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    process = start(*arguments, env=env)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stderr.close()


def scrape(url: str, folder: Path, authorization: str) -> tuple[int, bytes]:
    """/metrics over TLS; `url` may be that of a Unix socket."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if url.startswith("unix://"):
        connection = http.client.HTTPSConnection("localhost", timeout=10, context=context)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(url.removeprefix("unix://"))
        connection.sock = context.wrap_socket(sock, server_hostname="localhost")
    else:
        host = url.removeprefix("https://")
        connection = http.client.HTTPSConnection(host, timeout=10, context=context)
    with closing(connection):
        connection.request("GET", "/metrics", headers={"Authorization": authorization})
        response = connection.getresponse()
        return response.status, response.read()


def test_the_exporter_serves_until_it_is_told_to_end(folder: Path) -> None:
    """On TCP and on a Unix socket, with TLS and a password, and it ends in order."""
    path = folder / "x.sock"
    (folder / "workers").mkdir(mode=0o700)
    with running(
        "exporter", "--multiproc-dir", str(folder / "workers"),
        "--web.listen-address", "127.0.0.1:0", "--web.listen-address", f"unix://{path}",
        "--web.config.file", str(folder / "web.yml"),
    ) as process:  # fmt: skip
        assert process.stderr is not None
        urls = [process.stderr.readline().removeprefix("listening on ").strip() for _ in range(2)]
        assert urls[1] == f"unix://{path}"
        for url in urls:
            for password, status in ((b"secret", 200), (b"wrong", 401)):
                authorization = "Basic " + base64.b64encode(b"ann:" + password).decode()
                got, body = scrape(url, folder, authorization)
                assert (got, b"routecache_build_info" in body) == (status, status == 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    assert not path.exists()


def test_the_exporter_listens_on_loopback_unless_told_otherwise(folder: Path) -> None:
    """The address is taken, by this test or by somebody else, and that is one clear line."""
    workers = folder / "workers"
    workers.mkdir(mode=0o700)
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", 9464)))
        done = run("exporter", "--multiproc-dir", str(workers))
    assert done.returncode == 2
    assert "cannot serve metrics on 127.0.0.1 port 9464: port 9464 is taken" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_replay_serves_where_it_is_told(folder: Path) -> None:
    log = folder / "log.csv"
    log.write_text("TIMESTAMP,ContextTokens\n2023-11-16 18:17:03,10\n")
    done = run(
        "replay", str(log), "--no-redis", "--json", "--web.config.file", str(folder / "web.yml"),
        "--web.listen-address", "127.0.0.1:0", "--web.listen-address", f"unix://{folder}/x.sock",
    )  # fmt: skip
    assert done.returncode == 0
    over_tcp, over_unix = done.stderr.splitlines()
    assert over_tcp.startswith("metrics: https://127.0.0.1:")
    assert over_unix == f"metrics: /metrics on unix://{folder}/x.sock"
