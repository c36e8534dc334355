"""Which entries of L1 are overdue, without any call that pays for the expiry of all.

A heap of (deadline, key) finds them. An entry that is replaced, evicted or dropped stays in it as
a dead pair until that surfaces or until the dead outnumber the living, when the tier has the heap
rebuilt. The pair holds the key and not the entry: a dead one must not keep a value in memory that
the bound in bytes no longer counts.

Writes and counts reclaim a few overdue entries each. What a count finds overdue beyond that, it
sets apart in one pass, so that the next count need not look at it again.
"""

import math
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from routecache.entry import Entry

Peek: TypeAlias = Callable[[str], Entry | None]

_POPS_PER_COUNT = 64


class Deadlines:
    """The deadlines of one tier. The caller holds its lock.

    `overdue` are the keys that are held past their deadline and have been set apart: whoever
    removes or replaces an entry takes its key out. `heap` is the rest; read only.
    """

    __slots__ = ("heap", "overdue")

    def __init__(self) -> None:
        self.heap: list[tuple[float, str]] = []
        self.overdue: set[str] = set()

    def add(self, deadline: float, key: str) -> None:
        """`key` is held until `deadline`, which is finite."""
        heappush(self.heap, (deadline, key))

    def rebuild(self, held: Iterable[Entry]) -> None:
        """Forget the dead; `held` are all entries."""
        self.heap = [
            (entry.kept_until, entry.key)
            for entry in held
            if entry.kept_until != math.inf and entry.key not in self.overdue
        ]
        heapify(self.heap)

    def pop(self, now: float) -> str | None:
        """A key that may be overdue, if there is any; its entry may also be gone or a later one."""
        if self.overdue:
            return self.overdue.pop()
        if self.heap and self.heap[0][0] <= now:
            return heappop(self.heap)[1]
        return None

    def count(self, now: float, peek: Peek, held: Callable[[], Iterable[Entry]]) -> int:
        """How many of the entries that `peek` and `held` tell of are overdue at `now`."""
        for _ in range(_POPS_PER_COUNT + len(self.heap) // 32):
            if not self.heap or self.heap[0][0] > now:
                return len(self.overdue)
            key = heappop(self.heap)[1]
            entry = peek(key)
            if entry is not None and entry.kept_until <= now:
                self.overdue.add(key)
        # So many are due that one pass over everything is cheaper than popping the rest.
        self.overdue = {entry.key for entry in held() if entry.kept_until <= now}
        self.heap = [pair for pair in self.heap if pair[0] > now]
        heapify(self.heap)
        return len(self.overdue)
