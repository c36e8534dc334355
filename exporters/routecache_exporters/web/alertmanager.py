"""`POST /hooks/alertmanager`: alerts about providers become reports of their health.

Every firing alert is a source of its own, `alertmanager:<fingerprint>`: a provider is unhealthy
while one of its alerts fires. Reports expire after `HealthPolicy.source_ttls["alertmanager"]`; the
`repeat_interval` of Alertmanager has to be shorter.

A browser that knows a password of the exporter must not be made to write by some other site. So
the message has to be `application/json`: no form can send that, and a script of another origin only
after a preflight, which nobody answers here.

Our own alerts are left out. RouteCacheProviderUnhealthy is made from our own gauge: taken for a
report, it would hold the gauge at 0, and the gauge would keep it firing.
"""

import hmac
import logging
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from routecache import RoutingCache, get_routing_cache
from routecache.errors import KeyTypeError
from routecache_exporters.web.answers import Response, plain_text

HOOK_PATH: Final = "/hooks/alertmanager"
SOURCE: Final = "alertmanager"
OWN_PREFIX: Final = "RouteCache"
MAX_BODY: Final = 1 << 20
"""Bytes. An alert takes about a kilobyte; `max_alerts` of the receiver bounds how many come."""

MAX_PROVIDER: Final = 256
"""Characters of a provider's name. What is longer is no provider, and each name is remembered."""

MIN_TOKEN: Final = 16
"""Characters of a token, below which it is taken for a mistake."""

_MAX_TOKEN_FILE: Final = 4096

_log = logging.getLogger("routecache.exporters")

Read: TypeAlias = Callable[[int], bytes]
"""Gives that many bytes of the request's body, or fewer if it ends."""


class _Alert(msgspec.Struct):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Message(msgspec.Struct):
    """Alertmanager's webhook, version 4, as far as it matters here."""

    version: Literal["4"]
    alerts: list[_Alert]
    truncatedAlerts: int = 0  # noqa: N815  # as Alertmanager spells it


class AlertmanagerHook:
    """Turns alerts with a label `provider` into health reports.

    routing: what is reported to; None is `get_routing_cache()` of the process, when an alert comes.
    token_file: a file with the token that `Authorization: Bearer` has to bring, read for every
        request, so that it may be replaced; who has a password of the server's basic
        authentication needs it as well. Without one who has such a password is let in, and
        nobody else.

    Safe for threads. It may block on Redis.
    """

    def __init__(
        self,
        routing: RoutingCache | None = None,
        *,
        token_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._routing = routing
        self._token_file = None if token_file is None else Path(token_file)

    @property
    def has_token(self) -> bool:
        """Whether a token of its own is what lets in, and nothing else."""
        return self._token_file is not None

    def respond(self, headers: Mapping[str, str], read: Read, *, authenticated: bool) -> Response:
        """Answer one POST. `authenticated`: the server knows who it is from.

        Raises OSError if the token file or the body cannot be read.
        """
        refusal = self.refusal(headers, authenticated=authenticated)
        if refusal is not None:
            return refusal
        try:
            message = msgspec.json.decode(read(int(headers["content-length"])), type=_Message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # Of a message that fits no schema it names the place, of other bytes their position.
            text = f"Not a message of Alertmanager's webhook, version 4: {error}\n"
            return plain_text(HTTPStatus.BAD_REQUEST, text)
        return self._take(message)

    def refusal(self, headers: Mapping[str, str], *, authenticated: bool) -> Response | None:
        """Why the body of such a POST is not read; None is that it may be, at its length.

        Raises OSError if the token file cannot be read.
        """
        if self._token_file is not None:
            refusal = self._wrong(headers.get("authorization", ""), self._token_file)
            if refusal is not None:
                return refusal
        elif not authenticated:
            text = "Configure basic_auth_users, or a token file for this hook.\n"
            return plain_text(HTTPStatus.FORBIDDEN, text)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return plain_text(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/json.\n")
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            return plain_text(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.\n")
        if len(length) > 10 or int(length) > MAX_BODY:
            text = f"Send at most {MAX_BODY} bytes; max_alerts bounds a receiver's.\n"
            return plain_text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        return None

    def _wrong(self, authorization: str, token_file: Path) -> Response | None:
        with token_file.open("rb") as file:
            expected = file.read(_MAX_TOKEN_FILE).strip()
        if len(expected) < MIN_TOKEN:
            text = f"The token file holds less than {MIN_TOKEN} characters.\n"
            return plain_text(HTTPStatus.FORBIDDEN, text)
        scheme, _, given = authorization.partition(" ")
        token = given.strip().encode("utf-8", "surrogateescape")
        # Both are looked at: whether the scheme was right is not told by time either.
        if hmac.compare_digest(token, expected) & (scheme.lower() == "bearer"):
            return None
        challenge = ("WWW-Authenticate", "Bearer")
        return plain_text(HTTPStatus.UNAUTHORIZED, "Unauthorized.\n", challenge)

    def _take(self, message: _Message) -> Response:
        taken = {"firing": 0, "resolved": 0}
        routing = self._routing
        # What fires first: a provider with one alert that ends and one that begins stays down.
        for alert in sorted(message.alerts, key=lambda alert: alert.status):
            provider, name = alert.labels.get("provider", ""), alert.labels.get("alertname", "")
            if not 0 < len(provider) <= MAX_PROVIDER or name.startswith(OWN_PREFIX):
                continue
            if routing is None:
                routing = get_routing_cache()
            try:
                routing.report_provider_health(
                    provider,
                    alert.status == "resolved",
                    source=f"{SOURCE}:{alert.fingerprint}",
                    reason=name,
                )
            except KeyTypeError:
                continue  # half a surrogate pair, which JSON can spell
            taken[alert.status] += 1
        ignored = len(message.alerts) - sum(taken.values())
        text = f"firing: {taken['firing']}, resolved: {taken['resolved']}, ignored: {ignored}"
        if message.truncatedAlerts > 0:
            text += f", cut off by max_alerts: {message.truncatedAlerts}"
            _log.warning("max_alerts cut %d alerts off a message", message.truncatedAlerts)
        return plain_text(HTTPStatus.OK, text + "\n")
