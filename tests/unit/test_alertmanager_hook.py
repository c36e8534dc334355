"""POST /hooks/alertmanager: who may, what is taken, and what it does. Over real sockets, too."""

import asyncio
import http.client
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from prometheus_client import CollectorRegistry

from routecache import RoutingCache, RoutingSettings, get_routing_cache, reset_routing_cache
from routecache.routing.health import HealthReport, Invalidation
from routecache.testing import ManualTimer
from routecache_exporters.http import (
    AlertmanagerHook,
    ExporterServer,
    make_asgi_app,
    make_wsgi_app,
    start_http_server,
)
from routecache_exporters.web.alertmanager import HOOK_PATH, MAX_BODY, MAX_PROVIDER
from routecache_exporters.web.asgi import Receive
from tests.helpers import in_loop

TOKEN = "correct horse battery staple"  # of this test alone
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json"}
# What a page may have a browser send to another site without asking it first.
OF_A_FORM = (
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain; application/json",
    "application/json, text/plain",
)


@pytest.fixture
def routing() -> Iterator[RoutingCache]:
    with RoutingCache(RoutingSettings(enable_redis=False)) as made:
        yield made


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


def alert(status: str = "firing", fingerprint: str = "f1", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "ProviderDown", "provider": "openai", **labels},
        "annotations": {},
        "startsAt": "2026-01-02T03:04:05Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": fingerprint,
    }


def message(*alerts: dict[str, Any], **fields: Any) -> bytes:
    """As Alertmanager sends it."""
    return json.dumps(
        {
            "version": "4",
            "groupKey": "{}:{}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "provider-health",
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "",
            "alerts": alerts,
            **fields,
        }
    ).encode()


def answer(hook: AlertmanagerHook, body: bytes, *, authenticated: bool = True) -> tuple[int, str]:
    headers = {"content-length": str(len(body)), **JSON}
    response = hook.respond(headers, io.BytesIO(body).read, authenticated=authenticated)
    return response.status, response.body.decode()


