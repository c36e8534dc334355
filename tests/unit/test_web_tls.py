"""TLS of the built-in server, over real sockets with Python's own client."""

import http.client
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from routecache_exporters.http import ExporterServer, Site
from routecache_exporters.web.listen import TCPAddress
from routecache_exporters.web.server import HEAD_SECONDS, MAX_CONNECTIONS, serve
from tests.certificates import Authority, Pair
from tests.helpers import eventually

TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
VERIFY = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"


class Clock:
    """A clock that moves when told."""

    now = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


class World:
    """A folder with a certificate authority, and servers of files written there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.server_pair = self.authority.issue("server")
        self.clock = Clock()

    def write(self, text: str) -> Path:
        file = self.folder / "web.yml"
        file.write_text(text)
        return file

    def serve(self, text: str = TLS, ready: Callable[[], bool] | None = None) -> ExporterServer:
        return serve(
            Site(CollectorRegistry(), ready=ready),
            [TCPAddress("127.0.0.1", 0)],
            timeout=10,
            timer=self.clock,
            config_file=self.write(text),
        )

    def client(self, pair: Pair | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.cert_file)
        if pair is not None:
            context.load_cert_chain(pair.cert_file, pair.key_file)
        return context


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def fetch(
    server: ExporterServer, context: ssl.SSLContext, path: str = "/-/healthy", **options: Any
) -> tuple[int, bytes]:
    """Status and body of one request over TLS."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
    with closing(connection):
        connection.request(options.pop("method", "GET"), path, **options)
        response = connection.getresponse()
        return response.status, response.read()


