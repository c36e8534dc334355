"""A wrapper that compresses what another serializer writes, above a size."""

from typing import Final

from routecache.errors import ConfigurationError, DecodeError
from routecache.serializers.names import bounded
from routecache.typing import Serializer

_PLAIN: Final = b"\x00"
_ZSTD: Final = b"\x01"


class CompressedSerializer:
    """zstd over another serializer, for encoded values larger than `over` bytes.

    One leading byte tells compressed payloads from plain ones, so that `over` and `level` may
    differ between readers and writers. What compression does not make smaller stays plain, and so
    does what is larger than `max_bytes`, since no reader would decompress it.

    Needs the extra `routecache[zstd]` (from Python 3.14 on the standard library does). Safe for
    threads: each call uses a context of its own, which costs about 10 µs and keeps no memory.

    Args:
        inner: what turns values into the bytes that are compressed.
        over: bytes; encoded values up to this size stay plain.
        level: zstd's own, higher is smaller and slower.
        max_bytes: bytes; a payload that would decompress to more is not decoded.

    Raises:
        ConfigurationError: an argument out of range, or the extra is not installed.
    """

    __slots__ = ("_frames", "_inner", "_level", "_max_bytes", "_name", "_over")

    def __init__(
        self, inner: Serializer, over: int, level: int = 3, *, max_bytes: int = 16 * 2**20
    ) -> None:
        try:
            from routecache.serializers import frames
        except ImportError as error:
            raise ConfigurationError(
                "compression needs zstd, which is not installed: pip install 'routecache[zstd]'"
            ) from error
        _within("over", over, 0, 2**31)
        _within("level", level, *frames.LEVELS)
        _within("max_bytes", max_bytes, 1, 2**31)
        self._frames = frames
        self._inner = inner
        self._over = over
        self._level = level
        self._max_bytes = max_bytes
        self._name = bounded(f"zstd+{inner.name}")

    @property
    def name(self) -> str:
        """zstd+ and the name of the inner serializer, at most 64 ASCII characters."""
        return self._name

    def __repr__(self) -> str:
        return f"CompressedSerializer({self._inner!r}, over={self._over}, level={self._level})"

    def dumps(self, value: object) -> bytes:
        """Encode and, if that pays, compress `value`; raises what the inner serializer raises."""
        encoded = self._inner.dumps(value)
        if self._over < len(encoded) <= self._max_bytes:
            compressed = self._frames.compress(encoded, self._level)
            if len(compressed) < len(encoded):
                return _ZSTD + compressed
        return _PLAIN + encoded

    def loads(self, data: bytes) -> object:
        """Decompress at most `max_bytes`, and decode; raises DecodeError."""
        marker, body = data[:1], data[1:]
        if marker == _ZSTD:
            body = self._frames.decompress(body, self._max_bytes)
        elif marker != _PLAIN:
            raise DecodeError("neither a plain nor a compressed payload")
        return self._inner.loads(body)


def _within(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ConfigurationError(f"{name} is {value!r}: an int from {low} to {high} is allowed")
