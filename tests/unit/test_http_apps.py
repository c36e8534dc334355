"""The WSGI and the ASGI application: the core's answers, by each protocol's rules."""

import asyncio
import subprocess
import sys
import threading
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client import CollectorRegistry

from routecache_exporters.http import ASGIApplication, Site, make_asgi_app, make_wsgi_app

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PAGES = ("/", "/metrics", "/-/healthy", "/-/ready")


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of the test's own."""
    return CollectorRegistry()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["", *PAGES, "/nothing"])
def test_the_wsgi_application_keeps_the_protocol(
    registry: CollectorRegistry, method: str, path: str
) -> None:
    """The standard library's validator finds no fault, and the answer is the core's."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "/ops", "PATH_INFO": path, "QUERY_STRING": "",
    }  # fmt: skip
    setup_testing_defaults(environ)
    answers: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        answers.append((status, headers))
        return lambda _: None

    result = validator(make_wsgi_app(registry))(environ, start_response)
    body = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    expected = Site(registry).respond(method, path, {}, "", mount="/ops")
    ((status, headers),) = answers
    assert status == f"{expected.status.value} {expected.status.phrase}"
    assert [name for name, _ in headers] == [name for name, _ in expected.headers]
    assert bool(body) == bool(expected.body)


def test_the_wsgi_application_passes_headers_and_query_on(registry: CollectorRegistry) -> None:
    """Accept, Accept-Encoding and name[] have their effect through WSGI."""
    environ: dict[str, Any] = {
        "PATH_INFO": "/metrics",
        "QUERY_STRING": "name[]=routecache_collect_success",
        "HTTP_ACCEPT": "application/openmetrics-text",
    }
    setup_testing_defaults(environ)
    chunks = make_wsgi_app(registry)(environ, lambda *_: lambda _: None)
    lines = b"".join(chunks).decode().splitlines()
    assert lines[-1] == "# EOF"
    assert len(lines) == 6


def drive(app: ASGIApplication, scope: dict[str, Any], *events: dict[str, Any]) -> list[Any]:
    """What `app` sends for `scope`, given `events` to receive."""
    sent: list[Any] = []
    incoming = iter(events)

    async def receive() -> dict[str, Any]:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    return sent


def request(path: str, method: str = "GET", **scope: Any) -> dict[str, Any]:
    """An HTTP scope."""
    return {"type": "http", "method": method, "path": path, "headers": [], **scope}


def test_the_asgi_application_serves_every_page(registry: CollectorRegistry) -> None:
    """Each page comes as one start and one body message with the core's status and headers."""
    app = make_asgi_app(registry)
    for path, method, status in [
        *((path, "GET", 200) for path in PAGES),
        ("/metrics", "HEAD", 200),
        ("/metrics", "POST", 405),
        ("/nothing", "GET", 404),
    ]:
        start, body = drive(app, request(path, method))
        assert (start["type"], start["status"]) == ("http.response.start", status)
        headers = dict(start["headers"])
        assert all(name == name.lower() for name in headers)
        assert body["type"] == "http.response.body"
        if method != "HEAD":
            assert int(headers[b"content-length"]) == len(body["body"])


def test_the_asgi_application_passes_headers_and_query_on(registry: CollectorRegistry) -> None:
    """Repeated Accept headers count as one list, and name[] limits the answer."""
    scope = request(
        "/metrics",
        headers=[(b"accept", b"text/html"), (b"accept", b"application/openmetrics-text")],
        query_string=b"name[]=routecache_collect_success",
    )
    start, body = drive(make_asgi_app(registry), scope)
    assert dict(start["headers"])[b"content-type"].decode() == OPENMETRICS
    assert body["body"].count(b"\n") == 6


@pytest.mark.parametrize("path", ["/ops/metrics", "/metrics"])
def test_the_asgi_application_can_be_mounted(registry: CollectorRegistry, path: str) -> None:
    """A mount's root_path is taken off the path, whether or not the framework left it there."""
    start, _ = drive(make_asgi_app(registry), request(path, root_path="/ops"))
    assert start["status"] == 200


def test_the_asgi_application_takes_part_in_the_lifespan(registry: CollectorRegistry) -> None:
    """Start-up and shutdown are acknowledged, so that servers need no special case."""
    events = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert drive(make_asgi_app(registry), {"type": "lifespan"}, *events) == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.complete"},
    ]


def test_the_asgi_application_refuses_other_protocols(registry: CollectorRegistry) -> None:
    """A web socket is closed, and a protocol that nobody knows is an error of the server's."""
    app = make_asgi_app(registry)
    connect = {"type": "websocket.connect"}
    assert drive(app, {"type": "websocket"}, connect) == [{"type": "websocket.close", "code": 1000}]
    with pytest.raises(ValueError, match="'carrier-pigeon'"):
        drive(app, {"type": "carrier-pigeon"})


def test_a_scrape_does_not_hold_up_the_event_loop(registry: CollectorRegistry) -> None:
    """While an answer is being made in its thread, other tasks of the loop go on."""

    async def run() -> list[Any]:
        loop, began, may_end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        sent: list[Any] = []

        def ready() -> bool:
            loop.call_soon_threadsafe(began.set)
            return may_end.wait(timeout=10)

        async def receive() -> Any:
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        app = make_asgi_app(registry, ready=ready)
        scraping = asyncio.ensure_future(app(request("/-/ready"), receive, send))
        await began.wait()
        may_end.set()  # a loop that is held up gets here only when the 10 s are over
        await scraping
        return sent

    assert asyncio.run(run())[0]["status"] == 200


FORK = """
import asyncio, os, sys
from prometheus_client import CollectorRegistry
from routecache_exporters.http import make_asgi_app

app = make_asgi_app(CollectorRegistry())

def ask():
    sent = []
    async def receive():
        raise AssertionError
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    return sent[0]["status"]

assert ask() == 200
child = os.fork()
if not child:
    os._exit(0 if ask() == 200 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_answers_after_its_parent_has() -> None:
    """It inherits a pool that believes in threads which did not come along."""
    run = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    subprocess.run(run, check=True, timeout=60)
