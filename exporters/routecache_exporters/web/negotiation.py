"""Content negotiation of /metrics: what the client accepts, against what can be served.

prometheus_client's own `choose_encoder` takes the first format that it recognises, whatever its
weight, and raises on a version that is not a number; its `gzip_accepted` overlooks `q=0`. So the
weights are judged here, and the encoder is chosen from one cleaned-up media range.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.openmetrics.exposition import ALLOWUTF8, DOTS, UNDERSCORES, VALUES
from prometheus_client.registry import Collector

Encoder: TypeAlias = Callable[[Collector], bytes]

_OPENMETRICS: Final = "application/openmetrics-text"
_TEXT: Final = "text/plain"
_VERSIONS: Final = {_OPENMETRICS: ("", "1.0.0"), _TEXT: ("", "0.0.4", "1.0.0")}
_WILDCARDS: Final = ("*/*", "text/*")
# Only these go on to `choose_encoder`, which splits at every ";" and ",", also inside quotes.
_ESCAPINGS: Final = (ALLOWUTF8, UNDERSCORES, DOTS, VALUES)


def choose_format(accept: str) -> tuple[Encoder, str]:
    """The encoder and the content type for an Accept header.

    The range with the highest weight that names a format we have wins, the first of equals.
    Without one the classic text format is served: a scraper can always read it, and a 406 would
    only hide the metrics.
    """
    for media_range, parameters in _by_weight(accept):
        if media_range in _WILDCARDS:
            break
        version = parameters.get("version", "")
        if version in _VERSIONS.get(media_range, ()):
            wanted = [media_range]
            if version:
                wanted.append(f"version={version}")
            if parameters.get("escaping") in _ESCAPINGS:
                wanted.append(f"escaping={parameters['escaping']}")
            return choose_encoder(";".join(wanted))
    return generate_latest, CONTENT_TYPE_PLAIN_0_0_4


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip, by name or by `*`."""
    weights = {name: _weight(parameters) for name, parameters in _ranges(accept_encoding)}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _by_weight(header: str) -> list[tuple[str, dict[str, str]]]:
    acceptable = [entry for entry in _ranges(header) if _weight(entry[1]) > 0]
    return sorted(acceptable, key=lambda entry: -_weight(entry[1]))


def _ranges(header: str) -> list[tuple[str, dict[str, str]]]:
    entries: list[tuple[str, dict[str, str]]] = []
    for entry in _split(header.lower(), ","):
        name, *rest = _split(entry, ";")
        pairs = (part.partition("=") for part in rest if "=" in part)
        entries.append((name, {key.strip(): _unquoted(value.strip()) for key, _, value in pairs}))
    return entries


def _split(text: str, separator: str) -> list[str]:
    """`text` split at `separator` outside of quoted strings (RFC 9110, 5.6.4), parts stripped."""
    if '"' not in text:
        return [part.strip() for part in text.split(separator)]
    parts: list[str] = []
    begin, quoted, escaped = 0, False, False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == '"':
            quoted = not quoted
        elif quoted:
            escaped = char == "\\"
        elif char == separator:
            parts.append(text[begin:i].strip())
            begin = i + 1
    return [*parts, text[begin:].strip()]


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])


def _weight(parameters: dict[str, str]) -> float:
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
