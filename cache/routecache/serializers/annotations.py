"""What an annotation is called, and whether pydantic has to read it."""

import types
from collections.abc import Iterator
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from routecache.serializers.refusal import field_names

_PYDANTIC_MARKS = ("__pydantic_core_schema__", "__get_pydantic_core_schema__")
# Constraints of these packages are ignored by msgspec, and heeded by pydantic.
_PYDANTIC_PACKAGES = ("pydantic", "pydantic_core", "annotated_types")


def text_of(annotation: Any) -> str:
    """`annotation` as a text that every release of Python and of the program spells alike.

    Classes by module and qualified name, `Optional[X]` as `X|None`, an alias as what it stands
    for, and constraints left out, since they change no format.
    """
    alias = getattr(annotation, "__value__", None)
    if alias is not None and type(annotation).__name__ == "TypeAliasType":
        return text_of(alias)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return text_of(args[0])
    if origin is Literal:
        return f"Literal[{','.join(map(repr, args))}]"
    if origin is Union or origin is types.UnionType:
        return "|".join(map(text_of, args))
    if origin is not None:
        return f"{text_of(origin)}[{','.join(map(text_of, args))}]"
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    if isinstance(annotation, list):
        return f"[{','.join(map(text_of, annotation))}]"
    name = getattr(annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
    if name is None:
        return str(annotation)
    module = getattr(annotation, "__module__", "builtins")
    return name if module in {"builtins", "typing"} else f"{module}.{name}"


def needs_pydantic(annotation: Any) -> bool:
    """Whether a pydantic model, type or constraint is in `annotation` or in a field of its classes.

    Imports nothing: what belongs to pydantic is known by the marks that it leaves. Raises what
    the annotations of a class raise when they are resolved (NameError for an unknown name).
    """
    seen: set[int] = set()
    waiting = [annotation]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if any(hasattr(part, mark) for mark in _PYDANTIC_MARKS):
            return True
        if type(part).__module__.partition(".")[0] in _PYDANTIC_PACKAGES:
            return True
        waiting.extend(_parts(part))
    return False


def _parts(annotation: Any) -> Iterator[Any]:
    yield from get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    if get_origin(annotation) is not None:
        yield get_origin(annotation)
    elif isinstance(annotation, NewType):
        yield annotation.__supertype__
    elif isinstance(annotation, TypeVar):
        yield annotation.__bound__
    elif type(annotation).__name__ == "TypeAliasType":
        yield annotation.__value__
    elif isinstance(annotation, type) and _has_annotated_fields(annotation):
        yield from get_type_hints(annotation, include_extras=True).values()


def _has_annotated_fields(kind: type) -> bool:
    tupled = issubclass(kind, tuple) and hasattr(kind, "_fields")
    typed_dict = issubclass(kind, dict) and hasattr(kind, "__total__")
    return tupled or typed_dict or field_names(kind) is not None
