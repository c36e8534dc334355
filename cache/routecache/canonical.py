"""The canonical form of a request context: plain data that has one spelling in bytes.

`plain_form` replaces what `keys.digest` declares equal (a set by its sorted list, a dataclass by
its dict, ...) until only plain data is left, and `encode`, MessagePack, writes that down. Two
different plain trees never give the same bytes: nil, bool, int, float64, str, bin, array and map
each have leading bytes of their own, a length stands before its content, an integer has one (the
shortest) form and a map its keys in one (sorted) order. What MessagePack cannot say becomes an
extension type, which nothing else here writes, so that no list or dict can imitate it: integers
beyond 64 bits, str with lone surrogates, dicts with other keys than str, and objects with their
class where that counts.

The walk is Python and slow. Most contexts are plain already, which `is_plain` sees, and then the
walk would change nothing. It looks at exact types, because the encoder by itself takes more: a
Decimal as its text, an aware datetime as a number, `msgspec.Raw` unread, and frozensets in a set in
no fixed order. It does not look at keys: with an order asked for, the encoder refuses all but str.

These bytes name entries that processes of several releases share, so they must stay as they are:
golden digests in the tests fail when a release of Python or msgspec, or a hash seed, changes them.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from math import isnan
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.msgpack import Ext

from routecache.errors import KeyTypeError

MAX_DEPTH: Final = 100
"""How many containers may lie in one another, the context itself included."""

encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
"""Plain data to bytes. Raises TypeError, ValueError or OverflowError for what needs the walk."""

_PLAIN: Final = frozenset({str, int, bool, type(None), bytes, date, UUID})
_FINAL: Final = frozenset({bool, type(None), bytes})
_CONTAINERS: Final = frozenset({dict, list, tuple, set, frozenset})
_NAN: Final = float("nan")  # NaN has many bit patterns
_EXT_INT: Final = 1
_EXT_STR: Final = 2
_EXT_DICT: Final = 3
_EXT_OBJECT: Final = 4
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_MAX_STEPS: Final = 12  # of a path shown in a message
_ADVICE: Final = {
    "Decimal": "pass str() of it",
    "timedelta": "pass its total_seconds()",
    "mappingproxy": "pass dict() of it",
    "deque": "pass list() of it",
    "ndarray": "pass its tolist()",
}


def is_plain(values: Iterable[Any], depth: int) -> bool:
    """Whether `encode` says all of `values` as the walk would, unless it raises.

    `depth` is the number of containers around them.
    """
    for value in values:
        kind = type(value)
        if kind is str or kind in _PLAIN:
            continue
        if kind is float:
            if isnan(value):
                return False
        elif kind is dict:
            if depth >= MAX_DEPTH or not is_plain(value.values(), depth + 1):
                return False
        elif kind is list or kind is tuple:
            if depth >= MAX_DEPTH or not is_plain(value, depth + 1):
                return False
        else:
            return False
    return True


def plain_form(context: object, *, classes: bool = False) -> object:
    """`context` as plain data, or KeyTypeError naming the path of what has no canonical form.

    `classes`: whether an object's class is part of it.
    """
    return _Walk(classes).plain(context)


def class_name(cls: type) -> str | None:
    """What stands for a class in a key, or None for one that this does not tell from others."""
    return None if "<locals>" in cls.__qualname__ else f"{cls.__module__}.{cls.__qualname__}"


class _Walk:
    """One walk through one context, giving its plain form; knows where it is, for messages."""

    __slots__ = ("_classes", "_open", "_steps")

    def __init__(self, classes: bool) -> None:
        self._classes = classes
        self._steps: list[tuple[str, object]] = []
        self._open: dict[int, int] = {}  # id of each container around -> steps that led to it

    def plain(self, value: object) -> object:
        """`value` in types that the encoder writes in one way only."""
        if _is_final(value):
            return value
        if type(value) in _CONTAINERS:
            return self._inside(value)
        # Methods of the base type, so that a subclass cannot show anything but what it holds;
        # str before Enum, because the encoder reads a key that is a str Enum that way too.
        if isinstance(value, str):
            return _plain_str(str.__str__(value))
        if isinstance(value, int):
            return _plain_int(int.__int__(value))
        if isinstance(value, float):
            return _NAN if isnan(value) else float.__float__(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._read(_content, value)
        if isinstance(value, (date, time)):  # a datetime is a date
            return self._read(type(value).isoformat, value)
        if isinstance(value, UUID):
            return str(value)
        return self._inside(value)

    def _inside(self, value: object) -> object:
        if id(value) in self._open:
            around = _path(self._steps[: self._open[id(value)]])
            raise self._refused(f"is {around} again, a cycle; break it or leave it out")
        if len(self._open) >= MAX_DEPTH:
            raise self._refused(f"lies more than {MAX_DEPTH} levels deep; flatten it")
        self._open[id(value)] = len(self._steps)
        result = self._container(value)
        del self._open[id(value)]
        return result

    def _container(self, value: object) -> object:
        if type(value) not in _CONTAINERS and _is_object(value):
            form = self._object(value)
            return self._with_class(type(value), form) if self._classes else form
        if isinstance(value, dict):
            return self._dict(dict.items(value), "[{}]")
        if isinstance(value, list):
            return self._list(list.__iter__(value), "[{}]")
        if isinstance(value, tuple):
            return self._list(tuple.__iter__(value), "[{}]")
        if isinstance(value, set):
            return sorted(self._list(set.__iter__(value), " element"), key=_place)
        if isinstance(value, frozenset):
            return sorted(self._list(frozenset.__iter__(value), " element"), key=_place)
        name = type(value).__qualname__
        advice = _ADVICE.get(name, "pass plain data instead, or leave it out of the context")
        raise self._refused(f"is of type {name}, which has no canonical form; {advice}")

    def _object(self, value: Any) -> object:
        if isinstance(value, Enum):
            return self._list([self._read(getattr, value, "value")], ".value")[0]
        if callable(dump := getattr(type(value), "model_dump", None)):
            dumped = self._read(dump, value)
            if type(dumped) is dict:
                return self._dict(dumped.items(), ".{}")
            return self.plain(dumped)
        names = [field.name for field in fields(value)]
        return self._dict([(name, self._read(getattr, value, name)) for name in names], ".{}")

    def _with_class(self, cls: type, form: object) -> object:
        name = class_name(cls)
        if name is None:
            raise self._refused(
                f"is of the class {cls.__qualname__}, which is made inside of a function, and "
                "others of its name may be, too"
            )
        return Ext(_EXT_OBJECT, encode([_plain_str(name), form]))

    def _list(self, values: Iterable[object], step: str) -> list[object]:
        result: list[object] = []
        for i, value in enumerate(values):
            if _is_final(value):
                result.append(value)
            else:
                self._steps.append((step, i))
                result.append(self.plain(value))
                self._steps.pop()
        return result

    def _dict(self, items: Iterable[tuple[object, object]], step: str) -> object:
        keys: list[object] = []
        values: list[object] = []
        for key, value in items:
            if _is_final(key):
                keys.append(key)
            else:
                self._steps.append((" key", None))
                keys.append(self.plain(key))
                self._steps.pop()
            if _is_final(value):
                values.append(value)
            else:
                self._steps.append((step, key))
                values.append(self.plain(value))
                self._steps.pop()
        if {str}.issuperset(map(type, keys)):
            result = dict(zip(keys, values, strict=True))
            if len(result) == len(keys):  # else an Enum key and its value's text, say: keep both
                return result
        pairs = (encode(key) + encode(value) for key, value in zip(keys, values, strict=True))
        return Ext(_EXT_DICT, b"".join(sorted(pairs)))

    def _read(self, function: Callable[..., Any], *args: object) -> Any:
        try:
            return function(*args)
        except Exception as error:  # code of the caller's, or a buffer released
            raise self._refused(f"cannot be read ({type(error).__name__})") from error

    def _refused(self, why: str) -> KeyTypeError:
        return KeyTypeError(f"{_path(self._steps)} {why}")


def _is_object(value: object) -> bool:
    """Whether `value` is of a class that says what it holds, rather than a collection."""
    return (
        isinstance(value, Enum)
        or callable(getattr(type(value), "model_dump", None))
        or (is_dataclass(value) and not isinstance(value, type))
    )


def _is_final(value: Any) -> bool:
    """Whether `value` is its own plain form; False may also mean that `plain` has to look."""
    kind = type(value)
    if kind is str:
        return value.isascii()  # type: ignore[no-any-return]  # kind is str
    if kind is int:
        return _MIN_INT <= value <= _MAX_INT  # type: ignore[no-any-return]  # kind is int
    if kind is float:
        return not isnan(value)
    return kind in _FINAL


def _content(value: bytes | bytearray | memoryview) -> bytes:
    return memoryview(value).tobytes()


def _plain_str(text: str) -> object:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return Ext(_EXT_STR, text.encode("utf-8", "surrogatepass"))
    return text


def _plain_int(number: int) -> object:
    if _MIN_INT <= number <= _MAX_INT:
        return number
    size = number.bit_length() // 8 + 1
    return Ext(_EXT_INT, number.to_bytes(size, "big", signed=True))


def _place(element: object) -> tuple[object, ...]:
    """Where a set's element stands: by value, and by its bytes where values tie (1 and True)."""
    return _rank(element), encode(element)


