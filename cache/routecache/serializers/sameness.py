"""Whether a value came back as it went: equal, with equal types at every depth.

`==` does not tell: `1 == True == 1.0`, a dataclass may leave fields out of its comparison, and two
datetimes of different zones are equal.
"""

import datetime as dt
import math
from collections import deque
from enum import Enum
from typing import Any, Final

from routecache.serializers.refusal import Refusal, field_names, index_step, key_step

_BY_VALUE: Final = frozenset({str, int, bool, bytes, type(None)})
_ADVICE: Final = "change the value or its annotation, or convert it first"


class _Absent:
    """The value of a field that is not set, such as an unset slot."""


_ABSENT: Final = _Absent()


def demand_same(gone: Any, back: Any) -> None:
    """Raise Refusal, with the path, for the first difference between `gone` and `back`.

    Dataclasses, msgspec.Structs, attrs classes and pydantic models are the same if all their
    fields are, whatever their `==` says. Not compared: attributes that are no fields, and which
    fields of a pydantic model were set explicitly.
    """
    kind: Any = type(gone)
    if kind is not type(back):
        raise Refusal(f"{kind.__qualname__} and would be {type(back).__qualname__}", _ADVICE)
    if kind in _BY_VALUE:
        if gone != back:
            raise _changed(kind)
    elif kind is float:
        if gone != back or math.copysign(1, gone) != math.copysign(1, back):
            raise _changed(kind)
    elif isinstance(gone, dict):
        _demand_same_dicts(gone, back)
    elif isinstance(gone, list | tuple | deque):
        _demand_same_sequences(gone, back)
    elif isinstance(gone, set | frozenset):
        _demand_same_sets(gone, back)
    elif isinstance(gone, dt.datetime | dt.time):
        if gone != back or not _same_clock(gone, back):
            raise _changed(kind)
    elif isinstance(gone, Enum):
        if gone is not back:
            raise _changed(kind)
    elif hasattr(kind, "__pydantic_fields_set__"):
        _demand_same_models(gone, back)
    elif (names := field_names(kind)) is not None:
        _demand_same_fields(gone, back, names)
    elif not _equal(gone, back):
        raise _changed(kind)


def _demand_same_fields(gone: Any, back: Any, names: tuple[str, ...]) -> None:
    name = ""
    try:
        for name in names:
            item, other = getattr(gone, name, _ABSENT), getattr(back, name, _ABSENT)
            # Most parts are scalars: seen here, they cost no call. So in the loops below.
            if type(item) not in _BY_VALUE or type(other) is not type(item) or item != other:
                demand_same(item, other)
    except Refusal as refusal:
        refusal.steps.append(f".{name}")
        raise


def _demand_same_sequences(gone: Any, back: Any) -> None:
    if len(gone) != len(back):
        raise _changed(type(gone))
    index = 0
    try:
        for index, item in enumerate(gone):
            other = back[index]
            if type(item) not in _BY_VALUE or type(other) is not type(item) or item != other:
                demand_same(item, other)
    except Refusal as refusal:
        refusal.steps.append(index_step(index))
        raise


def _demand_same_dicts(gone: dict[Any, Any], back: dict[Any, Any]) -> None:
    if len(gone) != len(back):
        raise _changed(type(gone))
    key = None
    try:
        for (key, item), (other_key, other) in zip(gone.items(), back.items(), strict=True):
            demand_same(key, other_key)
            if type(item) not in _BY_VALUE or type(other) is not type(item) or item != other:
                demand_same(item, other)
    except Refusal as refusal:
        refusal.steps.append(key_step(key))
        raise


def _demand_same_sets(gone: Any, back: Any) -> None:
    twins = {item: item for item in back}
    if len(gone) != len(back) or not all(item in twins for item in gone):
        raise _changed(type(gone))
    try:
        for item in gone:
            demand_same(item, twins[item])
    except Refusal as refusal:
        refusal.steps.append("{…}")
        raise


def _demand_same_models(gone: Any, back: Any) -> None:
    _demand_same_fields(gone, back, tuple(type(gone).__pydantic_fields__))
    _demand_same_fields(gone, back, ("__pydantic_extra__", "__pydantic_private__"))


def _same_clock(gone: Any, back: Any) -> bool:
    """Whether two equal times show the same clock and will go on doing so in arithmetic."""
    if gone.replace(tzinfo=None) != back.replace(tzinfo=None):
        return False
    if gone.fold != back.fold and (gone.tzinfo is None or not _fixed(gone.tzinfo)):
        return False
    if gone.tzinfo is back.tzinfo:
        return True
    # A fixed offset may come back as another class for fixed offsets (pydantic has its own); a
    # zone with rules, such as Europe/Berlin, must not come back as the offset that it had.
    same_kind = type(gone.tzinfo) is type(back.tzinfo) and gone.tzinfo == back.tzinfo
    offset: bool = gone.utcoffset() == back.utcoffset()
    return same_kind or (_fixed(gone.tzinfo) and _fixed(back.tzinfo) and offset)


def _fixed(zone: dt.tzinfo) -> bool:
    return isinstance(zone, dt.timezone) or type(zone).__module__.startswith("pydantic_core")


def _equal(gone: Any, back: Any) -> bool:
    try:
        return bool(gone == back)
    except Exception:  # noqa: BLE001  # an `==` of somebody's own that fails does not say "equal"
        return False


def _changed(kind: type) -> Refusal:
    return Refusal(f"{kind.__qualname__} and would be another one", _ADVICE)
