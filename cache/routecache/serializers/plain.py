"""Serializers of plain data: JSON, and MessagePack, which takes bytes and times too."""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from routecache.errors import DecodeError, SerializationError
from routecache.serializers.refusal import Refusal, index_step, key_step, locate, refused

_MAX_INT: Final = 2**64 - 1
_MIN_INT: Final = -(2**63)
_MAX_DEPTH: Final = 200

# What decoders raise for bytes that nobody wrote: msgspec's own errors and UnicodeDecodeError are
# ValueErrors; nesting ends in RecursionError, a length that is a lie may end in MemoryError.
_UNREADABLE: Final = (ValueError, TypeError, OverflowError, RecursionError, MemoryError)


class JsonSerializer:
    """JSON, the default: None, bool, int, float, str, and lists and str-keyed dicts of these.

    Refused, each with its path: tuples, sets, bytes, datetimes, dataclasses, subclasses of the
    types above (enums among them), NaN and infinities, integers beyond 64 bits, dict keys that
    are not str, lone surrogates, cycles and nesting deeper than 200. Safe for threads.
    """

    __slots__ = ("_decoder", "_encoder")

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    @property
    def name(self) -> str:
        """json."""
        return "json"

    def dumps(self, value: object) -> bytes:
        """Encode `value` as UTF-8 JSON; raises SerializationError naming type and path."""
        return _dumps(value, _JSON, self._encoder.encode)

    def loads(self, data: bytes) -> object:
        """Decode JSON; raises DecodeError."""
        try:
            return self._decoder.decode(data)
        except _UNREADABLE as error:
            raise DecodeError("not JSON") from error


class MsgpackSerializer:
    """MessagePack: what JSON takes, and bytes, infinities, UTC times, and keys that are not str.

    A datetime must have the zone `datetime.UTC` itself: the format stores an instant, so that any
    other zone, and a time without one, would come back changed. Dict keys are None, bool, int,
    float, str, bytes, UTC datetimes, and tuples of these.

    Refused, each with its path: tuples elsewhere (they come back as lists), sets, bytearrays,
    dates, Decimal, UUID, dataclasses, subclasses of the types above (enums among them), NaN,
    integers beyond 64 bits, lone surrogates, cycles and nesting deeper than 200. Payloads with
    extension types are not decoded. Safe for threads.
    """

    __slots__ = ("_decoder", "_encoder")

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(ext_hook=_no_extension)

    @property
    def name(self) -> str:
        """msgpack."""
        return "msgpack"

    def dumps(self, value: object) -> bytes:
        """Encode `value` as MessagePack; raises SerializationError naming type and path."""
        return _dumps(value, _MSGPACK, self._encoder.encode)

    def loads(self, data: bytes) -> object:
        """Decode MessagePack; raises DecodeError."""
        try:
            return self._decoder.decode(data)
        except _UNREADABLE as error:
            raise DecodeError("not MessagePack") from error


class _Rules(NamedTuple):
    """What a format gives back as it was."""

    format: str
    always: frozenset[type]
    """Types of which it takes every value."""
    examined: dict[type, Callable[[Any], None]]
    """Types of which it takes some values; the function raises Refusal for the others."""
    check_key: Callable[[object], None]
    """Raises Refusal for a dict key that is not an `always` str."""
    other_types: str
    """Advice for a value of any other type."""


def _dumps(value: object, rules: _Rules, encode: Callable[[object], bytes]) -> bytes:
    try:
        _check(value, rules, 0)
    except Refusal as refusal:
        raise refusal.into(rules.format) from None
    try:
        return encode(value)
    except UnicodeEncodeError as error:
        raise _lone_surrogate(value, rules.format, encode) from error


def _check(value: Any, rules: _Rules, depth: int) -> None:
    kind = type(value)
    always = rules.always
    if kind in always:
        return
    examine = rules.examined.get(kind)
    if examine is not None:
        examine(value)
    elif depth > _MAX_DEPTH:
        raise Refusal("nesting deeper than 200 (or a cycle)", "flatten it")
    elif kind is list:
        index = 0
        try:
            for index, item in enumerate(value):  # noqa: B007  # the handler uses it
                if type(item) not in always:
                    _check(item, rules, depth + 1)
        except Refusal as refusal:
            refusal.steps.append(index_step(index))
            raise
    elif kind is dict:
        for key in value:
            if type(key) is not str:
                rules.check_key(key)
        key = None
        try:
            for key, item in value.items():  # noqa: B007  # the handler uses it
                if type(item) not in always:
                    _check(item, rules, depth + 1)
        except Refusal as refusal:
            refusal.steps.append(key_step(key))
            raise
    else:
        raise Refusal(kind.__qualname__, rules.other_types)


def _check_int(value: int) -> None:
    if not _MIN_INT <= value <= _MAX_INT:
        raise Refusal("int beyond 64 bits", "store it as a str")


def _check_finite(value: float) -> None:
    if not math.isfinite(value):
        raise Refusal(repr(value), "store None or a str instead")


def _check_number(value: float) -> None:
    if math.isnan(value):
        raise Refusal("nan, which does not equal itself and", "store None or a str instead")


def _check_time(value: dt.datetime) -> None:
    if value.tzinfo is not dt.UTC:
        zone = "without a zone" if value.tzinfo is None else "of another zone than datetime.UTC"
        raise Refusal(f"datetime {zone}", "convert it with .astimezone(datetime.UTC)")


def _refuse_key(key: object) -> None:
    raise Refusal(f"dict key of type {type(key).__name__}", "use str keys")


def _check_msgpack_key(key: object) -> None:
    if type(key) is tuple:
        for part in key:
            _check_msgpack_key(part)
    elif type(key) not in _MSGPACK.always:
        examine = _MSGPACK.examined.get(type(key))
        if examine is None:
            _refuse_key(key)
        else:
            examine(key)


def _lone_surrogate(
    value: object, where: str, encode: Callable[[object], bytes]
) -> SerializationError:
    def fails(part: object) -> bool:
        try:
            encode(part)
        except UnicodeEncodeError:
            return True
        except TypeError:
            return False  # a key of a dict need not be encodable as a value
        return False

    path, _ = locate(value, fails)
    return refused(path, "str with a lone surrogate", f"the UTF-8 of {where}", "replace it")


def _no_extension(*_: object) -> NoReturn:
    raise DecodeError("an extension type, which no serializer of ours writes")


_SCALARS: Final[frozenset[type]] = frozenset({str, bool, type(None)})
_JSON: Final = _Rules(
    "JSON",
    _SCALARS,
    {int: _check_int, float: _check_finite},
    _refuse_key,
    "convert it first or use another serializer",
)
_MSGPACK: Final = _Rules(
    "MessagePack",
    _SCALARS.union({bytes}),
    {int: _check_int, float: _check_number, dt.datetime: _check_time},
    _check_msgpack_key,
    "convert it first or use TypedSerializer",
)