def _rank(element: Any) -> tuple[Any, ...]:
    if isinstance(element, Ext):
        if element.code == _EXT_INT:
            element = int.from_bytes(element.data, "big", signed=True)
        elif element.code == _EXT_STR:
            element = bytes(element.data).decode("utf-8", "surrogatepass")
    if element is None:
        return (0,)
    if element is _NAN:
        return (2,)
    if isinstance(element, (int, float)):
        return (1, element)
    if isinstance(element, str):
        return (3, element)
    if isinstance(element, bytes):
        return (4, element)
    if isinstance(element, list):
        return (5, [_rank(item) for item in element])
    return (6,)


def _path(steps: list[tuple[str, object]]) -> str:
    shown = "".join(_shown(step, key) for step, key in steps[:_MAX_STEPS])
    return f"context{shown}{'...' if len(steps) > _MAX_STEPS else ''}"


def _shown(step: str, key: object) -> str:
    if isinstance(key, str):
        return step.format(key[:40] if step == ".{}" else json.dumps(key[:40]))
    if key is None or isinstance(key, (bool, float)):
        return step.format(repr(key))
    if type(key) is int and key.bit_length() <= 64:  # wider ones may be refused by repr()
        return step.format(key)
    return step.format(f"<{type(key).__name__}>")
