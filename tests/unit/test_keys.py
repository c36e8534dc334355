"""The digest of a request context, and how keys are spelt in Redis."""

import hashlib
import math
import os
import struct
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fnmatch import fnmatchcase
from itertools import permutations
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecache import keys
from routecache.canonical import MAX_DEPTH, _place, encode, is_plain, plain_form
from routecache.errors import CacheError, KeyTypeError
from routecache.keys import digest

CACHE = Path(__file__).resolve().parents[2] / "cache"


class Color(Enum):
    RED = "red"
    PAIR = ("a", 1)


class Level(IntEnum):
    LOW = 1


class Tone(StrEnum):
    WARM = "warm"


class OldTone(str, Enum):  # noqa: UP042  # formats as "OldTone.WARM" on 3.11: what is tested
    WARM = "warm"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not what it holds"


class Number(int):
    def __int__(self) -> int:
        return 99


class Share(float):
    pass


class Blob(bytes):
    pass


class Row(list[object]):
    pass


class Identity(UUID):
    pass


Point = namedtuple("Point", "x y")  # noqa: PYI024  # the untyped kind is what callers have


@dataclass
class User:
    name: str
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Model:
    name: str


class Pydantic:
    """What `digest` knows of a pydantic model: a class with `model_dump()`."""

    def __init__(self, **values: object) -> None:
        self.values = values

    def model_dump(self) -> dict[str, object]:
        return self.values


class Session:
    pass


class BrokenZone(tzinfo):
    def utcoffset(self, _when: datetime | None) -> NoReturn:
        raise RuntimeError("no offset")

    tzname = utcoffset
    dst = utcoffset


MOMENT = datetime(2024, 2, 29, 12, 30, 15, 250, tzinfo=UTC)
IDENTITY = UUID("12345678-1234-5678-1234-567812345678")
NEGATIVE_NAN = struct.unpack(">d", b"\xff\xf8\x00\x00\x00\x00\x00\x01")[0]

PLAIN_CONTEXT: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 1024,
    "temperature": 0.7,
    "stream": True,
    "region": None,
    "stop": ["\n\n", "FIN\u00e9"],
    "budget": {"usd": 0.25, "cents": -25, "limit": 2**64 - 1},
}
RICH_CONTEXT: dict[Any, Any] = {
    "tags": {"b", "a", "aa", "é", "z" * 40},
    "mixed": {None, True, 2, 2.5, "2", b"2", (1, "x"), frozenset({3, 1}), 2**70, math.nan},
    "sets": {frozenset({1, 2}), frozenset({2, 3}), frozenset(), frozenset({"a"})},
    "at": MOMENT,
    "day": date(2024, 2, 29),
    "clock": time(7, 30),
    "id": IDENTITY,
    "kind": Color.RED,
    "level": Level.LOW,
    "user": User("Ann", ["x"]),
    "big": -(2**100),
    "odd": "\ud800",
    "nan": math.nan,
    "raw": bytearray(b"\x00\xff"),
    7: {1: "int key", "1": "str key", False: 0.0},
    ("tuple", 1): Point(1, 2),
}

# Changing one of these breaks every rolling upgrade: the releases no longer find each other's
# entries, nor delete them. Raise WIRE_VERSION with it.
GOLDEN = [
    (PLAIN_CONTEXT, "5f34ba63988c9978f8c128efba2268e7"),
    (RICH_CONTEXT, "1e1e93bb651fe900203fe7149ff0c7de"),
]


def nested(levels: int, core: object = 1) -> dict[str, object]:
    """A dict with lists in it, `levels` containers in all."""
    value = core
    for _ in range(levels - 1):
        value = [value]
    return {"a": value}


# -- golden values: the same on every Python, platform, hash seed and release --------------------


@pytest.mark.parametrize(("context", "expected"), GOLDEN, ids=["plain", "rich"])
def test_golden_digests(context: object, expected: str) -> None:
    assert digest(context) == expected


