"""Reads all that the workers of one directory counted, and folds what the ended ones left."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from routecache.errors import ConfigurationError
from routecache.multiprocess.layout import FORMAT, FormatError, UnreadableError, format_of
from routecache.multiprocess.reading import Reading, WorkerReader
from routecache.multiprocess.totals import (
    BASE,
    Totals,
    decode,
    encode,
    read_base,
    write_base,
)
from routecache.multiprocess.worker_file import NEW

LOCK: Final = "lock"

# What cannot be read stays for so long, so that an alert has the time to tell somebody.
_KEEP_UNREADABLE: Final = 3600.0
_KEEP_UNFINISHED: Final = 60.0
_ATTEMPTS: Final = 10
_OURS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Survey:
    """What all workers counted since the directory was made.

    gauges: what each living process published last, by the name of its file; b"" before the
        first time.
    problems: what could not be read, by file name, and why, as the name of an exception's type.
    since: when the first worker came, in seconds since the epoch; None before.
    """

    totals: Totals
    gauges: Mapping[str, bytes]
    problems: Mapping[str, str]
    since: float | None = None


def checked(directory: Path) -> Path:
    """`directory` as an absolute path, if who only reads what workers count there may use it.

    An empty one will do, for workers that are still to come.

    Raises ConfigurationError: it is not there, is not this user's, may be written to by others, or
    holds other things and no worker's files.
    """
    what = f"{str(directory)!r} cannot be read as the directory of the workers' metrics"
    try:
        found = directory.stat()
        names = set(os.listdir(directory))
    except OSError as error:
        raise ConfigurationError(f"{what}: {error.strerror}") from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{what}: others may write to it")
    if found.st_uid != os.geteuid():
        # What it folds would belong to this user, and be closed to the workers.
        raise ConfigurationError(f"{what}: it is another user's; run as the user of the workers")
    if names and not (names & {LOCK, BASE} or any(format_of(name) for name in names)):
        raise ConfigurationError(f"{what}: it holds other things")
    return directory.absolute()


class Surveyor:
    """Surveys one directory again and again. For one thread at a time.

    Any number of processes may survey and fold one directory at once, while the workers in it come,
    count and are killed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._readers: dict[str, WorkerReader] = {}

    def survey(self) -> Survey:
        """Read all there is and then fold what ended processes left.

        Raises OSError if the directory cannot be read, UnreadableError if the base file is
        damaged: without it, every sum would be wrong.
        """
        survey, ended = self._read()
        if ended:
            try:
                self.fold()
            except OSError as error:  # it is all still there, to be folded next time
                problems = {**survey.problems, BASE: type(error).__name__}
                return replace(survey, problems=problems)
        return survey

    def fold(self) -> bool:
        """Move what ended processes counted into the base file and remove their files.

        Returns False if another process is at it, or if there was nothing to do. Raises OSError,
        UnreadableError for the base.
        """
        with _locked(self.directory) as ours:
            if not ours:
                return False
            totals, folded = decode(read_base(self.directory))
            present = set(os.listdir(self.directory))
            named = folded & present
            ended = set()
            for name in sorted(present - named):
                reading = self._ended(name)
                if reading is not None:
                    totals.add(reading.totals)
                    ended.add(name)
            if ended:
                write_base(self.directory, encode(totals, named | ended))
            for name in named | ended:
                (self.directory / name).unlink(missing_ok=True)
                self._readers.pop(name, None)
            self._tidy(present)
            return bool(named or ended)

    def _ended(self, name: str) -> Reading | None:
        if format_of(name) != FORMAT:
            return None
        path = self.directory / name
        try:
            return None if _in_use(path) else WorkerReader(path).read()
        except (OSError, UnreadableError):
            return None

    def _read(self) -> tuple[Survey, bool]:
        # The base is read before the files and again after them. If it stayed the same, nothing
        # was folded meanwhile, and what is missing from the directory is in it.
        base = read_base(self.directory)
        for _ in range(_ATTEMPTS):
            survey, ended = self._read_beside(base)
            after = read_base(self.directory)
            if after == base:
                return survey, ended
            base = after
        raise BlockingIOError

    def _read_beside(self, base: bytes) -> tuple[Survey, bool]:
        kept, folded = decode(base)
        totals = Totals()
        gauges: dict[str, bytes] = {}
        problems: dict[str, str] = {}
        ended = False
        names = set(os.listdir(self.directory))
        for gone in self._readers.keys() - names:
            del self._readers[gone]
        for name in sorted(names):
            if format_of(name) is None:
                continue
            if name in folded:
                ended = True
                continue
            try:
                reading = self._read_file(name)
            except FileNotFoundError:
                continue
            except (OSError, UnreadableError) as error:
                if isinstance(error, OSError) and error.errno in _OURS:
                    raise  # a sum without one of its parts would look like a restart
                problems[name] = type(error).__name__
                continue
            totals.add(reading.totals)
            if reading.header.lost:
                problems[name] = "incomplete"
            if reading.gauges is None:
                ended = True
            else:
                gauges[name] = reading.gauges
        totals.add(kept)
        return Survey(totals, gauges, problems, self._since()), ended

    def _since(self) -> float | None:
        try:  # the first worker makes it, and nobody ever writes to it
            return (self.directory / LOCK).stat().st_mtime
        except FileNotFoundError:
            return None

    def _read_file(self, name: str) -> Reading:
        if format_of(name) != FORMAT:
            raise FormatError
        for last in (False, True):
            reader = self._readers.setdefault(name, WorkerReader(self.directory / name))
            try:
                return reader.read()
            except UnreadableError:  # or only not yet to be seen as it was written
                del self._readers[name]
                if last:
                    raise
        raise AssertionError

    def _tidy(self, present: set[str]) -> None:
        """Remove what a process left that was killed while it made a file, and what is damaged."""
        for name in present:
            keep = _KEEP_UNFINISHED if name.startswith(NEW) else _KEEP_UNREADABLE
            path = self.directory / name
            try:
                if (
                    time.time() - path.stat().st_mtime > keep
                    and (name.startswith(NEW) or _damaged(path))
                    and not _in_use(path)
                ):
                    path.unlink()
            except OSError:  # another process was faster
                continue


def _damaged(path: Path) -> bool:
    try:
        if format_of(path.name) == FORMAT:
            WorkerReader(path).read()
    except UnreadableError:
        return True
    return False


@contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Whether this is the only one that folds now."""
    fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)


def _in_use(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
