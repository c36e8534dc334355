"""What a person is told: a real Alertmanager renders the templates to local receivers."""

import json
import re
import socketserver
import threading
import urllib.request
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from routecache_exporters.demo.processes import Processes
from routecache_exporters.demo.stack import find_binaries, is_ready
from routecache_exporters.pack.config import PREFIX
from routecache_exporters.ports import choose_port
from tests.helpers import eventually
from tests.monitoring.sources import DEPLOY, load

FOLDER = DEPLOY / "alertmanager"
EXAMPLE = FOLDER / "receivers.example.yml"
STARTED = "2026-01-02T03:04:05Z"
ENDED = "2026-01-02T03:34:05Z"


class Received:
    """What came in, by way: JSON of Slack, PagerDuty and the webhook, mails as bytes."""

    def __init__(self) -> None:
        self.posts: dict[str, list[Any]] = {}
        self.mails: list[bytes] = []

    def post(self, path: str, alert: str) -> Any:
        """The latest body posted to `path` that tells of `alert`, or None."""
        bodies = [body for body in self.posts.get(path, []) if alert in json.dumps(body)]
        return bodies[-1] if bodies else None


def http_server(received: Received) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.posts.setdefault(self.path, []).append(json.loads(body))
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Be quiet."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def mail_server(received: Received) -> socketserver.ThreadingTCPServer:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    received.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    return socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)


