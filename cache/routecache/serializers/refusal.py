"""Where in a value the trouble is: the path that a SerializationError names."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from routecache.errors import SerializationError

_MAX_KEY: Final = 40
_MAX_PATH: Final = 200


class Refusal(Exception):  # noqa: N818  # never leaves the package; `into` makes the error of it
    """Trouble on its way up: each level that it passes adds its own step of the path."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.steps: list[str] = []

    def into(self, where: str) -> SerializationError:
        """The error that a caller sees; `where` is what would not give the value back."""
        path = path_of(reversed(self.steps))
        return refused(path, self.what, where, self.advice)


def refused(path: str, what: str, where: str, advice: str) -> SerializationError:
    """The one wording of all serializers."""
    return SerializationError(
        f"{path} is {what}, which {where} would not give back as it was: {advice}"
    )


def path_of(steps: Iterable[str]) -> str:
    """`value` and the steps below it, shortened where it is long (a cycle has 200 of them)."""
    path = "value" + "".join(steps)
    return path if len(path) <= _MAX_PATH else f"{path[:_MAX_PATH]}…"


def index_step(index: int) -> str:
    """The step to an item of a sequence."""
    return f"[{index}]"


def key_step(key: object) -> str:
    """The step to a value of a dict; a long key is shortened."""
    if isinstance(key, str | bytes) and len(key) > _MAX_KEY:
        return f"[{key[:_MAX_KEY]!r}…]"
    return f"[{key!r}]"


def _field_names(kind: Any) -> tuple[str, ...] | None:
    struct: tuple[str, ...] | None = getattr(kind, "__struct_fields__", None)
    if struct is not None:
        return struct
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    attributes: Any = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else tuple(a.name for a in attributes)


field_names: Final[Callable[[type], tuple[str, ...] | None]] = lru_cache(maxsize=256)(_field_names)
"""The fields of a msgspec.Struct, dataclass or attrs class; None for any other type."""


def children(value: object) -> Iterator[tuple[str, object]]:
    """What `value` is made of, with the step to each part."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[key {key_step(key)[1:]}", key
            yield key_step(key), item
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield index_step(index), item
    elif hasattr(value, "__pydantic_fields_set__"):
        extra: dict[str, object] = getattr(value, "__pydantic_extra__", None) or {}
        for name, item in {**vars(value), **extra}.items():
            yield f".{name}", item
    else:
        for name in field_names(type(value)) or ():
            yield f".{name}", getattr(value, name, None)


def locate(value: object, fails: Callable[[object], bool]) -> tuple[str, object]:
    """Path and value of an innermost part that `fails`, where `value` as a whole does.

    Costs one attempt per part and level: for values that are already known to be refused.
    """
    steps: list[str] = []
    while True:
        for step, part in children(value):
            if fails(part):
                steps.append(step)
                value = part
                break
        else:
            return path_of(steps), value
