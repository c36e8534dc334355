"""What a forked child must renew: counters, connections, and locks that other threads held.

A child has one thread. Whatever the others were doing in its parent is half done here and stays
so: a lock that they held is never released, and a load that they led never ends. So things that
hold such state start anew in the child (`reset_in_child`), locks around short steps are replaced
(`RenewedLock`), and what must not be seen half changed is locked while forking (`keep_whole`).
"""

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class Resettable(Protocol):
    """Something that a forked child starts anew."""

    def reset_after_fork(self) -> None:
        """Forget the parent's state. Runs in the child's only thread, so nothing is waited for."""
        ...


class KeptWhole(Protocol):
    """Something that nobody may be changing while a process forks."""

    lock: threading.RLock


_resettable: "weakref.WeakValueDictionary[int, Resettable]" = weakref.WeakValueDictionary()
_whole: "weakref.WeakValueDictionary[int, KeptWhole]" = weakref.WeakValueDictionary()
_held: list[KeptWhole] = []
_last: list[Callable[[], object]] = []
# Two threads may fork at once. Who forks first keeps the other out from the first hook to the
# last, or each would wait for locks that the other holds.
_fork_lock = threading.Lock()
_armed = False


def reset_in_child(thing: Resettable) -> None:
    """Have `thing.reset_after_fork()` called in every forked child for as long as it lives."""
    _arm()
    _resettable[id(thing)] = thing


def keep_whole(thing: KeptWhole) -> None:
    """Hold `thing.lock` while the process forks; the child gets a new one."""
    _arm()
    _whole[id(thing)] = thing


def finish_in_child(step: Callable[[], object]) -> None:
    """Have `step()` called once everything has been reset; for `reset_after_fork` to ask for.

    Only then may a thread be started, which would else find locks that are still held for ever.
    """
    _last.append(step)


class RenewedLock:
    """A lock around short steps that a forked child finds free."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        reset_in_child(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def reset_after_fork(self) -> None:
        """Be free."""
        self._lock = threading.RLock()


def _arm() -> None:
    global _armed
    if not _armed and hasattr(os, "register_at_fork"):
        _armed = True
        os.register_at_fork(
            before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
        )


def _before() -> None:
    _fork_lock.acquire()
    # valuerefs() copies in one step: other threads may be making caches now. No thread holds two
    # of these locks at a time, so no order among them is needed.
    for ref in _whole.valuerefs():
        thing = ref()
        if thing is not None:
            thing.lock.acquire()
            _held.append(thing)


def _after_in_parent() -> None:
    while _held:
        _held.pop().lock.release()
    _fork_lock.release()


def _after_in_child() -> None:
    global _fork_lock
    while _held:
        _held.pop().lock = threading.RLock()
    for ref in _resettable.valuerefs():
        thing = ref()
        if thing is not None:
            thing.reset_after_fork()
    _fork_lock = threading.Lock()  # new, because the parent's may have waiters
    while _last:
        _last.pop()()
