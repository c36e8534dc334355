"""Metrics of several worker processes as one: every process counts in a file that all can read.

Off unless `ROUTECACHE_MULTIPROC_DIR` names a directory, or `enable` is called before the first
manager is made. Then whichever worker is asked for /metrics answers for all of them, and what a
worker counted stays when it ends, also by kill -9. See docs/workers.md.

Only local file systems will do. Nothing here is asked for, or even imported, while it is off.
"""

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from routecache.cells import Cell
from routecache.errors import ConfigurationError

if TYPE_CHECKING:
    from routecache.multiprocess.storage import Storage

__all__ = ["DIRECTORY_VARIABLE", "Owner", "cell_maker", "counting", "current", "enable"]

Owner: TypeAlias = Literal["cache", "l2", "listener"]
"""What there are cells for; `routecache_exporters.multiprocess` reads every kind."""

DIRECTORY_VARIABLE: Final = "ROUTECACHE_MULTIPROC_DIR"

_storage: "Storage | None" = None
_decided = False
_lock = threading.Lock()


def enable(directory: str | os.PathLike[str]) -> None:
    """Count in a file of `directory`, together with all other processes that were told the same.

    The directory is made if it is not there, for this user alone. Call it before the first cache
    manager is made. Safe for threads; a second call with the same directory does nothing.

    Raises ConfigurationError: a manager was made already, another directory is in use, or this one
    cannot be used, such as one that others may write to.
    """
    global _storage, _decided
    with _lock:
        if _decided:
            if _storage is not None and _storage.directory == Path(directory).absolute():
                return
            raise ConfigurationError(
                f"multiprocess.enable({os.fspath(directory)!r}) came too late: call it once, "
                f"before the first cache manager is made"
            )
        _storage = _open(Path(directory))
        _decided = True


def current() -> "Storage | None":
    """Where this process counts for others to read; None while this is off.

    The first call decides, by the environment unless `enable` was called. Raises ConfigurationError
    if the directory that the environment names cannot be used.
    """
    global _storage, _decided
    if _decided:
        return _storage
    with _lock:
        if not _decided:
            directory = os.environ.get(DIRECTORY_VARIABLE)
            _storage = _open(Path(directory)) if directory else None
            _decided = True
    return _storage


def counting() -> "Storage | None":
    """Where this process counts already; None if it does not, or has not decided yet."""
    return _storage


def cell_maker(kind: Owner, name: str) -> Callable[[], Cell]:
    """What makes the cells of the cache or endpoint called `name`; plain ones while this is off."""
    store = current()
    return Cell if store is None else partial(store.new_cell, (kind, name))


def _open(directory: Path) -> "Storage":
    try:
        from routecache.multiprocess.storage import Storage
    except ImportError as error:
        raise ConfigurationError(
            "metrics of several workers need POSIX file locks, which this platform has not"
        ) from error
    return Storage(directory)
