"""Redis URLs: what they name, and errors that say what is wrong without quoting any of it."""

import traceback
from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel

from routecache.errors import ConfigurationError
from routecache.remote import target, urls

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://h", {"host": "h"}),
        ("redis://", {"host": "localhost"}),
        ("redis://h:7000/3", {"host": "h", "port": 7000, "db": 3}),
        ("redis://u:p%40%2Fq@h/0", {"username": "u", "password": "p@/q", "host": "h"}),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redis://h?db=4&client_name=x", {"db": 4, "client_name": "x"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("unix://:pw@/run/redis.sock", {"path": "/run/redis.sock", "password": "pw"}),
    ],
)
def test_a_url_of_one_server(url: str, options: dict[str, object]) -> None:
    found = urls.parse(url)
    assert found.kind == "server"
    assert options.items() <= found.options.items()


@pytest.mark.parametrize("url", ["rediss://h", "redis://h?ssl=true", "rediss://h?ssl=no"])
def test_tls_by_scheme_or_option(url: str) -> None:
    assert issubclass(urls.parse(url).connection_class, redis.SSLConnection)


def test_a_sentinel_url_names_sentinels_service_and_the_data_nodes_credentials() -> None:
    found = urls.parse(
        "redis+sentinel://u:p@h1:1,h2/main/2?sentinel_username=s&sentinel_password=t&ssl=1"
        "&ssl_cert_reqs=none&max_connections=7"
    )
    assert (found.kind, found.service) == ("sentinel", "main")
    assert found.nodes == (("h1", 1), ("h2", 26379))
    assert found.max_connections == 7
    assert issubclass(found.connection_class, redis.SSLConnection)
    assert {"username": "u", "password": "p", "db": 2}.items() <= found.options.items()
    assert not found.options.keys() & {"host", "port"}
    assert found.sentinel_options == {
        "username": "s",
        "password": "t",
        "ssl": True,
        "ssl_cert_reqs": "none",
    }
    plain = urls.parse("redis+sentinel://h1")
    assert (plain.service, plain.sentinel_options) == ("mymaster", {})


def test_a_cluster_url_names_its_seeds() -> None:
    found = urls.parse("rediss+cluster://u:p@h1,[::1]:7001,h3:7002?socket_keepalive=yes")
    assert found.kind == "cluster"
    assert found.nodes == (("h1", 6379), ("::1", 7001), ("h3", 7002))
    assert issubclass(found.connection_class, redis.SSLConnection)
    assert found.options["password"] == "p"
    assert urls.parse("redis+cluster://h/0").kind == "cluster"


BAD = [
    ("", "begin with"),
    (f"user:{SECRET}@host", "begin with"),
    (f"http://user:{SECRET}@host", "redis://"),
    (f"redis://:{SECRET}@localhost/0?bogus=1", "redis-py does not know"),
    (f"redis://:{SECRET}@localhost/0?connection_class={SECRET}", "redis-py does not know"),
    (f"redis://:{SECRET}@localhost/0?max_connections={SECRET}", "max_connections"),
    (f"redis://:{SECRET}@localhost?socket_timeout={SECRET}", "socket_timeout"),
    (f"redis://localhost?encoding=utf-8&db={SECRET}", "option db "),
    (f"redis://localhost?ssl={SECRET}", "option ssl "),
    (f"rediss://:{SECRET}@localhost?ssl_cert_reqs={SECRET}", "ssl_cert_reqs"),
    (f"redis://:{SECRET}@localhost?ssl_cert_reqs=none", "ssl_cert_reqs"),
    (f"redis://user:{SECRET}@localhost:{SECRET}", "port"),
    (f"redis://user:x{SECRET}", "port"),
    ("redis://localhost:0", "port"),
    ("redis://localhost:65536", "port"),
    (f"redis://user:{SECRET}@::1", "IPv6"),
    (f"redis://user:{SECRET}@[::1", "IPv6"),
    (f"redis://user:{SECRET}@[zz]:1", "IPv6"),
    (f"redis://user:[{SECRET}", "host that is neither|port"),
    (f"redis://user:x#{SECRET}@host", "'#'"),
    (f"redis://user:x/{SECRET}@host", "'/'"),
    (f"redis://user:6379?{SECRET}=1@host", "redis-py does not know"),
    (f"redis://localhost/{SECRET}", "database"),
    ("redis://localhost/0/1", "database"),
    ("redis://h1,h2", "several hosts"),
    (f"redis+sentinel://h/main/{SECRET}", "database"),
    ("redis+sentinel://h/main/0/1", "service"),
    ("redis+sentinel://h:port", "port"),
    ("redis+cluster://h/1", "cluster"),
    ("redis+cluster://h?db=1", "cluster"),
    ("unix:///path?ssl=true", "redis-py does not know"),
]


@pytest.mark.parametrize(("url", "said"), BAD)
def test_a_url_that_cannot_work_is_one_clear_error_that_quotes_nothing(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        urls.parse(url)
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert SECRET not in str(caught.value)
    assert SECRET not in shown.replace(url, "")


def test_a_target_shows_no_options() -> None:
    assert SECRET not in repr(
        urls.parse(f"redis+sentinel://:{SECRET}@h/m?sentinel_password={SECRET}")
    )


def test_a_client_whose_connections_cannot_be_made_is_refused_at_construction() -> None:
    client = redis.Redis(ssl=True, ssl_cert_reqs=SECRET, password=SECRET)
    with pytest.raises(ConfigurationError, match="redis_client") as caught:
        target.from_client(client)
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigurationError, match="redis_client is a str"):
        target.from_client("redis://h")


def test_a_client_of_sentinel_is_asked_for_by_its_sentinels() -> None:
    make: Any = Sentinel  # untyped
    sentinel = make([("h1", 1), ("h2", 2)], sentinel_kwargs={"password": "s"})
    found = target.from_client(sentinel.master_for("main", password="p", db=3))
    assert (found.kind, found.service) == ("sentinel", "main")
    assert found.nodes == (("h1", 1), ("h2", 2))
    assert found.sentinel_options == {"password": "s"}
    assert {"password": "p", "db": 3}.items() <= found.options.items()
    with pytest.raises(ConfigurationError, match="replicas"):
        target.from_client(sentinel.slave_for("main"))
