"""Rows of a request log: CSV with a header, or JSON Lines, told apart by what the file begins with.

A bad row (wrong number of columns, bytes that are not UTF-8, broken quotes or JSON) is counted
with its line number and skipped. A log that cannot be used at all is a `UsageError`.
"""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from routecache.canonical import MAX_DEPTH
from routecache_exporters.replay.lines import BadRows, Line, LineReader
from routecache_exporters.usage import UsageError

Container: TypeAlias = dict[str, object] | list[object]

_TOO_DEEP = f"JSON of more than {MAX_DEPTH} levels, which no cache key can hold"
_DELIMITERS = ",;\t|"
# A quoted CSV field may go over several lines, but one stray quote must not swallow the log.
_MAX_RECORD_LINES = 200
_MAX_RECORD_CHARS = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One request as logged: where it begins, its values by column, its text."""

    line: int
    values: Mapping[str, object]
    text: str


class Log:
    """A request log opened for one pass; iterate over it for its rows. Not safe for threads.

    Attributes:
        columns: the column names: the header of a CSV, the keys of the first JSON object.
        format: `csv` or `jsonl`.
        bad: the rows that could not be read so far.

    Raises:
        UsageError: the file cannot be opened, or holds no request.
    """

    def __init__(self, path: str) -> None:
        self.bad = BadRows()
        self._path = path
        self._lines = LineReader(path, self.bad)
        try:
            self._rows = self._start()
        except BaseException:
            self._lines.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    @property
    def name(self) -> str:
        """The file's path as given, or `stdin`."""
        return self._lines.name

    @property
    def bytes_read(self) -> int:
        """Bytes of the file consumed so far; 0 for a pipe."""
        return self._lines.bytes_read

    @property
    def total_bytes(self) -> int | None:
        """The file's size in bytes, or None for a pipe."""
        return self._lines.total_bytes

    @property
    def again(self) -> bool:
        """Whether its path can be opened for another pass: not that of stdin or of a pipe."""
        return self._path != "-" and Path(self._path).is_file()

    def _start(self) -> Iterator[Row]:
        lines = iter(self._lines)
        first = next((line for line in lines if line.text.strip()), None)
        if first is None:
            raise UsageError(f"{self.name} {self._nothing_in_it()}")
        rows: Iterator[Row]
        if first.text.lstrip().startswith("["):
            raise UsageError(
                f"{self.name} begins like one JSON array: write one JSON object per line, "
                f"for example with `jq -c '.[]'`"
            )
        if first.text.lstrip().startswith("{"):
            self.format = "jsonl"
            rows = self._json_rows(chain([first], lines))
        else:
            self.format = "csv"
            self.columns, delimiter = _header(self.name, first)
            rows = self._csv_rows(lines, delimiter)
        row = next(rows, None)
        if row is None:
            raise UsageError(f"{self.name} {self._nothing_in_it()}")
        if self.format == "jsonl":
            self.columns = tuple(row.values)
        return chain([row], rows)

    def _nothing_in_it(self) -> str:
        if not self.bad.count:
            return "holds no requests: expected CSV with a header, or JSON Lines"
        line, reason = self.bad.first[0]
        return (
            f"holds no readable request: {self.bad.count} bad rows, "
            f"the first in line {line}: {reason}"
        )

    def _json_rows(self, lines: Iterator[Line]) -> Iterator[Row]:
        for line in lines:
            if not line.text.strip():
                continue
            try:
                value = json.loads(line.text)
            except RecursionError:  # hundreds of levels or thousands, as Python's release has it
                self.bad.add(line.number, _TOO_DEEP)
                continue
            except ValueError:
                self.bad.add(line.number, "not JSON")
                continue
            if _too_deep(value, line.text):
                self.bad.add(line.number, _TOO_DEEP)
            elif isinstance(value, dict):
                yield Row(line.number, value, line.text)
            else:
                self.bad.add(line.number, f"JSON, but a {type(value).__name__} and no object")

    def _csv_rows(self, lines: Iterator[Line], delimiter: str) -> Iterator[Row]:
        pushed_back: deque[Line] = deque()

        def next_line() -> Line | None:
            return pushed_back.popleft() if pushed_back else next(lines, None)

        while (line := next_line()) is not None:
            if not line.text.strip():
                continue
            parsed = self._fields(line.text, delimiter)
            text = line.text
            if isinstance(parsed, str) and line.text.count('"') % 2:
                # A quoted field may hold line ends: try the lines up to the closing quote. If
                # they make no row either, only the first of them is lost.
                following = _until_quote_closes(line, next_line)
                text = "\n".join([line.text, *(more.text for more in following)])
                joined = self._fields(text, delimiter)
                if isinstance(joined, str):
                    pushed_back.extendleft(reversed(following))
                else:
                    parsed = joined
            if isinstance(parsed, str):
                self.bad.add(line.number, parsed)
            else:
                yield Row(line.number, dict(zip(self.columns, parsed, strict=True)), text)

    def _fields(self, text: str, delimiter: str) -> list[str] | str:
        """The fields of one record, or what is wrong with it."""
        try:
            fields = next(csv.reader([text], delimiter=delimiter, strict=True))
        except csv.Error as error:
            return f"not CSV: {error}"
        if len(fields) != len(self.columns):
            return f"{len(fields)} columns instead of {len(self.columns)}"
        return fields


def _too_deep(value: object, text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False  # nearly every row, at no cost
    containers = _containers([value])
    for _ in range(MAX_DEPTH):
        containers = [inner for outer in containers for inner in _containers(outer)]
    return bool(containers)


def _containers(outer: Container) -> list[Container]:
    values = outer.values() if isinstance(outer, dict) else outer
    return [value for value in values if isinstance(value, (dict, list))]


def _until_quote_closes(line: Line, next_line: Callable[[], Line | None]) -> list[Line]:
    following: list[Line] = []
    size = len(line.text)
    while len(following) < _MAX_RECORD_LINES and size < _MAX_RECORD_CHARS:
        more = next_line()
        if more is None:
            break
        following.append(more)
        size += len(more.text)
        if more.text.count('"') % 2:
            break
    return following


def _header(name: str, first: Line) -> tuple[tuple[str, ...], str]:
    delimiter = max(_DELIMITERS, key=first.text.count)
    try:
        columns = next(csv.reader([first.text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UsageError(f"{name} has no CSV header in line {first.number}: {error}") from None
    columns = [column.strip() for column in columns]
    for column in columns:
        if columns.count(column) > 1:
            what = repr(column) if column else "an empty name"
            raise UsageError(f"{name} has {what} twice in its header: name each column once")
    return tuple(columns), delimiter