def test_golden_digests_with_classes() -> None:
    assert digest(PLAIN_CONTEXT, classes=True) == GOLDEN[0][1]
    here = __name__.encode()
    name = bytes([0xA0 + len(here) + 6]) + here + b".Model"
    value = b"\x92" + name + b"\x81\xa4name\xa1x"
    written = b"\x81\xa1m\xc7" + bytes([len(value)]) + b"\x04" + value
    expected = hashlib.blake2b(written, digest_size=16).hexdigest()
    assert digest({"m": Model("x")}, classes=True) == expected


def test_golden_digest_xxh3() -> None:
    assert digest(PLAIN_CONTEXT, algorithm="xxh3") == "1bbf58d43d4eea521d708862ee5e6fba"


@pytest.mark.parametrize(
    ("context", "data"),
    [
        ({"b": 1, "a": "x"}, b"\x82\xa1a\xa1x\xa1b\x01"),
        ({}, b"\x80"),
        ("x", b"\xa1x"),
        ([None, True, 1.0, b"1"], b"\x94\xc0\xc3\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xc4\x011"),
        ({1: 2}, b"\xd5\x03\x01\x02"),
        (2**64, b"\xc7\x09\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00"),
        ("\ud800", b"\xc7\x03\x02\xed\xa0\x80"),
        (NEGATIVE_NAN, b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
    ],
)
def test_the_digest_is_blake2b_of_messagepack_as_documented(context: object, data: bytes) -> None:
    assert digest(context) == hashlib.blake2b(data, digest_size=16).hexdigest()


def test_hash_seeds_do_not_change_a_digest() -> None:
    """Sets and dicts of strings iterate in another order under every hash seed."""
    program = (
        "from routecache.keys import digest\n"
        "words = [f'w{i}' for i in range(50)]\n"
        "mixed = {*words, *range(20), 2.5, None, b'x', (1, 'a'), frozenset(words)}\n"
        "context = {'s': set(words), 'm': mixed, 'd': {w: 1 for w in mixed}}\n"
        "print(list(set(words))[:5], digest(context))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(CACHE)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.rsplit(" ", 1)
        for seed in ("0", "1", "2", "4294967295")
    ]
    assert len({order for order, _ in runs}) > 1
    assert {digest for _, digest in runs} == {"2611c339a4e9df4894bb845bdae3447b\n"}


# -- what is equal -------------------------------------------------------------------------------


EQUAL: list[tuple[object, object]] = [
    ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
    ({1: "a", "b": 2, None: 3}, {None: 3, "b": 2, 1: "a"}),
    ((1, (2, 3)), [1, [2, 3]]),
    (Point(1, 2), [1, 2]),
    (Row([1, 2]), [1, 2]),
    ({3, 1, 200, -5}, [-5, 1, 3, 200]),
    ({2**70, 1, -(2**70), 2.5}, [-(2**70), 1, 2.5, 2**70]),
    (frozenset({"b", "a", "aa", "\ud800", "é"}), sorted({"b", "a", "aa", "\ud800", "é"})),
    ({b"b", b"a"}, [b"a", b"b"]),
    ({(2, "a"), (1, "b"), (1,)}, [(1,), (1, "b"), (2, "a")]),
    ({date(2024, 2, 1), date(2023, 1, 1)}, [date(2023, 1, 1), date(2024, 2, 1)]),
    ({IDENTITY, "zzz", "000"}, {str(IDENTITY), "zzz", "000"}),
    (set(), []),
    (MOMENT, "2024-02-29T12:30:15.000250+00:00"),
    (MOMENT.replace(tzinfo=None, microsecond=0), "2024-02-29T12:30:15"),
    (date(1, 1, 1), "0001-01-01"),
    (time(7, 30, tzinfo=timezone(timedelta(hours=-2))), "07:30:00-02:00"),
    (IDENTITY, "12345678-1234-5678-1234-567812345678"),
    (Identity(int=IDENTITY.int), str(IDENTITY)),
    ({IDENTITY: 1}, {str(IDENTITY): 1}),
    ({date(2024, 2, 29): 1}, {"2024-02-29": 1}),
    (Color.RED, "red"),
    (Color.PAIR, ["a", 1]),
    (Level.LOW, 1),
    (Tone.WARM, "warm"),
    (OldTone.WARM, "warm"),
    ({OldTone.WARM: 1}, {"warm": 1}),
    ({Color.RED: 1}, {"red": 1}),
    ({Color.RED: 1, "red": 2}, {Color.RED: 2, "red": 1}),
    (User("Ann", ["x"]), {"tags": ["x"], "name": "Ann"}),
    ([User("Ann")], [{"name": "Ann", "tags": []}]),
    ({Model("a")}, [{"name": "a"}]),
    (Pydantic(name="Ann", tags={"x"}), {"name": "Ann", "tags": ["x"]}),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"-a-b")[1::2], b"ab"),
    (Blob(b"ab"), b"ab"),
    (Text("ab"), "ab"),
    (Number(3), 3),
    (Share(0.5), 0.5),
    (OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
    (defaultdict(int, a=2), {"a": 2}),
    (math.nan, NEGATIVE_NAN),
    ({math.nan: 1}, {NEGATIVE_NAN: 1}),
    (math.inf - math.inf, math.nan),
]


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=lambda value: type(value).__name__)
def test_equal_by_specification_is_equal_at_any_depth(one: object, other: object) -> None:
    for wrap in WRAPPERS:
        assert digest(wrap(one)) == digest(wrap(other))


