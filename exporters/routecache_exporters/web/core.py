"""What the exporter answers, without any I/O: the adapters bring requests here and carry answers.

One `Site` serves every adapter, so that the built-in server, a WSGI mount and an ASGI mount cannot
differ. Between requests it keeps the last minutes and nothing else.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import parse_qs

import msgspec
from prometheus_client.core import REGISTRY, CollectorRegistry

from routecache import registry as caches
from routecache.registry import ProcessSnapshot
from routecache_exporters.multiprocess import WorkersReader
from routecache_exporters.performance_metrics import metrics_of
from routecache_exporters.performance_shapes import PerformanceMetrics
from routecache_exporters.prometheus import register
from routecache_exporters.web import status
from routecache_exporters.web.alertmanager import HOOK_PATH, AlertmanagerHook, Read
from routecache_exporters.web.answers import Response, compressed, plain_text
from routecache_exporters.web.history import LATELY, MINUTE, History
from routecache_exporters.web.negotiation import choose_format

METRICS_PATH: Final = "/metrics"
STATS_PATH: Final = "/stats.json"
HEALTHY_PATH: Final = "/-/healthy"
READY_PATH: Final = "/-/ready"

_JSON: Final = "application/json"
_ALLOW: Final = "GET, HEAD"
_log = logging.getLogger("routecache.exporters")

Ready: TypeAlias = Callable[[], bool]


class Site:
    """The pages of the exporter.

    registry: what /metrics serves; None is prometheus_client's global registry. routecache's
        collector is registered in it unless it is there already.
    ready: called for every request of /-/ready, which answers 503 while it gives False or raises;
        None is always ready.
    snapshot: what the status page and /stats.json show; with workers, this process's part of it.
    alertmanager: what takes alerts at `HOOK_PATH`; None is nothing there.
    workers: a directory of `routecache.multiprocess` whose workers to show all together; None is
        the one that this process counts in, if it counts in one.

    Safe for threads and tasks. `ready`, the collectors of the registry and so `respond` may
    block; asyncio programs call it in a thread.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        ready: Ready | None = None,
        snapshot: Callable[[], ProcessSnapshot] = caches.snapshot,
        workers: str | os.PathLike[str] | None = None,
        alertmanager: AlertmanagerHook | None = None,
    ) -> None:
        self._alertmanager = alertmanager
        self._registry = REGISTRY if registry is None else registry
        self._ready = ready
        self._history = History(_source(snapshot, WorkersReader(workers)))
        register(self._registry, workers=workers)
        self._pages: Mapping[str, Callable[[Mapping[str, str], str, str], Response]] = {
            "": self._status,
            "/": self._status,
            METRICS_PATH: self._metrics,
            STATS_PATH: self._stats,
            HEALTHY_PATH: self._healthy,
            READY_PATH: self._readiness,
        }

    def watch(self) -> None:
        """Begin to keep the last minutes, which the first request begins otherwise.

        For who knows that this process is the one that serves. Harmless when repeated.
        """
        self._history.start()

    def rest(self) -> None:
        """Keep no more minutes until `watch` or the next request, and forget those kept."""
        self._history.stop()

    def takes_body(self, method: str, path: str) -> bool:
        """Whether `respond` may read the body of such a request."""
        return method == "POST" and path == HOOK_PATH and self._alertmanager is not None

    def has_own_key(self, path: str) -> bool:
        """Whether what is at `path` asks for a token of its own, and for no user's password."""
        return path == HOOK_PATH and self._alertmanager is not None and self._alertmanager.has_token

    def refusal(self, headers: Mapping[str, str]) -> Response | None:
        """For who has to fetch the body before `respond` reads it: why it is not to be fetched.

        For requests of which `takes_body` is true and of clients who are not `authenticated`.
        None: it may be, as much as its Content-Length says. Never raises; may block.
        """
        assert self._alertmanager is not None
        try:
            return self._alertmanager.refusal(headers, authenticated=False)
        except Exception as error:  # noqa: BLE001  # such as a token file that is not there
            return _failed(HOOK_PATH, error)

    def respond(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: str,
        *,
        mount: str = "",
        read: Read | None = None,
        authenticated: bool = False,
    ) -> Response:
        """Answer one request; never raises.

        path: decoded and relative to the mount point; "" is the mount point itself.
        headers: as `fold_headers` gives them.
        query: as sent, without the question mark.
        mount: where an application mounted the site, "" if at its root; only links need it.
        read: gives the body, if `takes_body`.
        authenticated: the client showed who it is.
        """
        self._history.start()
        if path == HOOK_PATH and self._alertmanager is not None:
            return self._hook(self._alertmanager, method, headers, read, authenticated)
        page = self._pages.get(path)
        if page is None:
            response = plain_text(HTTPStatus.NOT_FOUND, "Not found.\n")
        elif method not in ("GET", "HEAD"):
            response = plain_text(
                HTTPStatus.METHOD_NOT_ALLOWED, f"Use one of {_ALLOW}.\n", ("Allow", _ALLOW)
            )
        else:
            try:
                response = page(headers, query, _link_prefix(path, mount))
            except Exception as error:  # noqa: BLE001  # a collector may raise anything
                response = _failed(path, error)
        if method == "HEAD":
            return Response(response.status, response.headers, b"")
        return response

    def _hook(
        self,
        hook: AlertmanagerHook,
        method: str,
        headers: Mapping[str, str],
        read: Read | None,
        authenticated: bool,
    ) -> Response:
        if method != "POST" or read is None:
            allow = ("Allow", "POST")
            return plain_text(HTTPStatus.METHOD_NOT_ALLOWED, "Use POST.\n", allow)
        try:
            return hook.respond(headers, read, authenticated=authenticated)
        except Exception as error:  # noqa: BLE001  # a client that goes away, a cache that is closed
            return _failed(HOOK_PATH, error)

    def _metrics(self, headers: Mapping[str, str], query: str, _prefix: str) -> Response:
        encode, content_type = choose_format(headers.get("accept", ""))
        names = parse_qs(query).get("name[]")
        body = encode(self._registry.restricted_registry(names) if names else self._registry)
        return compressed(headers, content_type, body, vary="Accept, Accept-Encoding")

    def _stats(self, headers: Mapping[str, str], query: str, _prefix: str) -> Response:
        metrics = self._metrics_now()
        if "history" in parse_qs(query, keep_blank_values=True):
            metrics["history"] = self._history.columns()
        # It writes null for what JSON has no number for, such as an endless TTL.
        return compressed(headers, _JSON, msgspec.json.encode(metrics), vary="Accept-Encoding")

    def _status(self, headers: Mapping[str, str], _query: str, prefix: str) -> Response:
        metrics = None
        try:
            metrics = self._metrics_now()
        except Exception as error:  # noqa: BLE001  # the page says so instead
            _log.warning("no counters for the status page: %s", type(error).__name__)
        return compressed(
            headers,
            "text/html; charset=utf-8",
            status.render(metrics, prefix).encode(),
            ("Content-Security-Policy", status.content_security_policy()),
            ("Referrer-Policy", "no-referrer"),
            vary="Accept-Encoding",
        )

    def _metrics_now(self) -> PerformanceMetrics:
        now = self._history.read()
        return metrics_of(
            now,
            earlier=self._history.before(now, MINUTE),
            lately=self._history.before(now, LATELY),
        )

    def _healthy(self, _headers: Mapping[str, str], _query: str, _prefix: str) -> Response:
        return plain_text(HTTPStatus.OK, "Healthy.\n")

    def _readiness(self, _headers: Mapping[str, str], _query: str, _prefix: str) -> Response:
        ready = True
        if self._ready is not None:
            try:
                ready = self._ready()
            except Exception as error:  # noqa: BLE001  # the program's own code
                _log.warning("the ready check raised %s", type(error).__name__)
                ready = False
        if ready:
            return plain_text(HTTPStatus.OK, "Ready.\n")
        return plain_text(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready.\n")


def _source(
    snapshot: Callable[[], ProcessSnapshot], workers: WorkersReader
) -> Callable[[], ProcessSnapshot]:
    def together() -> ProcessSnapshot:
        mine = snapshot()
        if not workers.in_use:
            return mine
        merged = workers.read(mine)
        # One that no living worker uses has counters and no state that could be shown.
        return replace(merged, endpoints=tuple(e for e in merged.endpoints if e.circuit))

    return together


def fold_headers(raw: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers as `Site.respond` takes them: lower-case names, repeated ones joined by a comma."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _failed(path: str, error: Exception) -> Response:
    # Its text may quote what must not be seen; the type tells where to look.
    name = type(error).__name__
    _log.warning("%s failed with %s", path, name)
    return plain_text(HTTPStatus.INTERNAL_SERVER_ERROR, f"Failed with {name}.\n")


def _link_prefix(path: str, mount: str) -> str:
    # Links are relative, so that they survive a proxy that strips a prefix. Without a slash at
    # the end, a browser resolves them against the parent of the mount point.
    if path or not mount:
        return ""
    return mount.rstrip("/").rpartition("/")[2] + "/"
