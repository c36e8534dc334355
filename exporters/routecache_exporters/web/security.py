"""The web configuration in force: reread as it changes, and asked for every connection.

The files are read for every connection, as in the exporter-toolkit, so that no signal and no file
watcher is needed; their digests tell whether anything has to be built anew. A change that cannot be
used is logged once and what was in force stays: a certificate and its key are replaced one after
the other, and monitoring should not go blind for a typing error.
"""

import hashlib
import logging
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from routecache.errors import ConfigurationError
from routecache.typing import Timer
from routecache_exporters.web.alertmanager import Read
from routecache_exporters.web.answers import Response, plain_text
from routecache_exporters.web.auth import BasicAuth, OverloadedError
from routecache_exporters.web.config_file import RateLimit, WebConfig, parse
from routecache_exporters.web.tls import make_context

_MAX_FILE: Final = 4 << 20
_CHALLENGE: Final = ("WWW-Authenticate", 'Basic realm="routecache", charset="UTF-8"')

_log = logging.getLogger("routecache.exporters")


class Pages(Protocol):
    """What answers requests: a `Site`, or one behind a guard."""

    def has_own_key(self, path: str) -> bool:
        """Whether it lets in at `path` by itself; see `Site.has_own_key`."""
        ...

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
        """Answer one request; see `Site.respond`."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one connection. The default is plain HTTP for everybody."""

    context: ssl.SSLContext | None = None
    allowed_sans: frozenset[str] | None = None
    users: Mapping[bytes, bytes] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    rate_limit: RateLimit | None = None


class Security:
    """A web configuration file at work.

    file: its path; the files that it names are relative to its folder.
    timer: a monotonic clock in seconds, for the rate limit.

    `tls` tells whether TLS is spoken, which cannot change while the server runs.
    Safe for threads. Raises ConfigurationError if the file cannot be used as it is now.
    """

    def __init__(self, file: Path, timer: Timer) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._auth: BasicAuth | None = None
        self._bucket = _Bucket(timer)
        self._files: tuple[Path, ...] = ()
        self._tried: tuple[bytes, ...] = ()
        self.tls: bool | None = None
        self._policy = self._load(_slurp(file))
        self.tls = self._policy.context is not None

    def current(self) -> Policy:
        """What holds now. Never raises; may block for as long as reading small files takes."""
        with self._lock:
            content = _slurp(self._file)
            if self._prints(content) != self._tried:
                try:
                    self._policy = self._load(content)
                except ConfigurationError as error:
                    _log.error("the web configuration in force stays, because of %s", error)
                else:
                    _log.info("the web configuration was read anew: %s", self._file)
            return self._policy

    def respond(
        self,
        policy: Policy,
        pages: Pages,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: str,
        read: Read | None = None,
    ) -> Response:
        """Answer one request under `policy`, by `pages` if it may pass. Never raises."""
        # One header cannot bring a password and a token.
        users = {} if pages.has_own_key(path) else policy.users
        response = self._refusal(policy, users, headers.get("authorization", ""))
        if response is None:
            response = pages.respond(
                method, path, headers, query, read=read, authenticated=bool(users)
            )
        # A page's own header stays: it was made for that page.
        taken = {name.lower() for name, _ in response.headers}
        added = (pair for pair in policy.headers if pair[0].lower() not in taken)
        body = b"" if method == "HEAD" else response.body
        return Response(response.status, (*response.headers, *added), body)

    def _refusal(
        self, policy: Policy, users: Mapping[bytes, bytes], authorization: str
    ) -> Response | None:
        if policy.rate_limit is not None and not self._bucket.take(policy.rate_limit):
            return plain_text(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests.\n")
        if not users:
            return None
        assert self._auth is not None
        try:
            if self._auth.allows(users, authorization):
                return None
        except OverloadedError:
            text = "Too many passwords are being checked. Try again.\n"
            return plain_text(HTTPStatus.SERVICE_UNAVAILABLE, text, ("Retry-After", "1"))
        return plain_text(HTTPStatus.UNAUTHORIZED, "Unauthorized.\n", _CHALLENGE)

    def _load(self, content: "_Content") -> Policy:
        self._files = ()
        try:
            if isinstance(content, OSError):
                raise ConfigurationError(f"cannot read {self._file}: {content.strerror}")
            if len(content) > _MAX_FILE:
                raise ConfigurationError(f"{self._file} is no web configuration: it is too large")
            config = parse(self._file, content)
            self._files = config.tls.files if config.tls is not None else ()
        finally:
            # Taken before the certificates are loaded, so that what changes meanwhile is seen.
            self._tried = self._prints(content)
        return self._build(config)

    def _build(self, config: WebConfig) -> Policy:
        tls = config.tls
        if self.tls is not None and self.tls != (tls is not None):
            raise ConfigurationError(
                f"{self._file}: TLS cannot be switched on or off while the server runs; restart it"
            )
        context = None if tls is None else make_context(tls)
        if config.users and self._auth is None:
            self._auth = BasicAuth()
        for note in () if tls is None else tls.notes:
            _log.warning("%s: %s", self._file, note)
        return Policy(
            context,
            None if tls is None else tls.allowed_sans,
            dict(config.users),
            config.headers,
            config.rate_limit,
        )

    def _prints(self, content: "_Content") -> tuple[bytes, ...]:
        return tuple(map(_print, (content, *map(_slurp, self._files))))


class _Bucket:
    """Tokens for requests. Safe for threads."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._at = 0.0

    def take(self, limit: RateLimit) -> bool:
        """Whether there is one left under `limit`; a new limit begins with a full bucket."""
        with self._lock:
            now = self._timer()
            if limit != self._limit:
                self._limit, self._tokens = limit, float(limit.burst)
            else:
                grown = self._tokens + (now - self._at) / limit.interval
                self._tokens = min(float(limit.burst), grown)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


_Content: TypeAlias = bytes | OSError


def _slurp(path: Path) -> _Content:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE + 1)
    except OSError as error:
        return error


def _print(content: _Content) -> bytes:
    if isinstance(content, OSError):
        return str(content.errno).encode()
    return hashlib.sha256(content).digest()
