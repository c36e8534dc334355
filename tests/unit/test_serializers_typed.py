"""Values of a program's own classes keep type and content through L2, or are refused."""

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecache.errors import DecodeError, SerializationError
from routecache.serializers import TypedSerializer
from routecache.typing import Serializer


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass
class Point3(Point):
    z: int = 0


class Struct(msgspec.Struct):
    points: list[Point]
    pair: tuple[int, str] = (1, "a")


class Row(TypedDict):
    a: int
    b: bytes


class Named(NamedTuple):
    a: int
    b: tuple[str, ...]


@attrs.define
class Attrs:
    a: int
    b: set[int]


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = pydantic.Field(alias="A")
    at: dt.datetime | None = None
    tags: frozenset[str] = frozenset()
    secret: pydantic.SecretStr | None = None
    hidden: int = pydantic.Field(default=0, exclude=True)
    _private: int = 0

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2 * self.a


class SubModel(Model):
    b: int = 1


@pydantic.dataclasses.dataclass
class PydanticPoint:
    x: int


@dataclasses.dataclass
class HoldsModel:
    models: dict[int, Model]


@dataclasses.dataclass
class Node:
    child: Optional["Node"] = None


Positive = NewType("Positive", int)
UTC_TIME = dt.datetime(2026, 1, 1, 12, 30, 0, 5, tzinfo=dt.UTC)
EAST = dt.timezone(dt.timedelta(hours=2))
SUMMER = dt.datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))

TAKEN: list[tuple[Any, object, str]] = [
    (Point, Point(1, 2.0, "n"), "msgpack"),
    (list[Point], [Point(1), Point(2)], "msgpack"),
    (Point | None, None, "msgpack"),
    (Struct, Struct([Point(1)]), "msgpack"),
    (Row, Row(a=1, b=b"\xff"), "msgpack"),
    (Named, Named(1, ("a",)), "msgpack"),
    (Attrs, Attrs(1, {1, 2}), "msgpack"),
    (Node, Node(Node(Node())), "msgpack"),
    (dict[int, Colour], {1: Colour.RED}, "msgpack"),
    (Annotated[int, msgspec.Meta(gt=0)], 2**64 - 1, "msgpack"),
    (Positive, 3, "msgpack"),
    (Literal["a", "b"], "a", "msgpack"),
    (dt.datetime, UTC_TIME, "msgpack"),
    (dt.datetime, UTC_TIME.replace(tzinfo=None), "msgpack"),
    (dt.timedelta, dt.timedelta(days=1, microseconds=1), "msgpack"),
    (decimal.Decimal, decimal.Decimal("1.10"), "msgpack"),
    (uuid.UUID, uuid.UUID(int=7), "msgpack"),
    (Any, {"a": [1, 2.0, b"x"]}, "msgpack"),
    (Model, Model(A=1, at=UTC_TIME, tags=frozenset({"a", "b"})), "pydantic"),
    (Model, Model(A=1, at=UTC_TIME.astimezone(EAST), other=[1]), "pydantic"),  # type: ignore[call-arg]
    (list[Model] | None, [Model(A=1)], "pydantic"),
    (PydanticPoint, PydanticPoint(1), "pydantic"),
    (HoldsModel, HoldsModel({7: Model(A=1)}), "pydantic"),
    (Annotated[int, pydantic.Field(gt=0)], 1, "pydantic"),
    (pydantic.PositiveInt, 1, "pydantic"),
]


@pytest.mark.parametrize(("annotation", "value", "kind"), TAKEN)
def test_a_value_of_its_annotation_comes_back_as_it_was(
    annotation: Any, value: object, kind: str
) -> None:
    typed = TypedSerializer(annotation)
    assert isinstance(typed, Serializer)
    assert typed.name.startswith(f"typed-{kind}:")
    back = typed.loads(typed.dumps(value))
    assert back == value
    assert type(back) is type(value)
    if not isinstance(value, Model | HoldsModel | Attrs) and not isinstance(value, list):
        assert repr(back) == repr(value)


def with_private(value: int) -> Model:
    model = Model(A=1)
    model._private = value
    return model