def post(port: int, body: bytes, headers: dict[str, str], method: str = "POST") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, HOOK_PATH, body=body, headers={**JSON, **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()


def guarded(hook: AlertmanagerHook, folder: Path) -> ExporterServer:
    """A server that knows one user."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    config = folder / "web.yml"
    config.write_text(f"basic_auth_users:\n  alertmanager: {hashed}\n")
    return start_http_server(
        port=0, registry=CollectorRegistry(), config_file=config, alertmanager=hook
    )


USER = {"Authorization": "Basic YWxlcnRtYW5hZ2VyOnNlY3JldA=="}  # alertmanager:secret


def test_a_firing_alert_takes_what_names_its_provider_and_a_resolved_one_restores(
    routing: RoutingCache,
) -> None:
    told: list[Invalidation] = []
    routing.add_invalidation_hook(told.append)
    routing.set_model_selection({"q": 1}, "m", providers=["openai"])
    routing.set_model_selection({"q": 2}, "n", providers=["azure"])
    hook = AlertmanagerHook(routing)
    assert answer(hook, message(alert())) == (200, "firing: 1, resolved: 0, ignored: 0\n")
    assert routing.get_model_selection({"q": 1}) is None
    assert routing.get_model_selection({"q": 2}) == "n"
    assert routing.provider_reports("openai") == (
        HealthReport(False, "alertmanager:f1", "ProviderDown"),
    )
    assert answer(hook, message(alert("resolved"))) == (200, "firing: 0, resolved: 1, ignored: 0\n")
    assert routing.provider_health() == {"openai": True}
    assert [t.cache for t in told] == ["all", "provider"]


def test_a_provider_is_down_while_one_of_its_alerts_fires(routing: RoutingCache) -> None:
    hook = AlertmanagerHook(routing)
    answer(hook, message(alert(fingerprint="f1"), alert(fingerprint="f2")))
    answer(hook, message(alert("resolved", "f1")))
    assert routing.provider_health() == {"openai": False}
    answer(hook, message(alert("resolved", "f2"), alert(fingerprint="f3")))
    assert routing.provider_health() == {"openai": False}
    answer(hook, message(alert("resolved", "f3")))
    assert routing.provider_health() == {"openai": True}
    assert routing.get_stats()["health"]["turns"] == 1


def test_our_own_alerts_and_those_without_a_provider_are_ignored(routing: RoutingCache) -> None:
    hook = AlertmanagerHook(routing)
    body = message(
        alert(alertname="RouteCacheProviderUnhealthy"),
        alert(alertname="RouteCacheL2Down"),
        alert(provider=""),
        alert(provider="x" * (MAX_PROVIDER + 1)),
        {**alert(), "labels": {"alertname": "Other"}},
    )
    assert answer(hook, body) == (200, "firing: 0, resolved: 0, ignored: 5\n")
    assert routing.provider_health() == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        message(version="3"),
        message(version=4),
        message({"status": "firing"}),
        message(alert("pending")),
        message(alert(fingerprint="")),
        message(alert(fingerprint="f" * 65)),
        message({**alert(), "labels": {"provider": 1}}),
        message(alert(), alerts=None),
        b'{"version": "4", "alerts": [], "deep": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_message_of_version_4_is_one_clear_error(
    routing: RoutingCache, body: bytes
) -> None:
    status, text = answer(AlertmanagerHook(routing), body)
    assert status == 400
    assert text.startswith("Not a message of Alertmanager's webhook, version 4: ")
    assert text.count("\n") == 1
    assert routing.provider_health() == {}


def test_bodies_are_bounded_before_they_are_read(routing: RoutingCache) -> None:
    def never(n: int) -> bytes:
        raise AssertionError(f"{n} bytes were read")

    hook = AlertmanagerHook(routing)
    for length, status in (
        (str(MAX_BODY + 1), 413),
        ("9" * 5000, 413),
        ("", 411),
        ("-1", 411),
        ("1e3", 411),
    ):
        response = hook.respond({"content-length": length, **JSON}, never, authenticated=True)
        assert response.status == status, length
    assert hook.respond(JSON, never, authenticated=True).status == 411
    right = {"content-length": "5", **JSON}
    assert hook.respond(right, never, authenticated=False).status == 403
    for kind in OF_A_FORM:
        headers = {**right, "content-type": kind}
        assert hook.respond(headers, never, authenticated=True).status == 415, kind
    assert hook.respond({"content-length": "5"}, never, authenticated=True).status == 415


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON ;v=1"]
)
def test_json_is_json_with_parameters_too(routing: RoutingCache, kind: str) -> None:
    body = message(alert())
    headers = {"content-length": str(len(body)), "content-type": kind}
    hook = AlertmanagerHook(routing)
    assert hook.respond(headers, io.BytesIO(body).read, authenticated=True).status == 200


def test_alerts_that_alertmanager_cut_off_are_told(
    routing: RoutingCache, caplog: pytest.LogCaptureFixture
) -> None:
    hook = AlertmanagerHook(routing)
    assert answer(hook, message(alert(), truncatedAlerts=3)) == (
        200,
        "firing: 1, resolved: 0, ignored: 0, cut off by max_alerts: 3\n",
    )
    assert "max_alerts cut 3 alerts off" in caplog.text


def test_without_users_and_without_a_token_nobody_is_let_in(
    routing: RoutingCache, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    short.write_text("x" * 15)
    for hook in (AlertmanagerHook(routing), AlertmanagerHook(routing, token_file=short)):
        server = start_http_server(port=0, registry=CollectorRegistry(), alertmanager=hook)
        with server:
            assert (
                post(server.port, message(alert()), {"Authorization": "Bearer " + "x" * 15})[0]
                == 403
            )
    assert routing.provider_health() == {}


def test_the_token_is_asked_for_and_read_anew(routing: RoutingCache, token: Path) -> None:
    hook = AlertmanagerHook(routing, token_file=token)
    with start_http_server(port=0, registry=CollectorRegistry(), alertmanager=hook) as server:
        for wrong in ({}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer wrong"},
                      {"Authorization": TOKEN}):  # fmt: skip
            assert post(server.port, message(alert()), wrong) == (401, "Unauthorized.\n")
        assert routing.provider_health() == {}
        assert post(server.port, message(alert()), BEARER)[0] == 200
        assert post(server.port, b"", BEARER, "GET") == (405, "Use POST.\n")
        assert post(server.port, b"x" * (MAX_BODY + 1), BEARER)[0] == 413
        token.write_text("another token, long enough")
        assert post(server.port, message(alert()), BEARER)[0] == 401
        token.unlink()
        assert post(server.port, message(alert()), BEARER) == (
            500,
            "Failed with FileNotFoundError.\n",
        )
    assert routing.provider_health() == {"openai": False}


def test_a_user_of_the_web_configuration_is_let_in_and_nobody_else(
    routing: RoutingCache, tmp_path: Path
) -> None:
    with guarded(AlertmanagerHook(routing), tmp_path) as server:
        assert post(server.port, message(alert()), {})[0] == 401
        assert post(server.port, message(alert()), BEARER)[0] == 401
        assert routing.provider_health() == {}
        assert post(server.port, message(alert()), USER)[0] == 200
    assert routing.provider_health() == {"openai": False}


def test_a_page_of_another_site_cannot_have_a_browser_write(
    routing: RoutingCache, tmp_path: Path
) -> None:
    """The browser has a password, sends it with every request, and asks nobody about a form."""
    with guarded(AlertmanagerHook(routing), tmp_path) as server:
        # What a form of enctype text/plain makes of a field's name and value: name=value.
        body = message(alert())[:-1] + b', "x": "="}\r\n'
        for kind in OF_A_FORM:
            assert post(server.port, body, {**USER, "content-type": kind}) == (
                415,
                "Send application/json.\n",
            )
        preflight = {**USER, "Access-Control-Request-Headers": "content-type"}
        assert post(server.port, b"", preflight, "OPTIONS")[0] == 405
        assert routing.provider_health() == {}
        assert post(server.port, body, USER)[0] == 200, "it is a message all the same"


def test_a_token_of_its_own_is_the_only_key(
    routing: RoutingCache, tmp_path: Path, token: Path
) -> None:
    """Who may read metrics may not write."""
    hook = AlertmanagerHook(routing, token_file=token)
    with guarded(hook, tmp_path) as server:
        assert post(server.port, message(alert()), USER)[0] == 401
        assert post(server.port, message(alert()), {})[0] == 401
        assert routing.provider_health() == {}
        assert post(server.port, message(alert()), BEARER)[0] == 200
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as reader:
            reader.request("GET", "/metrics", headers=BEARER)
            assert reader.getresponse().status == 401, "and it opens nothing else"
    assert routing.provider_health() == {"openai": False}
    body = io.BytesIO(message(alert())).read
    headers = {"content-length": "5", **JSON}
    assert hook.respond(headers, body, authenticated=True).status == 401


def test_without_a_hook_there_is_nothing_there() -> None:
    with start_http_server(port=0, registry=CollectorRegistry()) as server:
        assert post(server.port, message(alert()), BEARER)[0] == 404


def test_mounted_as_wsgi_it_takes_the_token(routing: RoutingCache, token: Path) -> None:
    hook = AlertmanagerHook(routing, token_file=token)
    app = make_wsgi_app(CollectorRegistry(), alertmanager=hook)
    body, statuses = message(alert()), []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    right = {
        "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        "CONTENT_TYPE": "application/json; charset=utf-8",
        "CONTENT_LENGTH": str(len(body)),
    }
    wrong: list[dict[str, str]] = [
        {"HTTP_AUTHORIZATION": ""},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_LENGTH": ""},
    ]
    for sent in ({}, *wrong):
        environ: Any = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": HOOK_PATH,
            "wsgi.input": io.BytesIO(body),
            **right,
            **sent,
        }
        list(app(environ, start_response))
        assert bool(environ["wsgi.input"].read()) is bool(sent), "read if it was let in, else not"
    assert statuses == [
        "200 OK",
        "401 Unauthorized",
        "415 Unsupported Media Type",
        "411 Length Required",
    ]
    assert routing.provider_health() == {"openai": False}


async def asgi(hook: AlertmanagerHook, receive: Receive, **headers: str) -> int:
    """Ask an ASGI application, and give the status of its answer."""
    app = make_asgi_app(CollectorRegistry(), alertmanager=hook)
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": "POST",
        "path": HOOK_PATH,
        "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()],
    }
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


RIGHT = {"authorization": f"Bearer {TOKEN}", "content_type": "application/json"}


@in_loop
async def test_mounted_as_asgi_it_takes_the_token_and_a_body_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with RoutingCache(RoutingSettings(enable_redis=False)) as routing:
        hook = AlertmanagerHook(routing, token_file=file)
        body = message(alert())
        parts = [
            {"type": "http.request", "body": body[:10], "more_body": True},
            {"type": "http.request", "body": body[10:]},
        ]

        async def receive() -> Any:
            return parts.pop(0)

        assert await asgi(hook, receive, **RIGHT, content_length=str(len(body))) == 200
        assert routing.provider_health() == {"openai": False}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"authorization": "Bearer another token, long enough"}, 401),
        ({"authorization": ""}, 401),
        ({"content_type": "text/plain"}, 415),
        ({"content_length": "999999999999"}, 413),
        ({"content_length": ""}, 411),
    ],
)
@in_loop
async def test_mounted_as_asgi_it_reads_no_byte_of_who_may_not_write(
    changed: dict[str, str], status: int, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)

    async def receive() -> Any:
        raise AssertionError("the body was read")

    with RoutingCache(RoutingSettings(enable_redis=False)) as routing:
        hook = AlertmanagerHook(routing, token_file=file)
        headers = {**RIGHT, "content_length": "5", **changed}
        assert await asgi(hook, receive, **headers) == status
        file.unlink()
        assert await asgi(hook, receive, **headers) == 500


@in_loop
async def test_mounted_as_asgi_it_reads_no_more_than_was_said_and_waits_for_no_body_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    read = 0

    async def endless() -> Any:
        nonlocal read
        read += 10
        return {"type": "http.request", "body": b"x" * 10, "more_body": True}

    async def never() -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("routecache_exporters.web.asgi.BODY_SECONDS", 0.01)
    with RoutingCache(RoutingSettings(enable_redis=False)) as routing:
        hook = AlertmanagerHook(routing, token_file=file)
        assert await asgi(hook, endless, **RIGHT, content_length="45") == 400
        assert read == 50
        assert await asgi(hook, never, **RIGHT, content_length="45") == 408


def test_without_a_cache_of_its_own_it_acts_on_the_process_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROUTING_CACHE_ENABLE_REDIS", "false")
    reset_routing_cache()
    try:
        answer(AlertmanagerHook(), message(alert()))
        assert get_routing_cache().provider_health() == {"openai": False}
    finally:
        reset_routing_cache()


@pytest.mark.parametrize(("own", "ends"), [("RouteCache", True), ("none of ours", False)])
def test_our_own_alert_does_not_keep_its_own_cause_alive(
    own: str, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gauge, alert, report, gauge: without the prefix it locks up, so this would notice."""
    monkeypatch.setattr("routecache_exporters.web.alertmanager.OWN_PREFIX", own)
    timer = ManualTimer()
    with RoutingCache(RoutingSettings(enable_redis=False), timer=timer) as routing:
        hook = AlertmanagerHook(routing)
        routing.report_provider_health("openai", False, source="router")
        for _ in range(48):  # a day, in which Alertmanager repeats itself each half hour
            if routing.provider_health().get("openai", True) is False:
                answer(hook, message(alert(alertname="RouteCacheProviderUnhealthy")))
            timer.advance(1800)
        assert (routing.provider_health() == {}) is ends