def connect(server: ExporterServer, sends: bytes = b"") -> socket.socket:
    """A plain connection that sent `sends`."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    sock.sendall(sends)
    return sock


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_trusts_the_authority_is_served(
    world: World, version: ssl.TLSVersion
) -> None:
    context = world.client()
    context.minimum_version = context.maximum_version = version
    with world.serve() as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        assert fetch(server, context)[0] == 200
        status, body = fetch(server, context, "/metrics")
    assert (status, b"routecache_build_info" in body) == (200, True)


def test_a_client_that_trusts_another_authority_refuses_and_others_go_on(
    world: World, tmp_path: Path
) -> None:
    stranger = ssl.create_default_context(cafile=Authority(tmp_path, "another").cert_file)
    with world.serve() as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            fetch(server, stranger)
        assert fetch(server, world.client())[0] == 200


@pytest.mark.parametrize("asked", ["", "  min_version: TLS10\n"])
def test_tls_1_1_is_refused_whatever_the_file_asks_for(world: World, asked: str) -> None:
    context = world.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with world.serve(TLS + asked) as server:
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            fetch(server, context)
        assert fetch(server, world.client())[0] == 200


def test_tls_1_3_alone_can_be_asked_for(world: World) -> None:
    context = world.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for asked in ("min_version: TLS13", "cipher_suites: [TLS_AES_128_GCM_SHA256]"):
        with world.serve(f"{TLS}  {asked}\n") as server:
            with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
                fetch(server, context)
            assert fetch(server, world.client())[0] == 200


def test_suites_and_curves_are_those_of_the_file(world: World) -> None:
    """The suite for TLS 1.2, and the curve for both versions."""
    suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    text = f"{TLS}  cipher_suites: [{suite}]\n  curve_preferences: [CurveP384]\n"
    context, other = world.client(), world.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    other.set_ecdh_curve("prime256v1")
    with world.serve(text) as server:
        with context.wrap_socket(connect(server), server_hostname="localhost") as client:
            cipher = client.cipher()
        assert cipher is not None
        assert cipher[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            fetch(server, other)


def test_plain_http_to_a_tls_port_is_told_so(world: World) -> None:
    with world.serve() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        with closing(connection):
            connection.request("POST", "/metrics", b"x" * 50_000)
            response = connection.getresponse()
            assert response.status == 400
            assert b"speaks HTTPS" in response.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_required_certificates(world: World, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Without one, or with another authority's, the client gets the alert that says so."""
    right = world.client(world.authority.issue("client"))
    wrong = world.client(Authority(tmp_path, "another").issue("stranger"))
    none = world.client()
    for context in (right, wrong, none):
        context.minimum_version = context.maximum_version = version
    with world.serve(VERIFY) as server:
        assert fetch(server, right)[0] == 200
        with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            fetch(server, wrong)
        with pytest.raises(ssl.SSLError, match=r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"):
            fetch(server, none)


@pytest.mark.parametrize(
    ("kind", "without", "with_wrong"),
    [
        ("NoClientCert", 200, 200),
        ("RequestClientCert", 200, 200),
        ("VerifyClientCertIfGiven", 200, None),
        ("RequireAnyClientCert", None, None),
        ("RequireClientCert", None, None),
        ("RequireAndVerifyClientCert", None, None),
    ],
)
def test_the_types_of_client_authentication(
    world: World, tmp_path: Path, kind: str, without: int | None, with_wrong: int | None
) -> None:
    """Who comes in without a certificate, and with one of an unknown authority. None: nobody."""
    ca = "" if kind == "NoClientCert" else "  client_ca_file: ca.pem\n"
    wrong = world.client(Authority(tmp_path, "another").issue("stranger"))
    with world.serve(f"{TLS}  client_auth_type: {kind}\n{ca}") as server:
        for context, status in ((world.client(), without), (wrong, with_wrong)):
            if status is None:
                with pytest.raises(ssl.SSLError):
                    fetch(server, context)
            else:
                assert fetch(server, context)[0] == status
        assert fetch(server, world.client(world.authority.issue("client")))[0] == 200


@pytest.mark.parametrize(
    ("san", "allowed", "comes_in"),
    [
        ("scraper.example", "scraper.example", True),
        ("scraper.example", "Scraper.example", False),
        ("scraper.example", "example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::1", "fd00::1", True),
        ("ops@example.com", "ops@example.com", True),
        ("spiffe://example/prometheus", "spiffe://example/prometheus", True),
        ("spiffe://example/prometheus", "spiffe://example/grafana", False),
    ],
)
def test_only_certificates_with_an_allowed_name_come_in(
    world: World, san: str, allowed: str, comes_in: bool
) -> None:
    """Names match letter by letter; who has none is hung up on without an answer."""
    context = world.client(world.authority.issue("client", [san]))
    with world.serve(f'{VERIFY}  client_allowed_sans: ["{allowed}", "unused"]\n') as server:
        if comes_in:
            assert fetch(server, context)[0] == 200
        else:
            with pytest.raises((http.client.RemoteDisconnected, ssl.SSLError)):
                fetch(server, context)


def test_the_pair_and_the_authority_can_be_text(world: World) -> None:
    def block(key: str, text: str) -> str:
        lines = "".join(f"    {line}\n" for line in text.splitlines())
        return f"  {key}: |\n{lines}"

    text = (
        "tls_server_config:\n"
        + block("cert", world.server_pair.cert)
        + block("key", world.server_pair.key)
        + block("client_ca", world.authority.cert_file.read_text())
        + "  client_auth_type: RequireAndVerifyClientCert\n"
    )
    with world.serve(text) as server:
        assert fetch(server, world.client(world.authority.issue("client")))[0] == 200
        with pytest.raises(ssl.SSLError):
            fetch(server, world.client())


def test_an_answer_ends_with_the_farewell_of_tls(world: World) -> None:
    """So that nobody can cut an answer short unseen."""
    with world.serve() as server:
        plain = connect(server)
        with world.client().wrap_socket(
            plain, server_hostname="localhost", suppress_ragged_eofs=False
        ) as client:
            client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")


def test_a_body_that_nobody_reads_destroys_no_answer(world: World) -> None:
    with world.serve() as server:
        for _ in range(10):
            status, _ = fetch(
                server, world.client(), "/metrics", method="POST", body=b"x" * 200_000
            )
            assert status == 405


def test_handshakes_that_never_end_shut_nobody_out(world: World) -> None:
    """Not silent clients, nor ones that stop in the middle, and their time is that of a head."""
    with world.serve() as server:
        stuck = [
            connect(server, sends) for sends in (b"", b"\x16\x03\x01") * (MAX_CONNECTIONS // 2)
        ]
        assert eventually(lambda: fetch(server, world.client())[0] == 200)
        late = connect(server, b"\x16\x03\x01\x02")
        assert fetch(server, world.client())[0] == 200
        world.clock.now = HEAD_SECONDS
        assert late.recv(1) == b""
        for sock in (*stuck, late):
            sock.close()


def test_a_handshake_at_a_trickle_is_hung_up_on(world: World) -> None:
    """Each byte comes in time, the handshake does not."""
    with world.serve() as server, connect(server, b"\x16\x03\x01\x02\x00") as slow:
        assert fetch(server, world.client())[0] == 200  # so the first one is accepted
        world.clock.now = HEAD_SECONDS - 0.1
        slow.sendall(b"\x01")
        assert fetch(server, world.client())[0] == 200
        world.clock.now = HEAD_SECONDS
        assert slow.recv(1) == b""


def busy_clients(server: ExporterServer, context: ssl.SSLContext) -> list[ssl.SSLSocket]:
    """As many clients as there are slots, each waiting for /-/ready."""
    clients = []
    for _ in range(MAX_CONNECTIONS):
        clients.append(context.wrap_socket(connect(server), server_hostname="localhost"))
        clients[-1].sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
    return clients


def test_a_busy_server_says_so_over_tls(world: World) -> None:
    """With every slot being answered a newcomer gets 503, silent ones wait for nothing."""
    began, may_end = threading.Semaphore(0), threading.Event()

    def ready() -> bool:
        began.release()
        return may_end.wait(10)

    context = world.client()
    with world.serve(ready=ready) as server:
        busy = busy_clients(server, context)
        for _ in busy:
            assert began.acquire(timeout=5)
        silent = [connect(server) for _ in range(20)]
        for _ in range(3):
            status, body = fetch(server, context, "/metrics")
            assert (status, b"in use" in body) == (503, True)
        may_end.set()
        for client in busy:
            assert client.recv(4096).startswith(b"HTTP/1.0 200 OK\r\n")
            client.close()
        for sock in silent:
            sock.close()
        assert eventually(lambda: fetch(server, context)[0] == 200)


def test_closing_the_server_finishes_answers_and_keeps_them_encrypted(world: World) -> None:
    """An answer on its way when the server is closed arrives whole, over TLS."""
    began, may_end = threading.Event(), threading.Event()

    def ready() -> bool:
        began.set()
        return may_end.wait(10)

    server = world.serve(ready=ready)
    with world.client().wrap_socket(connect(server), server_hostname="localhost") as client:
        client.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
        assert began.wait(5)
        server.close()
        may_end.set()
        assert client.recv(4096).startswith(b"HTTP/1.0 200 OK\r\n")


def serial(server: ExporterServer, context: ssl.SSLContext) -> str:
    """Of the certificate that the server shows."""
    with context.wrap_socket(connect(server), server_hostname="localhost") as client:
        certificate = client.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_a_new_certificate_is_shown_without_a_restart(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """While certificate and key do not fit, as between two writes, the old pair stays."""
    context = world.client()
    with world.serve() as server:
        first = serial(server, context)
        key = world.server_pair.key
        world.authority.issue("server")
        new_key = world.server_pair.key
        world.server_pair.key_file.write_text(key)
        with caplog.at_level(logging.INFO, "routecache.exporters"):
            assert serial(server, context) == serial(server, context) == first
            world.server_pair.key_file.write_text(new_key)
            second = serial(server, context)
    assert second != first
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "tls_server_config.key_file: the key does not belong to the certificate" in errors[0]
    assert "read anew" in caplog.records[-1].message


def test_tls_stays_when_the_file_no_longer_asks_for_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A server never falls back to plain HTTP by itself."""
    with world.serve() as server:
        world.write("basic_auth_users: {}\n")
        assert fetch(server, world.client())[0] == 200
        world.write("{}\n")
        with caplog.at_level(logging.ERROR, "routecache.exporters"):
            assert fetch(server, world.client())[0] == 200
    assert "restart" in caplog.text
