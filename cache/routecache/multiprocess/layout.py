"""How a worker's counters lie in its file: numbers that stay in place, and records that name them.

    0        header: magic, process id, start of the process, whether anything was lost
    4 KiB    the gauges that the process published last: length, CRC, bytes
    4 MiB    segments of 64 KiB: how many of their bytes are in use, then records

Only what is used takes room on the disk. A record is written once and never moves: what it names
(a cell, or a counter or histogram of a cell) and then the 8-byte words that the process counts in.
It is in use when the segment's first word says so, which is set last. So a process may end between
any two of its instructions and leaves a file that can be read.

Numbers are in the machine's own byte order; the file never leaves the machine.
"""

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias
from zlib import crc32

FORMAT: Final = 1
MAGIC: Final = b"rtcell\x00\x01"

HEADER: Final = struct.Struct("=8sqdq")
LOST_AT: Final = 24
GAUGES_AT: Final = 4096
GAUGES_HEAD: Final = struct.Struct("=QQ")
SEGMENTS_AT: Final = 1 << 22
SEGMENT: Final = 1 << 16
MAX_GAUGES: Final = SEGMENTS_AT - GAUGES_AT - GAUGES_HEAD.size
WORD: Final = struct.Struct("=q")

CELL: Final = 1
COUNTER: Final = 2
HISTOGRAM: Final = 3

# Bytes of the record, kind, number of bounds, bytes of the key, CRC of all but the words; the cell.
_HEAD: Final = struct.Struct("=IHHIIq")
_MAX_KEY: Final = 4096
_NAME: Final = re.compile(r"(\d+)-[0-9a-f]{16}\.cells")

Key: TypeAlias = tuple[str, ...]


class UnreadableError(Exception):
    """A file that holds something else than a worker's counters."""


class FormatError(UnreadableError):
    """A file of another release, whose format this one does not know."""


@dataclass(frozen=True, slots=True)
class Header:
    """Who writes a file. `started` is in seconds since the epoch; `lost`: not all was counted."""

    pid: int
    started: float
    lost: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What the words from byte `at` of the segments on are: see `words`."""

    kind: int
    cell: int
    key: Key
    bounds: tuple[float, ...]
    at: int


def words(kind: int, bounds: tuple[float, ...]) -> int:
    """How many words such a record has: version and L1 hits; a count; bucket counts and the sum."""
    return {CELL: 2, COUNTER: 1, HISTOGRAM: len(bounds) + 2}[kind]


def describe(kind: int, cell: int, key: Key, bounds: tuple[float, ...] = ()) -> tuple[bytes, int]:
    """The bytes of a record before its words, and its length with them.

    Raises OSError if the key is too long to be stored.
    """
    name = json.dumps(key).encode()
    if len(name) > _MAX_KEY:
        raise OSError(f"a name of {len(name)} bytes")
    packed = struct.pack(f"={len(bounds)}d", *bounds)
    body = packed + name + b"\0" * (-len(name) % 8)
    size = _HEAD.size + len(body) + 8 * words(kind, bounds)
    head = (size, kind, len(bounds), len(name))
    crc = crc32(body, crc32(_HEAD.pack(*head, 0, cell)))
    return _HEAD.pack(*head, crc, cell) + body, size


def records(segment: memoryview, start: int, used: int, at: int) -> Iterator[Record]:
    """The records from byte `start` to byte `used` of a segment, which begins `at` among all.

    Raises UnreadableError.
    """
    if not WORD.size <= used <= len(segment):
        raise UnreadableError
    while start < used:
        if used - start < _HEAD.size:
            raise UnreadableError
        size, kind, bounds, name, crc, cell = _HEAD.unpack_from(segment, start)
        body = start + _HEAD.size
        end = body + 8 * bounds + name + -name % 8
        if size % 8 or size < _HEAD.size or end > start + size or start + size > used:
            raise UnreadableError
        head = _HEAD.pack(size, kind, bounds, name, 0, cell)
        if crc32(segment[body:end], crc32(head)) != crc:
            raise UnreadableError
        limits = struct.unpack_from(f"={bounds}d", segment, body)
        if kind not in (CELL, COUNTER, HISTOGRAM) or end + 8 * words(kind, limits) != start + size:
            raise UnreadableError
        key = json.loads(bytes(segment[body + 8 * bounds :][:name]))
        yield Record(kind, cell, tuple(key), limits, at + end)
        start += size


def read_header(data: bytes) -> Header:
    """The header at the beginning of a file. Raises UnreadableError."""
    if len(data) < HEADER.size:
        raise UnreadableError
    magic, pid, started, lost = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise UnreadableError
    return Header(pid, started, bool(lost))


def wrap_gauges(payload: bytes) -> bytes:
    """`payload` as it is written at `GAUGES_AT`."""
    return GAUGES_HEAD.pack(len(payload), crc32(payload)) + payload


def unwrap_gauges(data: bytes) -> bytes | None:
    """What `wrap_gauges` was given; None if it is being written just now."""
    length, crc = GAUGES_HEAD.unpack_from(data)
    payload = data[GAUGES_HEAD.size :][:length]
    return payload if len(payload) == length and crc32(payload) == crc else None


def file_name(token: str) -> str:
    """The name of a worker's file, by 16 hexadecimal digits of its own."""
    return f"{FORMAT}-{token}.cells"


def format_of(name: str) -> int | None:
    """The format that a file is written in, by its name; None if it is no worker's."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None