def local(config: dict[str, Any], folder: Path, web: int, mail: int) -> dict[str, Any]:
    """The example with its receivers' addresses replaced, and no waiting."""
    (folder / "slack").write_text(f"http://127.0.0.1:{web}/slack")
    (folder / "key").write_text("0" * 32)
    page, ticket, platform, _ = config["receivers"]
    page["pagerduty_configs"][0] |= {
        "routing_key_file": str(folder / "key"),
        "url": f"http://127.0.0.1:{web}/pagerduty",
    }
    ticket["slack_configs"][0]["api_url_file"] = str(folder / "slack")
    ticket["webhook_configs"][0]["url"] = f"http://127.0.0.1:{web}/webhook"
    ticket["webhook_configs"][0]["http_config"]["authorization"]["credentials_file"] = str(
        folder / "key"
    )
    mailing = platform["email_configs"][0]
    mailing |= {"smarthost": f"127.0.0.1:{mail}", "require_tls": False}
    del mailing["auth_username"], mailing["auth_password_file"]
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    config["templates"] = [str(FOLDER / "templates" / "*.tmpl")]
    return config


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Received, Callable[..., None]]]:
    """What the receivers got, and a way to send Alertmanager alerts."""
    received, folder = Received(), tmp_path_factory.mktemp("receivers")
    port, _ = choose_port(0, 0, "")
    url = f"http://127.0.0.1:{port}"
    with Processes() as processes, http_server(received) as web, mail_server(received) as mail:
        for server in (web, mail):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        config = local(load(EXAMPLE), folder, web.server_address[1], mail.server_address[1])
        path = folder / "alertmanager.yml"
        path.write_text(yaml.safe_dump(config))
        processes.start("alertmanager", [
            find_binaries().alertmanager, f"--config.file={path}", f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
        ])  # fmt: skip
        eventually(lambda: is_ready(f"{url}/-/ready"))

        def send(*alerts: dict[str, Any]) -> None:
            request = urllib.request.Request(
                f"{url}/api/v2/alerts",
                json.dumps(alerts).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200

        yield received, send
        web.shutdown()
        mail.shutdown()


def alert(name: str, severity: str, **labels: str) -> dict[str, Any]:
    return {
        "labels": {
            "alertname": f"{PREFIX}{name}",
            "severity": severity,
            "job": "routecache",
            **labels,
        },
        "annotations": {
            "summary": f"{name} in a sentence.",
            "description": 'Why "it" <matters>.',
            "runbook_url": f"http://p/user/{PREFIX}{name}.md",
            "dashboard_url": "http://g/d/x?viewPanel=1&var-job=routecache",
        },
        "startsAt": STARTED,
    }


pytestmark = pytest.mark.needs("prometheus-alertmanager", "prometheus")


def test_a_page_says_what_where_since_when_and_what_to_do(told: Any) -> None:
    received, send = told
    send(alert("L2Down", "critical", cluster="eu", namespace="prod", l2="main"))
    body = eventually(lambda: received.post("/pagerduty", "L2Down"))
    assert body["event_action"] == "trigger"
    assert body["payload"]["severity"] == "critical"
    assert body["payload"]["summary"] == "PAGE: RouteCacheL2Down (eu/prod/routecache)"
    assert body["payload"]["custom_details"]["text"].splitlines() == [
        'What: L2Down in a sentence. Why "it" <matters>.',
        "Where: eu/prod/routecache, Redis main",
        "Since: 2026-01-02 03:04:05 UTC",
        "Do: http://p/user/RouteCacheL2Down.md",
        "See: http://g/d/x?viewPanel=1&var-job=routecache",
    ]
    assert [link["href"] for link in body["links"]] == [
        "http://p/user/RouteCacheL2Down.md",
        "http://g/d/x?viewPanel=1&var-job=routecache",
    ]


def test_tickets_of_one_group_are_one_message_that_tells_them_apart(told: Any) -> None:
    received, send = told
    send(
        alert("LoadErrors", "warning", cache="model"),
        alert("LoadErrors", "warning", cache="provider"),
    )
    (shown,) = eventually(lambda: received.post("/slack", "LoadErrors"))["attachments"]
    assert shown["title"] == "TICKET: RouteCacheLoadErrors (routecache), 2 of them"
    assert shown["title_link"] == "http://p/user/RouteCacheLoadErrors.md"
    parts = shown["text"].split("\n\n")
    assert [re.findall("Where: (.*)", part) for part in parts] == [
        ["routecache, cache model"],
        ["routecache, cache provider"],
    ]
    assert len(eventually(lambda: received.post("/webhook", "LoadErrors"))["alerts"]) == 2


def test_the_end_is_told_with_its_time(told: Any) -> None:
    received, send = told
    begun = alert("L1Thrashing", "warning", cache="tool")
    send(begun)
    eventually(lambda: received.post("/slack", "L1Thrashing"))
    send({**begun, "endsAt": ENDED})

    def resolved() -> Any:
        (shown,) = received.post("/slack", "L1Thrashing")["attachments"]
        return shown if shown["title"].startswith("RESOLVED") else None

    shown = eventually(resolved, seconds=20)
    assert shown["title"] == "RESOLVED: RouteCacheL1Thrashing (routecache)"
    assert "Since: 2026-01-02 03:04:05 UTC, until 2026-01-02 03:34:05 UTC" in shown["text"]
    assert "Do: nothing; it is over." in shown["text"]


def test_the_platform_team_gets_a_mail_whose_text_cannot_become_markup(told: Any) -> None:
    received, send = told
    send(alert("MetricsAbsent", "warning", team="platform"))
    (raw,) = eventually(lambda: received.mails)
    mail = message_from_bytes(raw, policy=default)
    assert mail["Subject"] == "TICKET: RouteCacheMetricsAbsent (routecache)"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Do: http://p/user/RouteCacheMetricsAbsent.md" in text.get_content()
    assert '<a href="http://p/user/RouteCacheMetricsAbsent.md">' in html.get_content()
    assert "&lt;matters&gt;" in html.get_content()


def test_the_example_has_the_deployed_routes_and_inhibitions() -> None:
    """Only its receivers differ, by ways and not by name."""
    example, deployed = load(EXAMPLE), load(FOLDER / "alertmanager.yml")
    for part in ("route", "inhibit_rules"):
        assert example[part] == deployed[part]
    names = [[receiver["name"] for receiver in each["receivers"]] for each in (example, deployed)]
    assert names[0] == names[1]


def test_no_secret_stands_in_a_configuration() -> None:
    """Keys, passwords and addresses that are secrets come from files."""
    secret = re.compile(
        r"^\s*-?\s*(\w*(?:password|key|token|credentials|api_url))\s*:", re.MULTILINE
    )
    for path in FOLDER.glob("*.yml"):
        assert secret.findall(path.read_text("utf-8")) == []
