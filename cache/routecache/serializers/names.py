"""Names of serializers: what an envelope stores and a reader compares, bounded and ASCII."""

import hashlib
import re
from typing import Final

MAX_NAME: Final = 64
_DIGEST_CHARS: Final = 8
_OUTSIDE: Final = re.compile(r"[^A-Za-z0-9._:+|,~\[\]<>-]")


def digest(text: str) -> str:
    """Eight hex digits that tell texts apart whose shortened forms are alike."""
    encoded = text.encode("utf-8", "backslashreplace")
    return hashlib.blake2b(encoded, digest_size=_DIGEST_CHARS // 2).hexdigest()


def readable(text: str) -> str:
    """`text` with an underscore for every character that a name does not hold."""
    return _OUTSIDE.sub("_", text)


def bounded(name: str) -> str:
    """`name` itself if it is short and plain; else its beginning and a digest of all of it."""
    plain = readable(name)
    if plain == name and len(name) <= MAX_NAME:
        return name
    return f"{plain[: MAX_NAME - _DIGEST_CHARS - 1]}~{digest(name)}"
