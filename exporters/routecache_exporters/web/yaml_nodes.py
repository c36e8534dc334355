"""YAML read node by node, so that every complaint names file, line and key.

`yaml.safe_load` gives plain values: the line of a key is lost, a key given twice silently wins, and
`y` or a version number arrives as another type. So nodes are composed, never constructed, and each
value is read as the type that its key asks for, the way Prometheus' own reader does. No complaint
quotes a value, since any value may be a password in the wrong place.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from routecache.errors import ConfigurationError

_TRUE: Final = frozenset({"y", "yes", "true", "on"})
_FALSE: Final = frozenset({"n", "no", "false", "off"})
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = _TAG + "merge"
_WORD: Final = re.compile(r"'[!\w-]{2,}'")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the file, its line counted from 1, and the key with its parents."""

    file: Path
    line: int
    key: str

    def error(self, message: str) -> ConfigurationError:
        """A complaint about what stands here."""
        key = f"{self.key}: " if self.key else ""
        return ConfigurationError(f"{self.file}, line {self.line}: {key}{message}")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One plain or quoted value and where it stands."""

    place: Place
    text: str
    quoted: bool

    @property
    def null(self) -> bool:
        """Whether nothing is given."""
        return not self.quoted and self.text in _NULL

    def boolean(self) -> bool:
        """The value as YAML 1.1 reads truth: true, yes, on, y and their opposites, unquoted.

        Raises ConfigurationError if it is none of them.
        """
        word = self.text
        if not self.quoted and word in (word.lower(), word.capitalize(), word.upper()):
            if word.lower() in _TRUE:
                return True
            if word.lower() in _FALSE:
                return False
        raise self.place.error("give true or false")


class Section:
    """A mapping whose keys are known: they are asked for by name, and any other is an error.

    Raises ConfigurationError for a key that is not `known`, or given twice, or not text.
    """

    def __init__(self, place: Place, entries: Mapping[str, "_Entry"], known: Collection[str]):
        self.place = place
        self._entries = entries
        for key, entry in entries.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise entry.place.error(f"no such key; {advice}")

    @classmethod
    def of_file(cls, file: Path, content: bytes, known: Collection[str]) -> Self:
        """The whole file as a section; an empty one is an empty section."""
        place = Place(file, 1, "")
        node = _compose(file, content)
        return cls(place, {} if _is_null(node) else _entries(node, place), known)

    def __contains__(self, key: str) -> bool:
        """Whether `key` is given a value."""
        entry = self._entries.get(key)
        return entry is not None and not _is_null(entry.node)

    def at(self, key: str) -> Place:
        """Where `key` stands, or where the section does."""
        return self._entries[key].place if key in self._entries else self.place

    def section(self, key: str, known: Collection[str]) -> "Section":
        """The mapping under `key`; empty if not given."""
        return Section(self.at(key), self._children(key), known)

    def sections(self, key: str, known: Collection[str]) -> "list[Section]":
        """The mappings of the list under `key`; none if not given."""
        if key not in self:
            return []
        entry = self._entries[key]
        if entry.node.id != "sequence":
            raise entry.place.error("give a list")
        places = [
            Place(entry.place.file, _line(item), entry.place.key) for item in entry.node.value
        ]
        return [
            Section(place, _entries(item, place), known)
            for place, item in zip(places, entry.node.value, strict=True)
        ]

    def names(self, key: str) -> list[str]:
        """The keys of the mapping under `key`, which are names of things; none if not given."""
        return list(self._children(key))

    def scalar(self, key: str) -> Scalar | None:
        """The single value of `key`, or None."""
        entry = self._entries.get(key)
        scalar = None if entry is None else _scalar(entry.node, entry.place, "one value")
        return None if scalar is None or scalar.null else scalar

    def scalars(self, key: str) -> list[Scalar]:
        """The values of the list under `key`; none if not given."""
        if key not in self:
            return []
        entry = self._entries[key]
        if entry.node.id != "sequence":
            raise entry.place.error("give a list")
        return [
            _scalar(item, Place(entry.place.file, _line(item), entry.place.key), "a list of values")
            for item in entry.node.value
        ]

    def table(self, key: str) -> dict[str, Scalar]:
        """The mapping under `key` with names of the user's own choice; empty if not given."""
        # The place of a value names the table only: a name here may be a secret in the wrong place.
        place = self.at(key)
        return {
            name: _scalar(
                child.node, Place(place.file, child.place.line, place.key), "one value each"
            )
            for name, child in self._children(key).items()
        }

    def _children(self, key: str) -> dict[str, "_Entry"]:
        if key not in self:
            return {}
        return _entries(self._entries[key].node, self._entries[key].place)


@dataclass(frozen=True, slots=True)
class _Entry:
    place: Place
    node: Any


def _compose(file: Path, content: bytes) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ConfigurationError(
            "PyYAML, which reads web configuration files, is not installed: "
            "pip install 'routecache[web]'"
        ) from error
    try:
        return yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        # Its own text quotes the line.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = "a second document" if "single document" in str(error.context) else error.problem
        # Nor are its words repeated: a password with * or ! in front is an alias or a tag to it.
        what = _WORD.sub("…", what or type(error).__name__)
        raise Place(file, line, "").error(f"this is no valid YAML: {what}") from None
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise Place(file, 1, "").error(f"this is no valid YAML: {type(error).__name__}") from None


def _entries(node: Any, parent: Place) -> dict[str, _Entry]:
    if node.id != "mapping":
        raise parent.error("give keys with values, as in `key: value`")
    _check_tag(node, parent)
    merged: dict[str, _Entry] = {}
    own: dict[str, _Entry] = {}
    for key, value in node.value:
        place = Place(parent.file, _line(key), parent.key)
        if key.tag == _MERGE:
            for source in _sources(value, place):
                merged = {**_entries(source, place), **merged}
            continue
        name = _scalar(key, place, "a key of one word").text
        entry = _Entry(Place(parent.file, _line(key), f"{parent.key}.{name}".lstrip(".")), value)
        if name in own:
            raise place.error("the key of this line is given twice; keep one")
        own[name] = entry
    return {**merged, **own}


def _sources(node: Any, place: Place) -> Iterator[Any]:
    sources = node.value if node.id == "sequence" else [node]
    for source in sources:
        if source.id != "mapping":
            raise place.error("`<<` takes mappings")
        yield source


def _scalar(node: Any, place: Place, wanted: str) -> Scalar:
    if node.id != "scalar":
        raise place.error(f"give {wanted}")
    _check_tag(node, place)
    return Scalar(place, node.value, node.style is not None)


def _check_tag(node: Any, place: Place) -> None:
    # `!!binary` would need decoding, and `!python/...` means nothing here.
    if not node.tag.startswith(_TAG) or node.tag == _TAG + "binary":
        raise place.error("tags with an exclamation mark are not understood; remove it")


def _is_null(node: Any) -> bool:
    return node is None or (node.id == "scalar" and node.style is None and node.value in _NULL)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
