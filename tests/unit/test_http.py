"""The pages of the exporter, as the core without I/O answers for them."""

import gzip
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.registry import Collector

from routecache_exporters.http import Response, Site

CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
CLASSIC_1 = "text/plain; version=1.0.0; charset=utf-8; escaping="
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PAGES = ("/", "/metrics", "/stats.json", "/-/healthy", "/-/ready")


def site(**options: Any) -> Site:
    """A site of its own registry."""
    return Site(CollectorRegistry(), **options)


def get(site: Site, path: str, query: str = "", **headers: str) -> Response:
    """One GET; underscores in header names stand for hyphens."""
    return site.respond(
        "GET", path, {name.replace("_", "-"): text for name, text in headers.items()}, query
    )


def header(response: Response, name: str) -> str | None:
    """A header of the response, or None."""
    return dict(response.headers).get(name)


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_a_body(path: str) -> None:
    """HEAD has GET's status and headers; the length may differ only by the scrape's own times."""
    tested = site()
    got, head = get(tested, path), tested.respond("HEAD", path, {}, "")
    assert (got.status, head.status, head.body) == (HTTPStatus.OK, HTTPStatus.OK, b"")
    assert header(got, "Content-Length") == str(len(got.body))
    assert [name for name, _ in head.headers] == [name for name, _ in got.headers]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"])
def test_other_methods_are_refused_with_what_is_allowed(method: str, path: str) -> None:
    """Every method but GET and HEAD is 405 with Allow, as HTTP asks."""
    response = site().respond(method, path, {}, "")
    assert response.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert header(response, "Allow") == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/metrics/", "/Metrics", "/-/", "/healthy", "/favicon.ico", "/../metrics", "metrics"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_other_paths_are_not_found(method: str, path: str) -> None:
    """Paths match exactly, whatever the method, and the answer does not repeat them."""
    response = site().respond(method, path, {}, "")
    assert response.status == HTTPStatus.NOT_FOUND
    assert path.encode() not in response.body


@pytest.mark.parametrize("path", [*PAGES, "/nothing"])
def test_every_answer_forbids_sniffing_and_caching(path: str) -> None:
    """Each response says that its type is meant and that it must not be stored."""
    response = get(site(), path)
    assert header(response, "X-Content-Type-Options") == "nosniff"
    assert header(response, "Cache-Control") == "no-store"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", CLASSIC),
        ("*/*", CLASSIC),
        ("text/html", CLASSIC),
        ("text/plain", CLASSIC),
        ("text/plain;version=0.0.4", CLASSIC),
        ("text/plain; version=1.0.0; escaping=allow-utf-8", CLASSIC_1 + "allow-utf-8"),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", OPENMETRICS + "; escaping=underscores"),
        ("APPLICATION/OpenMetrics-Text", OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS + "; escaping=allow-utf-8"),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", CLASSIC),
        ("text/plain;q=0.1, application/openmetrics-text;q=0.9", OPENMETRICS),
        ("application/openmetrics-text;q=0", CLASSIC),
        ("application/openmetrics-text;q=much", CLASSIC),
        ("application/openmetrics-text;version=0.0.1", CLASSIC),
        ("application/openmetrics-text;version=nine", CLASSIC),
        ("application/openmetrics-text;version=99.0.0", CLASSIC),
        ("application/openmetrics-text;version=1.0.0;escaping=x\r\nSet-Cookie:a=b",
         OPENMETRICS + "; escaping=underscores"),
        (";;=,,q=,/", CLASSIC),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS + "; escaping=underscores"),
        ('application/openmetrics-text;version = "1.0\\.0";escaping="allow-utf-8"',
         OPENMETRICS + "; escaping=allow-utf-8"),
        ('text/plain;version="1.0.0";q="0.1",application/openmetrics-text;q=0.9', OPENMETRICS),
        ('text/html;title="a;q=0,application/openmetrics-text;\\"",text/plain', CLASSIC),
        ('application/openmetrics-text;version="1.0.0', CLASSIC),
        ('application/openmetrics-text;version=1.0.0;escaping="dots;version=x,y"',
         OPENMETRICS + "; escaping=underscores"),
        ('text/plain;version="', CLASSIC),
    ],
)  # fmt: skip
def test_the_format_follows_the_accept_header(accept: str, content_type: str) -> None:
    """The heaviest format that we have is served, the classic one if there is none."""
    response = get(site(), "/metrics", accept=accept)
    assert response.status == HTTPStatus.OK
    assert header(response, "Content-Type") == content_type
    assert response.body.endswith(b"# EOF\n") == ("openmetrics" in content_type)
    assert header(response, "Vary") == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("GZip;q=0.5, identity", True),
        ("br, *", True),
        ("x-gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
    ],
)
def test_metrics_are_compressed_only_for_clients_that_ask(accepted: str, compressed: bool) -> None:
    """gzip is used if the client's Accept-Encoding allows it, and says so."""
    response = get(site(), "/metrics", accept_encoding=accepted)
    assert (header(response, "Content-Encoding") == "gzip") == compressed
    body = gzip.decompress(response.body) if compressed else response.body
    assert b"routecache_build_info" in body


def test_names_in_the_query_limit_the_metrics() -> None:
    """`name[]` selects series by their full name, as in prometheus_client."""
    query = "name[]=routecache_collect_success&name%5B%5D=routecache_build_info"
    body = get(site(), "/metrics", query).body.decode()
    names = {re.split("[{ ]", line)[0] for line in body.splitlines() if line[0] != "#"}
    assert names == {"routecache_collect_success", "routecache_build_info"}
    assert get(site(), "/metrics", "name[]=nothing").body == b""


def test_the_registry_is_served_with_what_else_is_in_it() -> None:
    """A program's own metrics stand beside routecache's, which are added once."""
    registry = CollectorRegistry()
    Gauge("app_temperature", "Of the program itself.", registry=registry).set(3)
    for tested in (Site(registry), Site(registry)):
        body = get(tested, "/metrics").body
        assert b"app_temperature 3.0" in body
        assert body.count(b"# TYPE routecache_requests_total counter") == 1


def test_a_collector_of_the_program_that_raises_is_an_error_without_its_text() -> None:
    """The scrape fails with 500 and names the type of the exception, never what it says."""

    class Broken(Collector):
        def collect(self) -> Iterator[Any]:
            raise RuntimeError("password=secret")

        def describe(self) -> list[Any]:
            return []

    registry = CollectorRegistry()
    registry.register(Broken())
    response = get(Site(registry), "/metrics")
    assert (response.status, response.body) == (500, b"Failed with RuntimeError.\n")


def _raises() -> bool:
    raise RuntimeError


@pytest.mark.parametrize(
    ("ready", "status"),
    [(None, 200), (lambda: True, 200), (lambda: False, 503), (_raises, 503)],
    ids=["unset", "ready", "not ready", "raises"],
)
def test_ready_is_what_the_program_says_and_healthy_is_not(
    ready: Callable[[], bool] | None, status: int
) -> None:
    """/-/ready follows the callable, an exception means not ready; /-/healthy stays 200."""
    tested = site(ready=ready)
    assert get(tested, "/-/ready").status == status
    assert get(tested, "/-/healthy").status == HTTPStatus.OK
