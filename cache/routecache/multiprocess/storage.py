"""The directory that this process counts in, and the process's own file there."""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from routecache import forking
from routecache.cells import Cell
from routecache.errors import ConfigurationError
from routecache.multiprocess.layout import Key, UnreadableError
from routecache.multiprocess.mapped import new_cell
from routecache.multiprocess.survey import Surveyor
from routecache.multiprocess.worker_file import WorkerFile

_log = logging.getLogger("routecache")


class Storage:
    """Counts in a file of `directory`, which is made when it is first needed.

    Safe for threads. A forked child makes a file of its own: the parent goes on with the one that
    it has. Trouble with the disk is logged once and shown in the file, and costs counts, never an
    exception.

    Raises ConfigurationError if the directory cannot be used, or others may write to it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = _checked(directory)
        self._lock = forking.RenewedLock()
        self._publishing = forking.RenewedLock()
        self._pid = os.getpid()
        self._files: list[WorkerFile] = []
        self._failed = False
        self._told: set[str] = set()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Let go of the parent's file."""
        if self._pid != os.getpid():  # cells that are renewed before this may have asked already
            self._pid = os.getpid()
            self._failed = False
            while self._files:
                self._files.pop().abandon()

    @property
    def file(self) -> WorkerFile | None:
        """This process's file, None if it cannot be made."""
        self.reset_after_fork()
        if not self._files and not self._failed:
            with self._lock:
                if not self._files:
                    try:
                        self._files.append(WorkerFile(self.directory))
                    except OSError as error:
                        self._trouble(error)
        return self._files[0] if self._files else None

    def new_cell(self, owner: Key) -> Cell:
        """A cell for what `owner` names, in the file if that can be."""
        file = self.file
        if file is not None:
            try:
                return new_cell(file, owner, self._trouble)
            except OSError as error:
                self._trouble(error)
        return Cell()

    def publish(self, gauges: Callable[[], bytes]) -> None:
        """Let others read these gauges of this process; never raises."""
        file = self.file
        if file is None:
            return
        try:
            with self._publishing:
                file.publish(gauges())
        except OSError as error:
            self._trouble(error)
        except Exception as error:  # noqa: BLE001  # a manager's state could not be read
            self._once("its gauges cannot be read", type(error).__name__)

    def fold(self) -> None:
        """Add what ended processes left to the base file, if nobody does already; never raises."""
        try:
            Surveyor(self.directory).fold()
        except (OSError, UnreadableError) as error:
            self._once("what ended workers counted cannot be kept", type(error).__name__)

    def _trouble(self, error: OSError) -> None:
        self._failed = True
        why = os.strerror(error.errno) if error.errno else str(error)
        self._once("its file cannot be written", why)
        for file in self._files:
            try:
                file.mark_lost()
            except OSError:  # then nobody can be told but by the log
                continue

    def _once(self, what: str, why: str) -> None:
        if what not in self._told:
            self._told.add(what)
            _log.warning("the metrics of this process are incomplete: %s (%s)", what, why)


def _checked(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.stat()
    except OSError as error:
        raise ConfigurationError(
            f"{str(directory)!r} cannot be the directory of the workers' metrics: {error.strerror}"
        ) from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"{str(directory)!r} cannot be the directory of the workers' metrics: others may write "
            f"to it; it must belong to this user, with mode 0700"
        )
    return directory.absolute()