WRAPPERS: list[Callable[[Any], object]] = [
    lambda value: value,
    lambda value: {"field": value},
    lambda value: {"a": 1, "list": [0, {"deep": (value,)}]},
    lambda value: {"user": User("Ann", [value])},
]


# -- what is told apart --------------------------------------------------------------------------


APART: list[object] = [
    None,
    *[False, True, 0, 1, -1, 2, 0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf],
    *["", "0", "1", "1.0", "True", "None", "null", "nan", "b'1'", "[]", "{}", "\x00"],
    *[b"", b"0", b"1", b"\x01", b"\xa11", b"\xd5\x03\x01\x02"],
    *[2**63 - 1, 2**63, 2**64 - 1, 2**64, float(2**64), -(2**63), -(2**63) - 1, -(2**64)],
    *["\ud800", "\udfff", "\ud83d\ude00", "😀", "é", "e\u0301", b"\xed\xa0\x80"],
    *[[], [1], [True], ["1"], [[1]], [1, 1], [None], [[]], [{}], [1, 2], [2, 1]],
    *[{}, {"1": 1}, {1: 1}, {True: 1}, {1.0: 1}, {b"1": 1}, {None: 1}, {"None": 1}, {(1,): 1}],
    *[{1: 1, "1": 2}, {1: 2, "1": 1}, {"a": {}}, {"a": []}, {"a": None}, {"a": {"b": 1}}],
    *[{"a": 1, "b": 2}, {"a": 2, "b": 1}, [["a", 1], ["b", 2]], ["a", 1, "b", 2]],
    *[{1, 3}, {True, 3}, {1.0, 3}, {"1", "3"}, {frozenset({1, 3})}],
    *[MOMENT, MOMENT.astimezone(timezone(timedelta(hours=1))), MOMENT.replace(tzinfo=None)],
    *[date(2024, 2, 29), MOMENT.replace(hour=0, tzinfo=None), time(0, 0)],
    {Color.RED: 1, "red": 2},
]


def test_everything_told_apart_by_specification_has_a_digest_of_its_own() -> None:
    for wrap in WRAPPERS[:3]:
        seen: dict[str, object] = {}
        for value in APART:
            assert seen.setdefault(digest(wrap(value)), value) is value
        assert len(seen) == len(APART)


