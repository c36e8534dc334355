"""The two libraries behind TypedSerializer, behind one interface."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import msgspec

from routecache.errors import ConfigurationError
from routecache.serializers.annotations import needs_pydantic, text_of

_OLDEST_PYDANTIC: Final = (2, 11)


class Codec(Protocol):
    """Bytes of one annotation. Both methods raise whatever the library and the type raise."""

    format: str

    def encode(self, value: object, /) -> bytes:
        """The bytes of `value`."""
        ...

    def decode(self, data: bytes, /) -> object:
        """The validated value."""
        ...

    def rejects(self, part: object) -> bool:
        """Whether `part` of a value cannot be encoded, whatever its annotation is."""
        ...


def codec_for(annotation: Any) -> Codec:
    """pydantic's if `annotation` is of pydantic or holds something of it, else msgspec's.

    Raises ConfigurationError for an annotation that neither takes.
    """
    try:
        pydantic = needs_pydantic(annotation)
    except (NameError, TypeError, AttributeError) as error:
        raise _not_taken(annotation, "its annotations cannot be resolved") from error
    return PydanticCodec(annotation) if pydantic else MsgspecCodec(annotation)


class MsgspecCodec:
    """MessagePack, validated by msgspec while it decodes."""

    format = "msgpack"

    def __init__(self, annotation: Any) -> None:
        try:
            self.decode = msgspec.msgpack.Decoder(annotation).decode
            known = msgspec.inspect.type_info(annotation)
        except Exception as error:  # an annotation may be anything, and raise anything
            raise _not_taken(annotation, "msgspec does not take it") from error
        for node in _nodes(known):
            if isinstance(node, msgspec.inspect.CustomType):
                raise _not_taken(annotation, f"msgspec does not take {text_of(node.cls)}")
        self.encode = msgspec.msgpack.Encoder().encode

    def rejects(self, part: object) -> bool:
        """Whether msgspec does not encode `part`."""
        try:
            self.encode(part)
        except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
            return True
        return False


class PydanticCodec:
    """JSON, written and validated by pydantic, by field names whatever the aliases are."""

    format = "pydantic"

    def __init__(self, annotation: Any) -> None:
        try:
            from pydantic import VERSION, TypeAdapter
        except ImportError as error:
            raise _extra_missing(annotation) from error
        if tuple(map(int, VERSION.split(".")[:2])) < _OLDEST_PYDANTIC:
            raise _extra_missing(annotation)
        try:
            self._adapter: Any = TypeAdapter(annotation)
            self._adapter.rebuild()
        except Exception as error:  # a model's own hooks run here
            raise _not_taken(annotation, "pydantic does not take it") from error
        if _imports_what_data_names(self._adapter.core_schema):
            raise _not_taken(annotation, "ImportString would import what a payload names")

    def encode(self, value: object) -> bytes:
        """By name and without computed fields, so that the model takes it back."""
        encoded: bytes = self._adapter.dump_json(
            value, by_alias=False, round_trip=True, warnings="error"
        )
        return encoded

    def decode(self, data: bytes) -> object:
        """What `encode` wrote, validated as the model is configured."""
        value: object = self._adapter.validate_json(data, by_alias=False, by_name=True)
        return value

    def rejects(self, part: object) -> bool:
        """Whether pydantic does not encode `part`."""
        from pydantic_core import to_json

        try:
            to_json(part)
        except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
            return True
        return False


def _nodes(root: msgspec.inspect.Type) -> Iterator[object]:
    """All types that `root` is made of; a recursive one once."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, tuple | list):
            waiting.extend(node)
        elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field):
            yield node
            waiting.extend(getattr(node, name) for name in node.__struct_fields__)


def _imports_what_data_names(schema: object) -> bool:
    """Whether a core schema calls pydantic's import of a dotted path (the type ImportString)."""
    seen: set[int] = set()
    waiting: list[object] = [schema]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Mapping):
            waiting.extend(part.values())
        elif isinstance(part, list | tuple):
            waiting.extend(part)
        elif callable(part) and getattr(part, "__name__", "") == "import_string":
            return True
    return False


def _not_taken(annotation: Any, why: str) -> ConfigurationError:
    return ConfigurationError(f"a serializer for {text_of(annotation)} cannot be made: {why}")


def _extra_missing(annotation: Any) -> ConfigurationError:
    return _not_taken(
        annotation,
        "it needs pydantic 2.11 or later, which is not installed: "
        "pip install 'routecache[pydantic]'",
    )