REFUSED: list[tuple[Any, object, str]] = [
    (Point, Point3(1), "value is Point3 and would be Point"),
    (Point, {"x": 1, "y": 0.5, "note": ""}, "value is dict and would be Point"),
    (Point, Point(1, 2), r"value\.y is int and would be float"),
    (Point, Point(True), r"value\.x of Point does not validate"),
    (list[Point], [Point(1), Point("1")], r"value\[1\]\.x of list does not validate"),  # type: ignore[arg-type]
    (Point, Point(1, float("nan")), "value.y"),
    (Point, Point(2**64), "int beyond 64 bits"),
    (Point, Point(1, note="\ud800"), r"value\.note is str with a lone surrogate"),
    (Point, 42, "value of int does not validate"),
    (Any, {"a": [(1,)]}, r"value\['a'\]\[0\] is tuple and would be list"),
    (Any, {"a": {1: {2}}}, r"value\['a'\]\[1\] is set and would be list"),
    (Any, {"a": object()}, r"value\['a'\] is object"),
    (list[Any], [dt.date(2026, 1, 1)], r"value\[0\] is date and would be str"),
    (dt.datetime, SUMMER, "value is datetime and would be another one"),
    (dt.datetime, UTC_TIME.astimezone(EAST), "value is datetime and would be another one"),
    (float, 1, "value is int and would be float"),
    (set[float], {1.0, 2}, r"value\{…\} is int and would be float"),
    (Model, SubModel(A=1), "value is SubModel"),
    (Model, Model(A=1, at=SUMMER), r"value\.at is datetime"),
    (Model, Model(A=1, hidden=5), r"value\.hidden is int and would be another one"),
    (Model, with_private(5), "_private"),
    (Model, Model(A=1, secret=pydantic.SecretStr("hush")), r"value\.secret is SecretStr"),
    (Model, Model.model_construct(a="x"), "value"),
    (Model, Model(A=1, other=object()), "is object"),  # type: ignore[call-arg]
    (HoldsModel, HoldsModel({7: SubModel(A=1)}), r"value\.models\[7\] is SubModel"),
]


@pytest.mark.parametrize(("annotation", "value", "said"), REFUSED)
def test_what_would_come_back_changed_is_refused_with_type_and_path(
    annotation: Any, value: object, said: str
) -> None:
    with pytest.raises(SerializationError, match=said) as caught:
        TypedSerializer(annotation).dumps(value)
    assert "hush" not in str(caught.value)


def test_a_cycle_and_deep_nesting_are_refused() -> None:
    node = Node()
    node.child = node
    deep = Node()
    for _ in range(100_000):
        deep = Node(deep)
    for value in (node, deep):
        with pytest.raises(SerializationError, match="nesting"):
            TypedSerializer(Node).dumps(value)
    while deep.child is not None:  # so that it is not freed level by level
        deep = deep.child


def test_without_verification_the_caller_answers_for_the_value() -> None:
    loose = TypedSerializer(Point, verify=False)
    assert loose.loads(loose.dumps(Point3(1))) == Point(1)
    assert loose.name == TypedSerializer(Point).name


@dataclasses.dataclass
class Wide:
    number: float
    count: int
    at: dt.datetime
    data: bytes
    price: decimal.Decimal
    colour: Colour
    pair: tuple[int, str]
    names: dict[int, list[str]]
    anything: Any


WIDE = st.builds(
    Wide,
    number=st.floats() | st.integers(),
    count=st.integers(),
    at=st.datetimes(timezones=st.sampled_from([None, dt.UTC, EAST, SUMMER.tzinfo])).map(
        lambda t: t.replace(fold=0) if isinstance(t.tzinfo, dt.timezone) else t  # has no meaning
    ),
    data=st.binary(max_size=5),
    price=st.decimals(),
    colour=st.just(Colour.RED),
    pair=st.tuples(st.integers(0, 9), st.text(max_size=3)),
    names=st.dictionaries(st.integers(), st.lists(st.text(max_size=3), max_size=2), max_size=2),
    anything=st.recursive(
        st.none() | st.integers() | st.floats() | st.dates() | st.binary(),
        lambda inner: st.lists(inner, max_size=2) | st.tuples(inner),
        max_leaves=3,
    ),
)
# pydantic's mark on one field is enough for it to read the whole.
PydanticWide = Annotated[Wide, pydantic.Field(title="wide")]


@pytest.mark.parametrize("annotation", [Wide, PydanticWide])
@given(value=WIDE)
def test_any_value_comes_back_as_it_was_or_is_refused(annotation: Any, value: Wide) -> None:
    typed = TypedSerializer(annotation)
    try:
        data = typed.dumps(value)
    except SerializationError:
        return
    back = typed.loads(data)
    assert back == value
    assert repr(back).replace("TzInfo(0)", "datetime.timezone.utc").replace(
        "TzInfo(7200)", repr(EAST)
    ) == repr(value)


def test_what_does_not_validate_does_not_decode() -> None:
    payload = TypedSerializer(Row).dumps(Row(a=1, b=b""))
    for annotation in (Point, Named, Attrs, list[int], Model, int):
        with pytest.raises(DecodeError):
            TypedSerializer(annotation).loads(payload)


@dataclasses.dataclass
class Fails:
    x: int

    def __post_init__(self) -> None:
        raise KeyError(self.x)


def test_whatever_a_class_raises_while_it_is_built_its_payload_only_does_not_decode() -> None:
    payload = TypedSerializer(Fails, verify=False).dumps({"x": 1})
    with pytest.raises(DecodeError):
        TypedSerializer(Fails).loads(payload)
    with pytest.raises(SerializationError):
        TypedSerializer(Fails).dumps({"x": 1})
