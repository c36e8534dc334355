"""The lines of a log file of any size: plain or gzip, decoded, bounded, with progress in bytes."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from routecache_exporters.usage import UsageError

MAX_LINE = 1 << 20
"""Bytes. A longer line is a bad row; it is skipped without being held in memory."""

_GZIP = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class BadRow(NamedTuple):
    """A row that could not be replayed: its first line (from 1) and why."""

    line: int
    reason: str


@dataclass(slots=True)
class BadRows:
    """How many rows were bad, and the first of them; bounded however many there are."""

    count: int = 0
    first: list[BadRow] = field(default_factory=list)
    keep: int = 5

    def add(self, line: int, reason: str) -> None:
        """Count one bad row."""
        self.count += 1
        if len(self.first) < self.keep:
            self.first.append(BadRow(line, reason))


class Line(NamedTuple):
    """One line without its line end, numbered from 1."""

    number: int
    text: str


class LineReader:
    """Streams the lines of `path` (`-` is stdin) in constant memory.

    A line that is not UTF-8 or is longer than `MAX_LINE` bytes is counted in `bad`, and skipped.

    Raises:
        UsageError: the file is missing, unreadable, a directory or not UTF-8 text.
    """

    def __init__(self, path: str, bad: BadRows) -> None:
        self.bad = bad
        self.name = "stdin" if path == "-" else path
        self._raw = _open(path)
        self.total_bytes = _size(self._raw)
        head = self._raw.peek(3)[:3]
        if head[:2] in _UTF16_BOMS:
            self._raw.close()
            raise UsageError(
                f"{self.name} is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8` first"
            )
        self._stream: BinaryIO | gzip.GzipFile = self._raw
        if head[:2] == _GZIP:
            self._stream = gzip.GzipFile(fileobj=self._raw)

    @property
    def bytes_read(self) -> int:
        """Bytes consumed of the file as it lies on disk, for progress against `total_bytes`."""
        return self._raw.tell() if self.total_bytes is not None else 0

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def __iter__(self) -> Iterator[Line]:
        number = 0
        while True:
            try:
                raw = self._stream.readline(MAX_LINE)
                if not raw:
                    return
                number += 1
                if len(raw) >= MAX_LINE and not raw.endswith(b"\n"):
                    self._skip_line()
                    self.bad.add(number, f"longer than {MAX_LINE} bytes")
                    continue
            except (EOFError, OSError, zlib.error) as error:
                self.bad.add(number + 1, f"the file ends early: {error}")
                return
            if number == 1:
                raw = raw.removeprefix(_UTF8_BOM)
            try:
                yield Line(number, raw.decode().rstrip("\r\n"))
            except UnicodeDecodeError as error:
                self.bad.add(number, f"not UTF-8 at byte {error.start + 1} of the line")

    def _skip_line(self) -> None:
        while (rest := self._stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass


def _open(path: str) -> io.BufferedReader:
    if path == "-":
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise UsageError(f"no such log file: {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory: name a log file in it") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def _size(raw: io.BufferedReader) -> int | None:
    if not raw.seekable():
        return None
    return os.fstat(raw.fileno()).st_size