def test_classes_tell_objects_apart_and_nothing_else() -> None:
    objects = [User("x", []), Model("x"), Pydantic(name="x"), {"name": "x"}, Color.RED, "red"]
    for wrap in WRAPPERS:
        assert len({digest(wrap(value), classes=True) for value in objects}) == len(objects)
        for one, other in (
            (Level.LOW, 1), (Tone.WARM, "warm"), (Text("ab"), "ab"), (Point(1, 2), [1, 2]),
            (OrderedDict(a=1), {"a": 1}), (MOMENT, MOMENT.isoformat()), ({2, 1}, [1, 2]),
        ):  # fmt: skip
            assert digest(wrap(one), classes=True) == digest(wrap(other), classes=True)
    assert digest({Model("b"), Model("a")}, classes=True) == digest(
        [Model("a"), Model("b")], classes=True
    )
    assert digest({Model("a"): 1}, classes=True) != digest({Model("a"): 1})


def test_a_class_made_inside_of_a_function_has_no_name_of_its_own() -> None:
    @dataclass
    class Local:
        name: str

    assert digest(Local("x")) == digest({"name": "x"})
    with pytest.raises(KeyTypeError, match=r'context\["a"\]\[0\] is of the class .*Local, which'):
        digest({"a": [Local("x")]}, classes=True)


def test_nothing_can_be_written_down_that_imitates_a_marker() -> None:
    """The extension types that stand for wide integers and dicts cannot come from a caller."""
    marker = plain_form(2**64)
    assert isinstance(marker, msgspec.msgpack.Ext)
    for forged in (marker, msgspec.Raw(encode(marker)), [marker], {"a": msgspec.Raw(b"\x01")}):
        with pytest.raises(KeyTypeError):
            digest({"field": forged})
    assert digest({"field": encode(marker)}) != digest({"field": 2**64})


# -- properties ----------------------------------------------------------------------------------

# A small pool of lookalikes, so that two drawn values are often nearly or entirely the same.
ATOMS = st.sampled_from(
    [
        *[None, False, True, 0, 1, 0.0, -0.0, 1.0, math.nan, NEGATIVE_NAN],
        *["", "1", "red", "1970-01-01", "\ud800", "é", b"", b"1", 2**64, -(2**64)],
        *[Color.RED, Level.LOW, OldTone.WARM, date(1970, 1, 1), UUID(int=1), str(UUID(int=1))],
        *[MOMENT, MOMENT.isoformat(), Text("1"), Number(1)],
    ]
)
HASHABLE = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3)
HOMOGENEOUS_SETS = st.sets(st.integers(-2, 2)) | st.frozensets(st.sampled_from(["a", "b", "é"]))


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "1"]), inner, max_size=3)
    )


VALUES = st.recursive(ATOMS | HOMOGENEOUS_SETS, _containers, max_leaves=6)


def specified(value: Any) -> object:
    """The specification, written independently: equal results for values that are to be equal."""
    if isinstance(value, Enum):
        return specified(value.value)
    if isinstance(value, (date, time)):
        return "str", value.isoformat()
    if isinstance(value, UUID):
        return "str", str(value)
    if isinstance(value, str):
        return "str", "".join(value)
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, dict):
        pairs = Counter((specified(key), specified(item)) for key, item in value.items())
        return "dict", frozenset(pairs.items())
    if isinstance(value, (set, frozenset)):
        return specified(sorted(value))
    if isinstance(value, (list, tuple)):
        return "list", tuple(specified(item) for item in value)
    if isinstance(value, Number):
        return "int", value + 0
    return type(value).__name__, value


@given(VALUES, VALUES)
def test_digests_agree_exactly_when_the_specification_says_equal(
    one: object, other: object
) -> None:
    assert (digest(one) == digest(other)) == (specified(one) == specified(other))


SHORT = st.text(max_size=4)
JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | SHORT
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(SHORT, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(SHORT, JSON_LIKE | ATOMS, max_size=6), st.randoms())
def test_the_order_of_a_dict_never_changes_the_digest(context: Any, random: Any) -> None:
    assert digest(context) == digest(_shuffled(context, random))


def _shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(item, random)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [_shuffled(item, random) for item in value]
    return value


