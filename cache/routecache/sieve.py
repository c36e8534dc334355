"""SIEVE eviction as a `cachetools.Cache`, whose hits neither lock nor reorder anything.

Source: Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is Simpler than LRU: an Efficient Turn-Key
Eviction Algorithm for Web Caches", NSDI 2024. Entries stand in a queue in the order in which they
were inserted. A hit sets the entry's `visited` bit and moves nothing. To evict, a hand walks from
the oldest entry to the newest: a visited entry loses its bit and stays where it is, the first
unvisited one goes. The hand keeps its place between evictions and starts over at the oldest.

Because a hit only reads a dict and sets a flag, readers need no lock beside a locked writer. The
flag is a hint: a lost update costs at most one wrong eviction, never a wrong value.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar, cast

import cachetools


class SieveNode:
    """An entry as the queue sees it. A reader that uses it sets `visited`; the rest is the
    cache's own."""

    __slots__ = ("key", "newer", "older", "visited")

    def __init__(self, key: str) -> None:
        self.key = key
        self.visited = False
        self.older: SieveNode | None = None
        self.newer: SieveNode | None = None


NodeT = TypeVar("NodeT", bound=SieveNode)


class SieveCache(cachetools.Cache[str, NodeT], Generic[NodeT]):
    """A bounded mapping of str to entries that evicts by SIEVE.

    `maxsize` is the number of entries. `nodes` is the dict behind the mapping, for readers that
    cannot afford a call: reading it is safe in any thread while one locked thread writes through
    the mapping's own methods. A reader that uses an entry sets `entry.visited`.
    """

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self.nodes: dict[str, NodeT] = {}
        self._bound = maxsize  # `maxsize` is a property
        self._oldest: SieveNode | None = None
        self._newest: SieveNode | None = None
        self._hand: SieveNode | None = None

    def __getitem__(self, key: str) -> NodeT:
        node = self.nodes[key]
        node.visited = True
        return node

    def __setitem__(self, key: str, value: NodeT) -> None:
        if self._bound < 1:
            raise ValueError("value too large")
        replaced = self.nodes.get(key)
        if replaced is not None:
            self._take_place_of(replaced, value)
        else:
            while len(self.nodes) >= self._bound:
                self.popitem()
            value.older, value.newer = self._newest, None
            if self._newest is None:
                self._oldest = value
            else:
                self._newest.newer = value
            self._newest = value
        self.nodes[key] = value

    def __delitem__(self, key: str) -> None:
        self._unlink(self.nodes.pop(key))

    def __contains__(self, key: object) -> bool:
        return key in self.nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def currsize(self) -> float:
        """How many entries there are."""
        return len(self.nodes)

    def clear(self) -> None:
        """Remove all entries."""
        for node in self.take_all().values():
            node.older = node.newer = None

    def take_all(self) -> dict[str, NodeT]:
        """Remove all entries and return them, freeing nothing; `nodes` stays the same dict.

        They stay linked to each other: who wants them freed at once takes their links away.
        """
        taken = self.nodes.copy()
        self.nodes.clear()
        self._oldest = self._newest = self._hand = None
        return taken

    def popitem(self) -> tuple[str, NodeT]:
        """Evict the entry that SIEVE chooses and return it; KeyError if there is none."""
        node = self._hand or self._oldest
        if node is None:
            raise KeyError(f"{type(self).__name__} is empty")
        while node.visited:
            node.visited = False
            node = node.newer or self._oldest
            assert node is not None
        self._hand = node
        del self.nodes[node.key]
        self._unlink(node)
        return node.key, cast("NodeT", node)

    def _take_place_of(self, old: SieveNode, new: SieveNode) -> None:
        # An overwrite keeps its place and its bit, as in the authors' implementation: a key that
        # is written often is not young.
        new.visited = old.visited
        new.older, new.newer = old.older, old.newer
        if old.older is None:
            self._oldest = new
        else:
            old.older.newer = new
        if old.newer is None:
            self._newest = new
        else:
            old.newer.older = new
        if self._hand is old:
            self._hand = new
        old.older = old.newer = None

    def _unlink(self, node: SieveNode) -> None:
        if self._hand is node:
            self._hand = node.newer
        if node.older is None:
            self._oldest = node.newer
        else:
            node.older.newer = node.newer
        if node.newer is None:
            self._newest = node.older
        else:
            node.newer.older = node.older
        node.older = node.newer = None
