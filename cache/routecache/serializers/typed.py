"""A serializer for the classes of a program."""

import re
from typing import Any, Final

import msgspec

from routecache.errors import ConfigurationError, DecodeError, SerializationError
from routecache.serializers.annotations import text_of
from routecache.serializers.codecs import codec_for
from routecache.serializers.names import MAX_NAME, digest, readable
from routecache.serializers.refusal import Refusal, key_step, locate, path_of, refused
from routecache.serializers.sameness import demand_same

_ADVICE: Final = "correct the value or the annotation"
_MSGSPEC_PATH: Final = re.compile(r" - at `(?:key in )?\$(.*)`$")


class TypedSerializer:
    """Values of one annotation: dataclass, msgspec.Struct, TypedDict, NamedTuple, attrs, pydantic.

    Any annotation that msgspec takes, such as `list[Model]` or `Model | None`, is stored as
    MessagePack; one that is or holds something of pydantic is stored as JSON by pydantic (the
    extra `routecache[pydantic]`), by field names whatever the aliases are. Payloads are validated,
    and name nothing that is imported or run; `ImportString` is not taken. The `__post_init__` and
    the validators of the annotated classes do run, when a value is read and when it is written.

    Fields may come and go as each library allows: one that is not known is passed over, one that
    is missing takes its default. Which fields of a pydantic model were set explicitly is not kept,
    and a fixed UTC offset may come back as another class of tzinfo with the same offset.

    Safe for threads, as far as the validators of the annotated classes are.

    Args:
        annotation: the type of all values, as in a signature.
        name: what to call the type in `name`, instead of its module and qualified name. Give one
            where classes move between modules, or live in `__main__`: a reader to whom the type
            has another name takes the payload for undecodable.
        verify: whether `dumps` decodes what it has encoded and refuses a value that differs,
            types included (an int in a float's place, a subclass, a zone with daylight saving, a
            field that is not stored). Without it `dumps` costs a fifth (pydantic) to a fortieth
            (msgspec.Struct) of that, and a value may come back from L2 as another than L1 holds.

    Raises:
        ConfigurationError: no library takes the annotation, or the extra is not installed.
    """

    __slots__ = ("_called", "_codec", "_name", "_verify")

    def __init__(self, annotation: Any, *, name: str | None = None, verify: bool = True) -> None:
        if name is not None and not name:
            raise ConfigurationError("name is empty: leave it out, or say what to call the type")
        self._codec = codec_for(annotation)
        self._called = text_of(annotation) if name is None else name
        self._verify = verify
        self._name = _name(self._codec.format, self._called)

    @property
    def name(self) -> str:
        """typed-msgpack: or typed-pydantic:, the type's name (its end, if it is long), a digest."""
        return self._name

    def __repr__(self) -> str:
        return f"TypedSerializer({self._called})"

    def dumps(self, value: object) -> bytes:
        """Encode `value`; raises SerializationError naming type and path."""
        try:
            data = self._codec.encode(value)
            if self._verify:
                self._demand_taken_back(value, data)
        except Refusal as refusal:
            raise refusal.into(self._called) from None
        except RecursionError as error:
            too_deep = Refusal("nesting too deep (or a cycle)", "flatten it")
            raise too_deep.into(self._called) from error
        except SerializationError:
            raise
        except Exception as error:  # a model's own serializers and properties run here
            raise self._not_encodable(value, error) from error
        return data

    def loads(self, data: bytes) -> object:
        """Decode and validate; raises DecodeError."""
        try:
            return self._codec.decode(data)
        except Exception as error:  # a type's own validators and __post_init__ may raise anything
            raise DecodeError(f"does not validate as {self._called}") from error

    def _demand_taken_back(self, value: object, data: bytes) -> None:
        try:
            back = self._codec.decode(data)
        except RecursionError:
            raise
        except Exception as error:  # see `loads`
            raise SerializationError(
                f"{_path_in(error)} of {type(value).__qualname__} does not validate as "
                f"{self._called}: {_ADVICE}"
            ) from error
        demand_same(value, back)

    def _not_encodable(self, value: object, error: Exception) -> SerializationError:
        path, part = "value", value
        if self._codec.rejects(value):
            path, part = locate(value, self._codec.rejects)
        what = type(part).__qualname__
        if isinstance(error, UnicodeEncodeError):
            what = "str with a lone surrogate"
        elif isinstance(error, OverflowError):
            what = "int beyond 64 bits"
        return refused(path, what, self._called, _ADVICE)


def _path_in(error: Exception) -> str:
    """Where a library's validation error says that the trouble is."""
    if isinstance(error, msgspec.ValidationError):
        found = _MSGSPEC_PATH.search(str(error))
        return f"value{found[1]}" if found else "value"
    details: Any = getattr(error, "errors", None)  # of pydantic, which may not be installed
    if callable(details):
        listed: Any = details(include_url=False, include_context=False, include_input=False)
        location = listed[0]["loc"]
        return path_of(key_step(p) if isinstance(p, int) else f".{p}" for p in location)
    return "value"


def _name(kind: str, called: str) -> str:
    prefix, suffix = f"typed-{kind}:", f"~{digest(called)}"
    room = MAX_NAME - len(prefix) - len(suffix)
    return f"{prefix}{readable(called)[-room:]}{suffix}"
