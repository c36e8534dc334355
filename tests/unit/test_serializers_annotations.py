"""What TypedSerializer takes, how it is named, and that pydantic is no dependency of it."""

import dataclasses
import datetime as dt
import subprocess
import sys
from typing import Annotated, Any, Optional, TypedDict

import msgspec
import pydantic
import pytest

from routecache.errors import ConfigurationError
from routecache.serializers import TypedSerializer


@dataclasses.dataclass
class Point:
    x: int


class Point3(Point):
    pass


class Row(TypedDict):
    a: int


class Struct(msgspec.Struct):
    a: int


class Model(pydantic.BaseModel):
    a: int


class Unknown:
    pass


@dataclasses.dataclass
class Unresolved:
    x: "NoSuchName"  # type: ignore[name-defined]  # noqa: F821


class Imports(pydantic.BaseModel):
    inner: list[pydantic.ImportString[Any]]


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Unknown, "does not take .*Unknown"),
        (dict[str, list[Unknown]], "does not take .*Unknown"),
        (complex, "does not take complex"),
        (int | str | dt.datetime, "msgspec does not take it"),
        (5, "msgspec does not take it"),
        (Unresolved, "cannot be resolved"),
        (Struct | Model, "pydantic does not take it"),
        (Imports, "ImportString"),
        (dict[str, Imports], "ImportString"),
        (pydantic.ImportString, "ImportString"),
    ],
)
def test_an_annotation_that_cannot_work_is_refused_at_once(annotation: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        TypedSerializer(annotation)


LONG: list[Any] = [tuple.__class_getitem__((kind,) * 40) for kind in (int, str)]


def test_names_are_stable_bounded_and_tell_types_and_formats_apart() -> None:
    assert TypedSerializer(list[int]).name == "typed-msgpack:list[int]~21190b41"
    assert TypedSerializer(Point, name="pöint").name == "typed-msgpack:p_int~c771373f"
    assert TypedSerializer(Model, name="m").name == "typed-pydantic:m~6158dde9"
    same = [
        Optional[int],  # noqa: UP045  # both spellings
        int | None,
        Annotated[int, msgspec.Meta(gt=1)] | None,
    ]
    assert len({TypedSerializer(annotation).name for annotation in same}) == 1
    others = [Point, Point3, list[Point], tuple[Point], dict[str, Point], Point | None, Row, Model]
    names = {TypedSerializer(annotation).name for annotation in others}
    assert len(names) == len(others)
    long = [TypedSerializer(kind).name for kind in LONG]
    assert long[0] != long[1]
    assert all(len(name) <= 64 and name.isascii() for name in {*names, *long})
    with pytest.raises(ConfigurationError):
        TypedSerializer(int, name="")


def test_pydantic_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys; from routecache.serializers import TypedSerializer as T; "
        "T(list[int]).dumps([1]); sys.exit('pydantic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ConfigurationError, match=r"routecache\[pydantic\]"):
        TypedSerializer(Model)


def test_a_pydantic_too_old_is_named_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydantic, "VERSION", "2.10.6")
    with pytest.raises(ConfigurationError, match=r"2\.11"):
        TypedSerializer(Model)
