"""POST /hooks/alertmanager: who may, what is taken, and what it does. Over real sockets, too."""

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
    make_asgi_app,
    make_wsgi_app,
    start_http_server,
)
from routecache_exporters.web.alertmanager import HOOK_PATH, MAX_BODY, MAX_PROVIDER
from tests.helpers import in_loop

TOKEN = "correct horse battery staple"  # of this test alone
BEARER = {"Authorization": f"Bearer {TOKEN}"}


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
    response = hook.respond(
        {"content-length": str(len(body))}, io.BytesIO(body).read, authenticated=authenticated
    )
    return response.status, response.body.decode()


def post(port: int, body: bytes, headers: dict[str, str], method: str = "POST") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, HOOK_PATH, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


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
    ],
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
        response = hook.respond({"content-length": length}, never, authenticated=True)
        assert response.status == status, length
    assert hook.respond({}, never, authenticated=True).status == 411
    assert hook.respond({"content-length": "5"}, never, authenticated=False).status == 403


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
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    config = tmp_path / "web.yml"
    config.write_text(f"basic_auth_users:\n  alertmanager: {hashed}\n")
    right = {"Authorization": "Basic YWxlcnRtYW5hZ2VyOnNlY3JldA=="}  # alertmanager:secret
    with start_http_server(
        port=0,
        registry=CollectorRegistry(),
        config_file=config,
        alertmanager=AlertmanagerHook(routing),
    ) as server:
        assert post(server.port, message(alert()), {})[0] == 401
        assert post(server.port, message(alert()), BEARER)[0] == 401
        assert routing.provider_health() == {}
        assert post(server.port, message(alert()), right)[0] == 200
    assert routing.provider_health() == {"openai": False}


def test_without_a_hook_there_is_nothing_there() -> None:
    with start_http_server(port=0, registry=CollectorRegistry()) as server:
        assert post(server.port, message(alert()), BEARER)[0] == 404


def test_mounted_as_wsgi_it_takes_the_token(routing: RoutingCache, token: Path) -> None:
    hook = AlertmanagerHook(routing, token_file=token)
    app = make_wsgi_app(CollectorRegistry(), alertmanager=hook)
    body, statuses = message(alert()), []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    for sent in ({"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}, {}):
        environ: Any = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": HOOK_PATH,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **sent,
        }
        list(app(environ, start_response))
    assert statuses == ["200 OK", "401 Unauthorized"]
    assert routing.provider_health() == {"openai": False}


@in_loop
async def test_mounted_as_asgi_it_takes_the_token_and_a_body_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with RoutingCache(RoutingSettings(enable_redis=False)) as routing:
        hook = AlertmanagerHook(routing, token_file=file)
        app = make_asgi_app(CollectorRegistry(), alertmanager=hook)
        body = message(alert())
        parts = [
            {"type": "http.request", "body": body[:10], "more_body": True},
            {"type": "http.request", "body": body[10:]},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return parts.pop(0)

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {
            "type": "http",
            "method": "POST",
            "path": HOOK_PATH,
            "headers": [
                (b"authorization", f"Bearer {TOKEN}".encode()),
                (b"content-length", str(len(body)).encode()),
            ],
        }
        await app(scope, receive, send)
        assert sent[0]["status"] == 200
        assert routing.provider_health() == {"openai": False}


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
