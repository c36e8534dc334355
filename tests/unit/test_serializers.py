"""Values keep their types on the way through L2, or are refused; payloads cannot do harm."""

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import math
import uuid
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecache import envelope
from routecache.envelope import Envelope
from routecache.errors import DecodeError, SerializationError
from routecache.serializers import JsonSerializer, MsgpackSerializer
from routecache.typing import Serializer

GOLDEN = Path(__file__).parents[1] / "golden"
JSON = JsonSerializer()
MSGPACK = MsgpackSerializer()

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abé{", max_size=3), inner),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Equal, with equal types at every depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same([*a], [*b]) and same([*a.values()], [*b.values()])
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, dt.datetime):
        return a == b and a.tzinfo is b.tzinfo
    return bool(a == b)


@given(PLAIN)
def test_what_is_accepted_comes_back_with_the_same_types(value: object) -> None:
    assert same(JSON.loads(JSON.dumps(value)), value)


KEYS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    | st.binary(max_size=3)
    | st.datetimes(timezones=st.just(dt.UTC)),
    lambda inner: st.lists(inner, max_size=2).map(tuple),
    max_leaves=4,
)
PACKED = st.recursive(
    KEYS.filter(lambda key: not isinstance(key, tuple)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(PACKED)
def test_what_msgpack_accepts_comes_back_with_the_same_types(value: object) -> None:
    assert same(MSGPACK.loads(MSGPACK.dumps(value)), value)


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: int


CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})

REFUSED: list[tuple[object, str]] = [
    ((1, 2), "value is tuple"),
    ({"a": [1, (2,)]}, r"value\['a'\]\[1\] is tuple"),
    ([0, {"b": {3}}], r"value\[1\]\['b'\] is set"),
    ({"n": math.nan}, r"value\['n'\] is nan"),
    ([math.inf], r"value\[0\] is inf"),
    ({1: "x"}, "value is dict key of type int"),
    ({"a": {None: 1}}, r"value\['a'\] is dict key of type NoneType"),
    (b"bytes", "value is bytes"),
    (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "value is datetime"),
    (Colour.RED, "value is Colour"),
    ([Text("x")], r"value\[0\] is Text"),
    (Point(1), "value is Point"),
    (2**64, "int beyond 64 bits"),
    (-(2**63) - 1, "int beyond 64 bits"),
    ("\ud800", "lone surrogate"),
    ({"k\ud800": 1}, "lone surrogate"),
    (CYCLE, "cycle"),
    (object(), "value is object"),
]
NAIVE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
BERLIN = ZoneInfo("Europe/Berlin")
REFUSED_BY_MSGPACK: list[tuple[object, str]] = [
    ((1, 2), "value is tuple"),
    ({"a": [1, (2,)]}, r"value\['a'\]\[1\] is tuple"),
    ({3}, "value is set"),
    (bytearray(b"x"), "value is bytearray"),
    ([math.nan], r"value\[0\] is nan"),
    ({math.nan: 1}, "value is nan"),
    ({(1, (math.nan,)): 1}, "value is nan"),
    ({frozenset({1}): 1}, "value is dict key of type frozenset"),
    ({(1, Colour.RED): 1}, "value is dict key of type Colour"),
    ({2**64: 1}, "int beyond 64 bits"),
    ({"a": {"t": NAIVE}}, r"value\['a'\]\['t'\] is datetime without a zone"),
    ({NAIVE: 1}, "datetime without a zone"),
    (dt.datetime(2026, 1, 1, tzinfo=BERLIN), "datetime of another zone"),
    (dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")), "datetime of another zone"),
    (dt.date(2026, 1, 1), "value is date"),
    (decimal.Decimal(1), "value is Decimal"),
    (uuid.UUID(int=1), "value is UUID"),
    (msgspec.msgpack.Ext(1, b"x"), "value is Ext"),
    (msgspec.msgpack.Ext(-1, b"\0" * 4), "value is Ext"),
    (Colour.RED, "value is Colour"),
    (Text("x"), "value is Text"),
    (Point(1), "value is Point"),
    (2**64, "int beyond 64 bits"),
    ({"a": ["\ud800"]}, r"value\['a'\]\[0\] is str with a lone surrogate"),
    ({"a": {"\ud800": 1}}, r"value\['a'\]\[key .*\] is str with a lone surrogate"),
    ({("a", "\ud800"): 1}, "lone surrogate"),
    (CYCLE, "cycle"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_would_come_back_changed_is_refused_with_type_and_path(
    value: object, said: str
) -> None:
    with pytest.raises(SerializationError, match=said):
        JSON.dumps(value)


@pytest.mark.parametrize(
    ("value", "said"), REFUSED_BY_MSGPACK, ids=[said for _, said in REFUSED_BY_MSGPACK]
)
def test_what_msgpack_would_change_is_refused_with_type_and_path(value: object, said: str) -> None:
    with pytest.raises(SerializationError, match=said):
        MSGPACK.dumps(value)


def test_an_error_stays_short_where_keys_are_long_and_nesting_deep() -> None:
    with pytest.raises(SerializationError) as caught:
        JSON.dumps({"k" * 10_000: [CYCLE]})
    assert len(str(caught.value)) < 400


@given(st.binary(max_size=200))
def test_no_payload_does_more_than_not_decode(data: bytes) -> None:
    for decode in (JSON.loads, lambda data: envelope.decode(data, codec="json")):
        with contextlib.suppress(DecodeError):
            decode(data)


def test_nesting_that_would_exhaust_the_stack_does_not_decode() -> None:
    with pytest.raises(DecodeError):
        JSON.loads(b"[" * 100_000 + b"]" * 100_000)


def test_the_json_serializer_is_a_serializer() -> None:
    assert isinstance(JSON, Serializer)
    assert JSON.name == "json"
    assert isinstance(MSGPACK, Serializer)
    assert MSGPACK.name == "msgpack"


WRITTEN = Envelope(
    1_700_000_000_000_001,
    1_700_000_300_000_001,
    "json",
    b'{"a":1}',
    ("t", "ü"),
    none=False,
    load_us=1500,
    writer="0.1.0",
)


def test_the_wire_format_is_that_of_the_golden_payload() -> None:
    golden = (GOLDEN / "envelope-v1.bin").read_bytes()
    assert envelope.encode(WRITTEN) == golden
    assert envelope.decode(golden, codec="json") == WRITTEN


def test_a_payload_of_a_later_release_is_read_without_its_new_fields() -> None:
    later = (GOLDEN / "envelope-v1-later.bin").read_bytes()
    assert envelope.decode(later, codec="json") == WRITTEN


def test_a_payload_of_the_first_five_fields_is_read_by_those_who_know_eight() -> None:
    five = (GOLDEN / "envelope-v1-five-fields.bin").read_bytes()
    assert envelope.decode(five, codec="json") == msgspec.structs.replace(
        WRITTEN, none=False, load_us=0, writer=""
    )


def test_a_payload_without_optional_fields_is_read() -> None:
    earlier = (GOLDEN / "envelope-v1-earlier.bin").read_bytes()
    assert envelope.decode(earlier, codec="json") == Envelope(1, 2, "json", b"null")


def test_a_payload_of_another_serializer_does_not_decode() -> None:
    with pytest.raises(DecodeError, match="serializer"):
        envelope.decode(envelope.encode(WRITTEN), codec="msgpack")
