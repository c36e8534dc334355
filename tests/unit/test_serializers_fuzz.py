"""Whatever stands in Redis, a serializer decodes it or raises DecodeError, and nothing else."""

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import hashlib
import hmac
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecache.errors import DecodeError
from routecache.serializers import (
    CompressedSerializer,
    JsonSerializer,
    MsgpackSerializer,
    SignedSerializer,
    TypedSerializer,
)
from routecache.typing import Serializer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KEY = b"k" * 16
GOLDEN = [
    path.read_bytes()
    for path in sorted((Path(__file__).parents[1] / "golden" / "serializers").glob("*.bin"))
]


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Everything:
    a: int
    b: list[float]
    c: dict[int, str]
    d: set[int]
    e: tuple[int, ...]
    f: bytes
    g: dt.datetime | None
    h: decimal.Decimal
    i: uuid.UUID
    j: Colour
    k: Any
    child: Optional["Everything"] = None


class Struct(msgspec.Struct, array_like=True):
    a: int
    b: list[list[int]]
    child: Optional["Struct"] = None


class Model(pydantic.BaseModel):
    a: int
    b: dict[int, Everything]
    at: dt.datetime
    child: Optional["Model"] = None


ANNOTATIONS: list[Any] = [
    Everything,
    Struct,
    Model,
    Any,
    list[int],
    dict[str, Any],
    Colour,
    dt.date,
    pydantic.Json,
]
SERIALIZERS: list[Serializer] = [
    JsonSerializer(),
    MsgpackSerializer(),
    *map(TypedSerializer, ANNOTATIONS),
]


def signed(inner: Serializer, data: bytes) -> bytes:
    context = b"routecache signed 1\0" + inner.name.encode() + b"\0"
    return hmac.digest(KEY, context + data, hashlib.sha256) + data


def ways(inner: Serializer) -> list[Callable[[bytes], object]]:
    """All ways for bytes to reach `inner`, and those by which they should not."""
    compressed = CompressedSerializer(inner, over=10, max_bytes=2**20)
    sealed = SignedSerializer(inner, KEY)
    return [
        inner.loads,
        compressed.loads,
        lambda data: compressed.loads(b"\x00" + data),
        lambda data: compressed.loads(b"\x01" + data),
        lambda data: compressed.loads(b"\x01" + zstd.compress(data)),
        sealed.loads,
        lambda data: sealed.loads(signed(inner, data)),
        SignedSerializer(compressed, KEY).loads,
    ]


WAYS = [way for serializer in SERIALIZERS for way in ways(serializer)]


def decodes_or_does_not(data: bytes) -> None:
    for way in WAYS:
        with contextlib.suppress(DecodeError):
            way(data)


@settings(deadline=None)  # each example goes through all serializers
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    decodes_or_does_not(data)


@settings(deadline=None)  # each example goes through all serializers
@given(st.sampled_from(GOLDEN), st.data())
def test_payloads_with_bytes_changed(payload: bytes, data: st.DataObject) -> None:
    changed = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_does_not(bytes(changed[: data.draw(st.integers(0, len(changed)))]))


@settings(deadline=None)  # each example goes through all serializers
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=12) | st.dictionaries(st.sampled_from("abcdefghijk"), inner)
        ),
        max_leaves=20,
    )
)
def test_well_formed_payloads_of_other_shapes(value: object) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        decodes_or_does_not(msgspec.json.encode(value))
        decodes_or_does_not(msgspec.msgpack.encode(value))


BOMBS = {
    "lists in lists, JSON": b"[" * 200_000,
    "closed lists in lists, JSON": b"[" * 100_000 + b"]" * 100_000,
    "children, JSON": b'{"a":1,"b":{},"at":0,"child":' * 50_000,
    "lists in lists, MessagePack": b"\x91" * 200_000 + b"\xc0",
    "maps in maps, MessagePack": b"\x81\xa5child" * 50_000,
    "keys in keys": b"\x81" * 100_000,
    "children in arrays": b"\x93\x01\x90" * 50_000 + b"\xc0",
    "an array of 4 billion": b"\xdd\xff\xff\xff\xff",
    "arrays of 4 billion": b"\xdd\xff\xff\xff\xff" * 50,
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff",
    "bytes of 4 GB": b"\xc6\xff\xff\xff\xff",
    "a str of 4 GB": b"\xdb\xff\xff\xff\xff",
    "an extension of 4 GB": b"\xc9\xff\xff\xff\xff\x05",
    "an extension": b"\xd4\x05x",
    "an extension as a key": b"\x81\xd4\x05x\x01",
    "a time out of range": b"\xc7\x0c\xff\x00\x00\x00\x00\x7f" + b"\xff" * 7,
    "an int of 100,000 digits": b"9" * 100_000,
    "a float out of range": b"1e999999999",
    "half of a surrogate pair": b'"\\ud800"',
    "not UTF-8, JSON": b'"\xff"',
    "not UTF-8, MessagePack": b"\xa1\xff",
    "a list as a key": b"\x81\x91\x80\x01",
    "a decimal with a huge exponent": b'{"h":"1e999999999999"}',
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_payloads_made_to_exhaust_stack_or_memory(data: bytes) -> None:
    decodes_or_does_not(data)
