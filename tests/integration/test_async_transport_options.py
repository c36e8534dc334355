"""The asyncio transport connects as the sync one does: TLS, passwords, databases, options."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from routecache.errors import ConfigurationError
from routecache.remote import endpoint as endpoints
from routecache.remote.aio_server import AsyncServerTransport
from tests.async_transports import kinds, nothing_left, value_of, world
from tests.helpers import eventually
from tests.servers import RedisServer


@pytest.fixture(autouse=True)
def clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with nothing_left(caplog):
        yield


def test_options_that_need_a_sync_connection_are_refused(shared_redis: RedisServer) -> None:
    def hook(connection: Any) -> None:
        connection.on_connect()

    path = shared_redis.url.removeprefix("unix://")
    with redis.Redis(unix_socket_path=path) as plain:
        plain.connection_pool.connection_kwargs["redis_connect_func"] = hook
        endpoint = endpoints.acquire(None, plain)
        with pytest.raises(ConfigurationError, match="redis_connect_func"):
            AsyncServerTransport(endpoint)
        endpoints.release(endpoint)
    with redis.Redis(ssl=True, ssl_validate_ocsp_stapled=True) as stapled:
        endpoint = endpoints.acquire(None, stapled)
        with pytest.raises(ConfigurationError, match="ssl_validate_ocsp_stapled"):
            AsyncServerTransport(endpoint)
        endpoints.release(endpoint)


def test_a_client_gives_its_address_password_and_database(redis_server: RedisServer) -> None:
    path = redis_server.url.removeprefix("unix://")
    with redis.Redis(unix_socket_path=path) as admin:
        admin.acl_setuser(
            "reader", enabled=True, passwords=["+secret"], keys="*", commands=["+@all"]
        )
        admin.acl_setuser("default", enabled=False)
    with redis.Redis(unix_socket_path=path, username="reader", password="secret", db=3) as given:
        given.set("where", "db3")
        endpoint = endpoints.acquire(None, given)
        transport = AsyncServerTransport(endpoint)

        async def main() -> None:
            replies = await transport.execute("get", time.monotonic() + 5, [("GET", "where")])
            assert replies == [b"db3"]
            await transport.aclose()

        asyncio.run(main())
        endpoints.release(endpoint)


def test_a_refused_password_is_an_error_of_kind_auth(redis_server: RedisServer) -> None:
    path = redis_server.url.removeprefix("unix://")
    with redis.Redis(unix_socket_path=path) as admin:
        admin.config_set("requirepass", "secret")
        admin.auth("secret")
    with world(redis_server.url) as server:
        assert kinds(asyncio.run(server.ask(("PING",)))) == {"auth"}


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[str]:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    names = "-keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*make.split(), *names.split()],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    files = "--tls-cert-file cert.pem --tls-key-file key.pem --tls-ca-cert-file cert.pem"
    others = f"--port 0 --tls-port {port} --bind 127.0.0.1 --tls-auth-clients no"
    process = subprocess.Popen(
        ["redis-server", *files.split(), *others.split(), "--save", ""],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    url = f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path}/cert.pem"
    try:
        with redis.Redis.from_url(url) as sync:
            eventually(lambda: _answers(sync))
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(sync: "redis.Redis") -> bool:
    try:
        return bool(sync.ping())
    except redis.ConnectionError:
        return False


@pytest.mark.needs("redis-server", "openssl")
def test_tls_with_a_verified_certificate(tls_server: str) -> None:
    with world(tls_server) as server:

        async def main() -> None:
            for i in range(50):
                await server.ask(("SET", f"key{i}", value_of(f"key{i}", 20_000)))
            replies = await asyncio.gather(*(server.ask(("GET", f"key{i}")) for i in range(50)))
            assert replies == [[value_of(f"key{i}", 20_000)] for i in range(50)]

        asyncio.run(main())
        loop = asyncio.new_event_loop()
        loop.run_until_complete(server.connect())
        loop.close()  # with the connection open
        assert server.transport.connections() == (0, 0)
    with world(tls_server.partition("?")[0]) as distrustful:
        assert kinds(asyncio.run(distrustful.ask(("PING",)))) == {"connection"}
