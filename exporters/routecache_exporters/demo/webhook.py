"""The inbox of the demo: a webhook that Alertmanager notifies, and what it was told."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from routecache.typing import Timer
from routecache_exporters.ports import LOOPBACK

_MAX_BODY = 1 << 20
_MAX_ALERTS = 1000


@dataclass(slots=True)
class Notice:
    """One alert as it reached the inbox. Times are those of `Inbox`'s timer, in seconds.

    `subject` is the cache or the L2 endpoint that it is about, or empty; `labels` are all it has.
    """

    name: str
    subject: str
    severity: str
    summary: str
    receiver: str
    fired: float
    resolved: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class Inbox:
    """A webhook receiver on a free loopback port, and what came in. Safe for threads."""

    def __init__(self, timer: Timer = time.monotonic) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._notices: dict[tuple[str, str], Notice] = {}
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True,
            name="routecache-demo-inbox",
        )  # fmt: skip
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where Alertmanager is to post."""
        return f"http://{LOOPBACK}:{self._server.server_port}/"

    def notices(self) -> list[Notice]:
        """All notices in the order of their arrival."""
        with self._lock:
            return list(self._notices.values())

    def receive(self, message: dict[str, Any]) -> None:
        """Take in one notification: Alertmanager's webhook payload, version 4."""
        now = self._timer()
        with self._lock:
            for alert in message["alerts"]:
                key = (alert["fingerprint"], alert["startsAt"])
                if key not in self._notices:
                    if len(self._notices) >= _MAX_ALERTS or alert["status"] != "firing":
                        continue
                    labels = alert["labels"]
                    self._notices[key] = Notice(
                        labels.get("alertname", ""),
                        labels.get("cache") or labels.get("l2") or "",
                        labels.get("severity", ""),
                        alert.get("annotations", {}).get("summary", ""),
                        message.get("receiver", ""),
                        now,
                        labels=labels,
                    )
                notice = self._notices[key]
                if alert["status"] == "resolved" and notice.resolved is None:
                    notice.resolved = now

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            try:
                if size > _MAX_BODY:
                    raise ValueError("too large")
                inbox.receive(json.loads(self.rfile.read(size)))
            except (ValueError, KeyError, TypeError):
                self.send_error(400)
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (inherited)
            """The demo's own table is the log."""

    return Handler