@given(st.dictionaries(SHORT | ATOMS, JSON_LIKE | VALUES, max_size=6))
def test_what_takes_the_fast_path_means_the_same_on_the_slow_one(context: dict[Any, Any]) -> None:
    slow = encode(plain_form(context))
    if is_plain(context.values(), 1):
        with suppress(TypeError, ValueError, OverflowError):  # left to the slow path
            assert encode(context) == slow
    assert digest(context) == hashlib.blake2b(slow, digest_size=16).hexdigest()


@given(st.dictionaries(SHORT, JSON_LIKE, max_size=6))
def test_ordinary_contexts_take_the_fast_path(context: dict[str, Any]) -> None:
    """The fast path's speed would be worthless if ordinary contexts did not reach it."""
    assert is_plain(context.values(), 1)


def test_the_elements_of_any_set_have_one_order() -> None:
    """Elements that compare by subset, not at all, or as equal although of two types."""
    pools: list[list[Any]] = [
        [frozenset({1, 2}), frozenset({2, 3}), frozenset({3, 1}), frozenset()],
        [None, "a", b"a", 1, (1,), (None,), 2**70],
        [math.nan, 1.5, -math.inf, 0],
        [Level.LOW, True, "1", Color.RED],
        [Model("a"), Model("b"), ("a",)],
    ]
    for pool in pools:
        forms = [plain_form(element) for element in pool]
        orders = {encode(sorted(order, key=_place)) for order in permutations(forms)}
        assert len(orders) == 1


def test_threads_agree_on_one_context() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(digest, [RICH_CONTEXT, dict(RICH_CONTEXT)] * 100))) == 1


# -- what is refused -----------------------------------------------------------------------------


@dataclass
class Holder:
    session: object


def _slotless() -> object:
    user = User("Ann")
    del user.name
    return user


def _released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


REFUSED: list[tuple[object, str]] = [
    (Session(), "context is of type Session, "),
    ({"user": Holder(Session())}, 'context["user"].session is of type Session, '),
    ({"user": Pydantic(session=Session())}, 'context["user"].session is of type Session, '),
    ({"a": [1, {"b": (2, Session())}]}, 'context["a"][1]["b"][1] is of type Session, '),
    ({1: {None: {b"k": Session()}}}, "context[1][None][<bytes>] is of type Session, "),
    ({2**100: {"k" * 90: Session()}}, f'context[<int>]["{"k" * 40}"] is of type Session, '),
    ({"a": {1: 1, (1, Session()): 2}}, 'context["a"] key[1] is of type Session, '),
    ({"a": {"x", Session()}}, 'context["a"] element is of type Session, '),
    ({"a": Session}, 'context["a"] is of type type, '),
    ({"a": User}, 'context["a"] is of type type, '),
    ({"a": Pydantic}, 'context["a"] is of type type, '),
    ({"a": Enum("E", {"X": Session()})["X"]}, 'context["a"].value is of type Session, '),  # type: ignore[index]
    ({"a": 1j}, 'context["a"] is of type complex, '),
    ({"a": range(3)}, 'context["a"] is of type range, '),
    ({"a": iter([1])}, 'context["a"] is of type list_iterator, '),
    ({"a": Decimal(1)}, "form; pass str() of it"),
    ({"a": timedelta(1)}, "form; pass its total_seconds()"),
    ({"a": MappingProxyType({})}, "form; pass dict() of it"),
    ({"a": deque([1])}, "form; pass list() of it"),
    ({"a": Session()}, "form; pass plain data instead, or leave it out of the context"),
    ({"a": _slotless()}, 'context["a"] cannot be read (AttributeError)'),
    ({"a": _released()}, 'context["a"] cannot be read (ValueError)'),
    (
        {"a": datetime(2024, 1, 1, tzinfo=BrokenZone())},
        'context["a"] cannot be read (RuntimeError)',
    ),
]


