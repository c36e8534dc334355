"""What a forked child must renew: counters, connections and locks that other threads held."""

import os
import weakref
from typing import Protocol


class Resettable(Protocol):
    """Something that a forked child starts anew."""

    def reset_after_fork(self) -> None:
        """Forget the parent's state. Runs in the child's only thread, so nothing is waited for."""
        ...


_resettable: "weakref.WeakSet[Resettable]" = weakref.WeakSet()
_armed = False


def reset_in_child(thing: Resettable) -> None:
    """Have `thing.reset_after_fork()` called in every forked child for as long as it lives."""
    global _armed
    _resettable.add(thing)
    if not _armed and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_reset_all)
        _armed = True


def _reset_all() -> None:
    for thing in list(_resettable):
        thing.reset_after_fork()
