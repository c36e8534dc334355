"""The file that one process counts in, and its lock, which tells others that the process lives."""

import ctypes
import fcntl
import itertools
import mmap
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from routecache.multiprocess.layout import (
    GAUGES_AT,
    HEADER,
    LOST_AT,
    MAGIC,
    MAX_GAUGES,
    SEGMENT,
    SEGMENTS_AT,
    WORD,
    file_name,
    wrap_gauges,
)

NEW: Final = ".new-"
"""What the names of files begin with that are still being made."""


class Arena:
    """A segment that is being filled, by one thread at a time."""

    __slots__ = ("_end", "_used", "buffer")

    def __init__(self, buffer: mmap.mmap) -> None:
        self.buffer = buffer
        self._used = ctypes.c_int64.from_buffer(buffer)
        self._end = WORD.size
        self._used.value = self._end

    def place(self, record: bytes, size: int) -> int | None:
        """Write `record` into `size` bytes of its own; where its words begin, None without room."""
        start = self._end
        if start + size > SEGMENT:
            return None
        self.buffer[start : start + len(record)] = record
        self._end = start + size
        self._used.value = self._end
        return start + len(record)


class WorkerFile:
    """A new file in `directory`, and the lock on it for as long as this process lives.

    Threads, signal handlers and finalizers may allocate at any moment, in the middle of each other
    too. So there is no lock: whoever allocates takes an arena out of the list, which is one atomic
    step, and who finds none makes one.

    The lock is of the kind that belongs to an open file and not to a process id (flock): the
    kernel lets go of it when the last descriptor is closed, however the process ends. A forked
    child inherits the descriptor and has to close it. The map has a descriptor of its own, since
    Python's mmap keeps a duplicate, which would hold the lock in the child.

    Raises OSError: the directory cannot be written to, or the disk is full.
    """

    def __init__(self, directory: Path) -> None:
        token = secrets.token_hex(8)
        self.name = file_name(token)
        self.cells = itertools.count(1)
        self._numbers = itertools.count()
        self._arenas: list[Arena] = []
        unfinished = directory / f"{NEW}{token}"
        self._fd = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(self._fd, HEADER.pack(MAGIC, os.getpid(), time.time(), 0), 0)
            self._map_fd = os.open(unfinished, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._arenas.append(self._new_arena())
                # Complete and locked, and only now to be seen by others.
                os.rename(unfinished, directory / self.name)
            except BaseException:
                os.close(self._map_fd)
                raise
        except BaseException:
            os.close(self._fd)
            unfinished.unlink(missing_ok=True)
            raise

    def allocate(self, record: bytes, size: int) -> tuple[mmap.mmap, int]:
        """Append a record of `size` bytes; the map and the byte at which its words begin.

        Raises OSError if there is no room left on the disk.
        """
        while True:
            try:
                arena = self._arenas.pop()
            except IndexError:
                arena = self._new_arena()
            at = arena.place(record, size)
            if at is not None:
                self._arenas.append(arena)
                return arena.buffer, at

    def publish(self, gauges: bytes) -> None:
        """Replace what others read of this process's gauges. One thread at a time.

        Raises OSError if it is too much, or the disk is full.
        """
        if len(gauges) > MAX_GAUGES:
            raise OSError(f"gauges of {len(gauges)} bytes")
        os.pwrite(self._fd, wrap_gauges(gauges), GAUGES_AT)

    def mark_lost(self) -> None:
        """Tell whoever reads the file that something was counted which is not in it."""
        os.pwrite(self._fd, WORD.pack(1), LOST_AT)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file. The parent's lock on it stays."""
        os.close(self._fd)
        os.close(self._map_fd)
        self._arenas.clear()

    def _new_arena(self) -> Arena:
        offset = SEGMENTS_AT + next(self._numbers) * SEGMENT
        # Room on the disk is taken now: a store into a page without room would kill the process.
        _reserve(self._fd, offset, SEGMENT)
        return Arena(mmap.mmap(self._map_fd, SEGMENT, offset=offset))


def _extend(fd: int, offset: int, length: int) -> None:
    if os.fstat(fd).st_size < offset + length:
        os.ftruncate(fd, offset + length)


_reserve: Callable[[int, int, int], None] = getattr(os, "posix_fallocate", _extend)