@pytest.mark.parametrize(("context", "words"), REFUSED)
def test_anything_else_is_refused_with_its_path_and_a_remedy(context: object, words: str) -> None:
    with pytest.raises(KeyTypeError) as caught:
        digest(context)
    assert words in str(caught.value)
    assert isinstance(caught.value, CacheError)
    assert isinstance(caught.value, TypeError)


def test_a_failing_model_dump_is_refused_and_its_error_kept_as_the_cause() -> None:
    class Broken:
        def model_dump(self) -> NoReturn:
            raise LookupError("secret")

    with pytest.raises(KeyTypeError, match=r'^context\["m"\] cannot be read') as caught:
        digest({"m": Broken()})
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, LookupError)


def test_messages_hold_no_values() -> None:
    with pytest.raises(KeyTypeError) as caught:
        digest({"prompt": "secret", "user": {"secret2", Session()}})
    assert "secret" not in str(caught.value)


def test_a_cycle_is_refused_with_both_its_ends() -> None:
    inner: list[object] = []
    inner.append({"again": inner})
    with pytest.raises(KeyTypeError) as caught:
        digest({"a": inner})
    assert 'context["a"][0]["again"] is context["a"] again, a cycle' in str(caught.value)


@pytest.mark.parametrize("kind", ["list", "dict", "dataclass", "model", "value of non-plain dict"])
def test_cycles_of_every_kind_end_at_once(kind: str) -> None:
    """Also with several ways round, where following each of them would never end."""
    context: dict[Any, Any] = {}
    if kind == "list":
        endless: list[Any] = []
        endless += [endless, endless]
        context["a"] = endless
    elif kind == "dict":
        context |= {"a": context, "b": context}
    elif kind == "dataclass":
        holder = Holder(None)
        holder.session = [holder, holder]
        context["a"] = holder
    elif kind == "model":
        model = Pydantic()
        model.values |= {"a": model, "b": [model]}
        context["a"] = model
    else:
        context |= {1: context, "b": context}
    with pytest.raises(KeyTypeError, match="a cycle"):
        digest(context)


def test_one_object_in_two_places_is_no_cycle() -> None:
    shared = [1]
    assert digest({"a": shared, "b": [shared, {shared[0]: shared}]}) == digest(
        {"a": [1], "b": [[1], {1: [1]}]}
    )


@pytest.mark.parametrize("core", [1, {2}, math.nan], ids=["fast path", "set", "slow path"])
def test_both_paths_accept_the_same_depth(core: object) -> None:
    deepest = MAX_DEPTH - (core == {2})
    assert len(digest(nested(deepest, core))) == 32
    with pytest.raises(KeyTypeError, match=f"more than {MAX_DEPTH} levels deep") as caught:
        digest(nested(deepest + 1, core))
    assert len(str(caught.value)) < 200


def test_extreme_depth_is_no_recursion_error() -> None:
    with pytest.raises(KeyTypeError, match="levels deep"):
        digest(nested(100_000))


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="algorithm='md5' must be 'blake2b' or 'xxh3'"):
        digest({}, algorithm="md5")  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ["blake2b", "xxh3"])
def test_a_digest_is_32_lowercase_hex_characters(algorithm: keys.DigestAlgorithm) -> None:
    for value in APART:
        text = digest(value, algorithm=algorithm)
        assert len(text) == 32
        assert set(text) <= set("0123456789abcdef")


# -- keys in Redis -------------------------------------------------------------------------------

PREFIXES = st.lists(
    st.sampled_from(["routing", "provider", "v1", "lease", "hb", "a.b-c_D9"]),
    min_size=1,
    max_size=3,
).map(":".join)
TEXTS = st.text(min_size=1) | st.sampled_from(["}", "{", "{x}", "v1:{x}", "tag:x", "*", "a}"])


