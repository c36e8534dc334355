"""Serializers: values to bytes and back, without changing a value's type on the way.

A value that came back from L2 as another type than L1 holds would make a program's behaviour
depend on which tier answered. So `dumps` refuses what `loads` would not give back equal.
"""

import math
from typing import Any, Final

import msgspec

from routecache.errors import DecodeError, SerializationError

_SCALARS: Final = frozenset({str, bool, type(None)})
_MAX_INT: Final = 2**64 - 1
_MIN_INT: Final = -(2**63)
_MAX_DEPTH: Final = 200


class JsonSerializer:
    """JSON, the default: None, bool, int, float, str, and lists and str-keyed dicts of these.

    Refused, each with its path: tuples, sets, bytes, datetimes, dataclasses, subclasses of the
    types above (enums among them), NaN and infinities, integers beyond 64 bits, dict keys that
    are not str, lone surrogates, cycles and nesting deeper than 200. Safe for threads.
    """

    @property
    def name(self) -> str:
        """json."""
        return "json"

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    def dumps(self, value: object) -> bytes:
        """Encode `value` as UTF-8 JSON; raises SerializationError naming type and path."""
        _check(value, "value", 0)
        try:
            return self._encoder.encode(value)
        except UnicodeEncodeError as error:
            raise SerializationError(
                "value holds a str with a lone surrogate, which UTF-8 cannot carry: replace it"
            ) from error

    def loads(self, data: bytes) -> object:
        """Decode JSON; raises DecodeError."""
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DecodeError("not JSON") from error


def _check(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is int:
        if not _MIN_INT <= value <= _MAX_INT:
            raise _refused(path, "int beyond 64 bits", "store it as a str")
    elif kind is float:
        if not math.isfinite(value):
            raise _refused(path, repr(value), "store None or a str instead")
    elif depth > _MAX_DEPTH:
        raise _refused(path, "nesting deeper than 200 (or a cycle)", "flatten it")
    elif kind is list:
        for i, item in enumerate(value):
            _check(item, f"{path}[{i}]" if type(item) not in _SCALARS else path, depth + 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise _refused(path, f"dict key of type {type(key).__name__}", "use str keys")
            if type(item) not in _SCALARS:
                _check(item, f"{path}[{key!r}]", depth + 1)
    else:
        raise _refused(path, kind.__qualname__, "convert it first or use another serializer")


def _refused(path: str, what: str, advice: str) -> SerializationError:
    return SerializationError(
        f"{path} is {what}, which JSON would not give back as it was: {advice}"
    )
