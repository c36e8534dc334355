"""The web configuration file, in the format of Prometheus' exporter-toolkit, read and judged.

What the format's own reader refuses is refused here. What it accepts although nobody could connect,
or everybody could who should not, is refused as well: docs/web.md lists these cases.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from routecache.errors import ConfigurationError
from routecache_exporters.web.tls_settings import TLSSettings, read_tls
from routecache_exporters.web.yaml_nodes import Scalar, Section

_TOP: Final = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")

# The toolkit's own list: the headers that can be added, and the values where only some make sense.
_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}

_BCRYPT: Final = re.compile(r"\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_DURATION: Final = re.compile(r"\+?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_PART: Final = re.compile(r"([\d.]+)(\D+)")
_SECONDS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `burst` requests at once, and one more every `interval` seconds."""

    interval: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What a web configuration file says.

    tls: None is plain HTTP. users: names with bcrypt hashes; none is no authentication.
    headers: added to answers.
    """

    tls: TLSSettings | None = None
    users: tuple[tuple[bytes, bytes], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    rate_limit: RateLimit | None = None


def parse(file: Path, content: bytes) -> WebConfig:
    """Read `content`, which is that of `file`; certificates are not opened.

    Raises ConfigurationError, which names file, line and key and says what to do.
    """
    try:
        top = Section.of_file(file, content, _TOP)
        return WebConfig(read_tls(top), _users(top), _headers(top), _rate_limit(top))
    except RecursionError:
        raise ConfigurationError(f"{file}: a mapping contains itself; write it out") from None


def _headers(top: Section) -> tuple[tuple[str, str], ...]:
    http = top.section("http_server_config", ("headers", "http2"))
    http2 = http.scalar("http2")
    if http2 is not None:
        http2.boolean()  # without effect: HTTP/1 alone is served, which every client speaks
    section = http.section("headers", tuple(_HEADERS))
    headers = []
    for name, allowed in _HEADERS.items():
        given = section.scalar(name)
        value = given.text if given is not None else ""
        if allowed and name in http.table("headers") and value not in allowed:
            raise section.at(name).error(f"use {' or '.join(allowed)}")
        if not value.isprintable() or not value.isascii():
            raise section.at(name).error("use printable ASCII in one line")
        if value:
            headers.append((name, value))
    return tuple(headers)


def _users(top: Section) -> tuple[tuple[bytes, bytes], ...]:
    users = top.table("basic_auth_users")
    for name, hashed in users.items():
        if not _BCRYPT.fullmatch(hashed.text):
            raise hashed.place.error(
                'not a bcrypt hash of cost 04 to 31; make one with `htpasswd -nBC 10 ""`'
            )
        if ":" in name:
            raise hashed.place.error("a name with a colon cannot be sent; choose another")
    return tuple((name.encode(), hashed.text.encode()) for name, hashed in users.items())


def _rate_limit(top: Section) -> RateLimit | None:
    section = top.section("rate_limit", ("interval", "burst"))
    interval, burst = section.scalar("interval"), section.scalar("burst")
    seconds = 0.0 if interval is None else _duration(interval)
    number = 0 if burst is None else _whole(burst)
    if not seconds:
        return None
    if number < 1:
        raise section.at("burst").error("give 1 or more, or no request is ever let through")
    return RateLimit(seconds, number)


def _duration(scalar: Scalar) -> float:
    if scalar.text == "0":
        return 0.0
    # A number without a unit would be nanoseconds.
    if not _DURATION.fullmatch(scalar.text):
        raise scalar.place.error("give a duration with its unit, such as 1s, 500ms or 1m30s")
    parts = _PART.findall(scalar.text.removeprefix("+"))
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _whole(scalar: Scalar) -> int:
    if scalar.quoted or not re.fullmatch(r"0|[1-9][0-9]{0,8}", scalar.text):
        raise scalar.place.error("give a whole number")
    return int(scalar.text)