def test_keys_are_spelt_as_documented() -> None:
    assert keys.WIRE_VERSION == 1
    assert keys.value_key("routing:model", "k") == "routing:model:v1:{k}"
    assert keys.lease_key("routing:model", "k") == "routing:model:lease:{k}"
    assert keys.tag_key("routing:model", "provider:x") == "routing:model:tag:provider:x"
    assert keys.heartbeat_key("routing:model", "p1") == "routing:model:hb:p1"
    assert keys.value_prefix("p") == "p:v1:{"
    assert keys.value_pattern("p") == "p:v1:{*}"
    assert keys.lease_pattern("p") == "p:lease:{*}"
    assert keys.tag_pattern("p") == "p:tag:*"
    assert keys.value_key("p", "k", 2) == "p:v2:{k}"
    assert keys.LIVE_VERSIONS == (1,)


def test_a_str_enum_is_spelt_as_l1_compares_it() -> None:
    assert keys.value_key("p", OldTone.WARM) == keys.value_key("p", "warm")
    assert keys.lease_key("p", OldTone.WARM) == keys.lease_key("p", "warm")
    assert keys.tag_key("p", OldTone.WARM) == keys.tag_key("p", "warm")


@given(PREFIXES, TEXTS)
def test_a_value_key_gives_its_key_back(prefix: str, key: str) -> None:
    assert keys.key_of(prefix, keys.value_key(prefix, key)) == key


@given(PREFIXES, PREFIXES, TEXTS)
def test_no_prefix_reaches_the_keys_of_another(mine: str, other: str, text: str) -> None:
    """`clear()` of `routing` must not take `routing:provider`, whatever its keys and tags are."""
    theirs = {
        "value": keys.value_key(other, text),
        "lease": keys.lease_key(other, text),
        "tag": keys.tag_key(other, text),
    }
    same = mine == other
    for kind, key in theirs.items():
        assert fnmatchcase(key, keys.value_pattern(mine)) == (same and kind == "value")
        assert fnmatchcase(key, keys.lease_pattern(mine)) == (same and kind == "lease")
        assert fnmatchcase(key, keys.tag_pattern(mine)) == (same and kind == "tag")
        assert key.startswith(keys.value_prefix(mine)) == (same and kind == "value")
        assert (keys.key_of(mine, key) is not None) == (same and kind == "value")
    assert keys.heartbeat_key(other, "p") not in theirs.values()


@pytest.mark.parametrize("wire", ["p:v1:{}", "p:v1:{", "p:v1:{a", "p:v2:{a}", "q:v1:{a}", ""])
def test_what_is_no_value_key_has_no_key(wire: str) -> None:
    assert keys.key_of("p", wire) is None


@pytest.mark.parametrize("prefix", ["cache", "routing:provider", "A-z.0_9:", "tag", "tags:x:stag"])
def test_prefixes_of_the_allowed_characters_pass(prefix: str) -> None:
    assert keys.check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    "prefix", ["", "a b", "a\n", "a*", "a{b}", "é", "a?", "[a]", None, b"a", 1]
)
def test_other_prefixes_are_refused_in_one_sentence(prefix: object) -> None:
    with pytest.raises(ValueError, match="must be one or more of A-Z, a-z, 0-9") as caught:
        keys.check_prefix(prefix)
    assert repr(prefix) in str(caught.value)
    assert isinstance(caught.value, CacheError)


@pytest.mark.parametrize("prefix", ["a:tag", "a:tag:b", "a:b:tag:", "::tag"])
def test_prefixes_inside_the_tags_of_another_are_refused(prefix: str) -> None:
    """The value `k` of `a:tag` would be spelt like the tag `v1:{k}` of `a`."""
    with pytest.raises(ValueError, match="another cache's tags are there"):
        keys.check_prefix(prefix)


@pytest.mark.parametrize("key", ["a", " ", "\ud800", Text("a")])
def test_a_key_is_any_non_empty_str(key: str) -> None:
    assert keys.check_key(key) is key


@pytest.mark.parametrize(
    ("key", "what"), [("", "an empty str"), (1, "int"), (None, "NoneType"), (b"a", "bytes")]
)
def test_other_keys_are_a_type_error(key: object, what: str) -> None:
    with pytest.raises(TypeError, match=f"a cache key must be a non-empty str, not {what}"):
        keys.check_key(key)
