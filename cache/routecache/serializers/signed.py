"""A wrapper that signs what another serializer writes, for Redis servers shared with others."""

import hmac
from collections.abc import Sequence
from typing import Final

from routecache.errors import ConfigurationError, DecodeError
from routecache.serializers.names import bounded
from routecache.typing import Serializer

_MIN_KEY: Final = 16
_TAG: Final = 32
_CONTEXT: Final = b"routecache signed 1"


class SignedSerializer:
    """HMAC-SHA256 over another serializer: payloads that no holder of a key wrote do not decode.

    The signature covers the payload and the inner serializer's name. HMAC-SHA256 rather than
    keyed BLAKE2b because every language and every FIPS build has it; they cost about the same.

    What it does not protect against: a serializer sees neither the cache key nor the envelope's
    times and tags. Who can write to the Redis server can still delete entries, put back an older
    payload, put a payload that was signed for one cache key under another key, or change how long
    it lives. A serializer cannot mend that; only a signature over key and envelope could. Use a
    key of its own for each cache whose values must not be confused with another's, and Redis ACLs
    where the others can be kept from writing. Nothing is encrypted.

    Wrap compression, not the other way round: `SignedSerializer(CompressedSerializer(...), key)`
    decompresses nothing that was not signed. Safe for threads.

    Args:
        inner: what turns values into the bytes that are signed.
        key: secret bytes, at least 16, or several: the first signs, all verify. To rotate, add
            the new key last everywhere, then move it to the front, then drop the old one.

    Raises:
        ConfigurationError: no key, one that is not bytes or is too short; never shows a key.
    """

    __slots__ = ("_inner", "_name", "_states")

    def __init__(self, inner: Serializer, key: bytes | Sequence[bytes]) -> None:
        context = b"\0".join((_CONTEXT, inner.name.encode(), b""))
        # Keyed states are copied for each payload; the keys themselves are not kept.
        self._states = tuple(hmac.new(one, context, "sha256") for one in _checked(key))
        self._inner = inner
        self._name = bounded(f"signed+{inner.name}")

    @property
    def name(self) -> str:
        """signed+ and the name of the inner serializer, at most 64 ASCII characters."""
        return self._name

    def __repr__(self) -> str:
        return f"SignedSerializer({self._inner!r}, {len(self._states)} keys)"

    def dumps(self, value: object) -> bytes:
        """Encode and sign `value`; raises what the inner serializer raises."""
        encoded = self._inner.dumps(value)
        return _sign(self._states[0], encoded) + encoded

    def loads(self, data: bytes) -> object:
        """Verify, in constant time for each key, and only then decode; raises DecodeError."""
        tag, encoded = data[:_TAG], data[_TAG:]
        if not any(hmac.compare_digest(_sign(state, encoded), tag) for state in self._states):
            raise DecodeError("not signed with a known key")
        return self._inner.loads(encoded)


def _checked(key: object) -> list[bytes]:
    """One key or several as a list; raises ConfigurationError, which shows none of them."""
    if isinstance(key, str) or not isinstance(key, bytes | Sequence) or not key:
        raise ConfigurationError("key is neither bytes nor a sequence of at least one of them")
    keys = [key] if isinstance(key, bytes) else list(key)
    for one in keys:
        if not isinstance(one, bytes):
            raise ConfigurationError(f"a key is a {type(one).__name__}: bytes are allowed")
        if len(one) < _MIN_KEY:
            raise ConfigurationError(f"a key is too short: {_MIN_KEY} bytes or more are allowed")
    return keys


def _sign(state: hmac.HMAC, encoded: bytes) -> bytes:
    mac = state.copy()
    mac.update(encoded)
    return mac.digest()
