"""A YAML file over the shipped configuration: what it names is replaced, all else stays.

The keys are the field names of `config.py`. A key that is not known, a value of the wrong kind and
a choice that could not work are refused with file, line and key.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from routecache.errors import ConfigurationError
from routecache_exporters.pack import masks
from routecache_exporters.pack.check import check
from routecache_exporters.pack.config import LIMITS, Config, Duration, Limit, seconds
from routecache_exporters.pack.masks import Mask
from routecache_exporters.usage import require
from routecache_exporters.web.yaml_nodes import Scalar, Section

_T = TypeVar("_T")

_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def load(file: Path) -> Config:
    """The configuration that `file` makes of the shipped one.

    Raises ConfigurationError, which names the file, the line where there is one, and the key.
    UsageError: PyYAML is not installed.
    """
    require("yaml", "cli")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror or error}") from None
    return parse(file, content)


def parse(file: Path, content: bytes) -> Config:
    """`load` of a file with this content."""
    config = _fields(Section.of_file(file, content, _keys(Config)), Config())
    try:
        check(config)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    return config


def _keys(kind: type) -> tuple[str, ...]:
    return tuple(_key(field) for field in dataclasses.fields(kind))


def _key(field: "dataclasses.Field[Any]") -> str:
    """How a field is called in the file; `for` is no name in Python."""
    return str(field.metadata.get("key", field.name))


def _fields(section: Section, default: _T) -> _T:
    """`default`, a dataclass, with the fields that `section` gives."""
    hints = get_type_hints(type(default))
    given: dict[str, Any] = {}
    for field in dataclasses.fields(default):  # type: ignore[arg-type]
        key = _key(field)
        if key in section:
            now = getattr(default, field.name)
            given[field.name] = _value(section, key, hints[field.name], now)
    return dataclasses.replace(default, **given)  # type: ignore[type-var]


def _value(section: Section, key: str, hint: Any, now: Any) -> Any:
    if dataclasses.is_dataclass(now):
        return _fields(section.section(key, _keys(type(now))), now)
    if key == "alerts":
        return _alerts(section, key, now)
    if key == "masks":
        return _masks(section, key, now)
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if inner is str:
            return tuple(_text(scalar) for scalar in section.scalars(key))
        found = [_fields(each, each_now) for each, each_now in _pairs(section, key, now)]
        return tuple(found)
    scalar = section.scalar(key)
    assert scalar is not None, "a key in the section has a value"
    return _readers(hint)(scalar)


def _pairs(section: Section, key: str, now: tuple[Any, ...]) -> list[tuple[Section, Any]]:
    """The items of a list as long as the shipped one, each with its default."""
    sections = section.sections(key, _keys(type(now[0])))
    if len(sections) != len(now):
        raise section.at(key).error(f"give a list of {len(now)}")
    return list(zip(sections, now, strict=True))


def _alerts(section: Section, key: str, now: Mapping[str, Limit]) -> Mapping[str, Limit]:
    inner = section.section(key, tuple(LIMITS))
    changed = dict(now)
    for name in section.names(key):
        limit = now[name]
        # A threshold where there is nothing to choose would be read and forgotten.
        keys = [
            _key(field)
            for field in dataclasses.fields(Limit)
            if getattr(limit, field.name) is not None
        ]
        changed[name] = _fields(inner.section(name, keys), limit)
    return MappingProxyType(changed)


def _masks(section: Section, key: str, now: Mapping[str, Mask]) -> Mapping[str, Mask]:
    inner = section.section(key, masks.CAUSES)
    given = {
        name: _fields(inner.section(name, _keys(Mask)), now.get(name, Mask()))
        for name in section.names(key)
    }
    return MappingProxyType({**now, **given})


def _readers(hint: Any) -> Callable[[Scalar], Any]:
    if hint is Duration:
        return _duration
    if hint is bool:
        return Scalar.boolean
    return _text if hint is str else _number


def _text(scalar: Scalar) -> str:
    if not scalar.text.isprintable():
        raise scalar.place.error("give text in one line")
    return scalar.text


def _number(scalar: Scalar) -> float:
    if scalar.quoted or not _NUMBER.fullmatch(scalar.text):
        raise scalar.place.error("give a number")
    return float(scalar.text)


def _duration(scalar: Scalar) -> Duration:
    try:
        seconds(scalar.text)
    except ValueError:
        raise scalar.place.error("give a duration such as 5m or 1h30m") from None
    return Duration(scalar.text)


def dump(config: Config) -> str:
    """The configuration as a file that `load` reads back.

    Raises UsageError if PyYAML is not installed.
    """
    text: str = require("yaml", "cli").safe_dump(_plain(config), sort_keys=False, width=100)
    return text


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            _key(field): _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) is not None
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    # 5 and not 5.0
    return int(value) if isinstance(value, float) and value.is_integer() else value
