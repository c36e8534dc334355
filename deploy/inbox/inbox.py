"""The stack's stand-in for a pager: prints every alert that Alertmanager posts to it.

    docker compose -f deploy/compose.yaml logs -f inbox

A GET answers 200, for the health check. Standard library only: it runs on a plain Python image.
"""

import json
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_BODY = 1 << 20


def lines(notification: dict[str, Any]) -> Iterator[str]:
    """One line per alert of a webhook notification (version 4)."""
    for alert in notification["alerts"]:
        labels, annotations = alert["labels"], alert.get("annotations", {})
        yield " ".join(
            (
                f"[{notification['receiver']}]",
                f"{alert['status'].upper()}",
                f"{labels.get('severity', '-')}",
                f"{labels['alertname']}:",
                f"{annotations.get('summary', '')}",
                f"{annotations.get('runbook_url', '')}",
            )
        )


class Inbox(BaseHTTPRequestHandler):
    """Takes notifications by POST, on any path."""

    timeout = 10

    def do_GET(self) -> None:
        """Say that the inbox is there."""
        self._answer(200)

    def do_POST(self) -> None:
        """Print the alerts of one notification."""
        length = int(self.headers.get("Content-Length", 0))
        if not 0 < length <= MAX_BODY:
            self._answer(413)
            return
        try:
            printed = list(lines(json.loads(self.rfile.read(length))))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._answer(400)
            return
        for line in printed:
            print(line, flush=True)
        self._answer(200)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name for it
        """Print alerts, not requests."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> None:
    """Serve until stopped; the port is the first argument, or 9465."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9465
    address = os.environ.get("INBOX_ADDRESS", "127.0.0.1")
    with ThreadingHTTPServer((address, port), Inbox) as server:
        print(f"inbox on {address}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
