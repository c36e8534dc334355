"""The demo's inbox: what Alertmanager posts and what becomes of it."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from routecache_exporters.demo.webhook import Inbox


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(clock: Clock) -> Iterator[Inbox]:
    with Inbox(clock) as inbox:
        yield inbox


def alert(status: str, name: str = "RouteCacheL2Down", start: str = "t0") -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, "severity": "critical", "l2": "redis"},
        "annotations": {"summary": "Redis is down"},
        "startsAt": start,
        "fingerprint": name,
    }


def post(url: str, body: bytes) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body), timeout=5) as response:
        return int(response.status)


def notify(inbox: Inbox, *alerts: dict[str, Any]) -> None:
    assert post(inbox.url, json.dumps({"receiver": "page", "alerts": alerts}).encode()) == 204


def test_an_alert_fires_and_resolves(inbox: Inbox, clock: Clock) -> None:
    clock.now = 5.0
    notify(inbox, alert("firing"))
    clock.now = 9.0
    notify(inbox, alert("firing"))
    (notice,) = inbox.notices()
    assert (notice.name, notice.subject, notice.severity) == (
        "RouteCacheL2Down", "redis", "critical",
    )  # fmt: skip
    assert (notice.receiver, notice.fired, notice.resolved) == ("page", 5.0, None)
    notify(inbox, alert("resolved"))
    clock.now = 12.0
    notify(inbox, alert("resolved"))
    assert inbox.notices()[0].resolved == 9.0


def test_an_alert_that_fires_again_is_a_new_notice(inbox: Inbox) -> None:
    notify(inbox, alert("firing"), alert("firing", "Other"))
    notify(inbox, alert("resolved"))
    notify(inbox, alert("firing", start="t1"))
    assert [(n.name, n.resolved is None) for n in inbox.notices()] == [
        ("RouteCacheL2Down", False), ("Other", True), ("RouteCacheL2Down", True),
    ]  # fmt: skip


def test_an_alert_that_never_fired_here_does_not_resolve(inbox: Inbox) -> None:
    notify(inbox, alert("resolved"))
    assert inbox.notices() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"alerts": [{}]}'])
def test_what_is_no_notification_is_refused(inbox: Inbox, body: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(inbox.url, body)
    assert refused.value.code == 400
    refused.value.close()
    assert inbox.notices() == []
