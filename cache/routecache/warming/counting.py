"""What is asked for most, counted in bounded memory."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_DISTINCT = 50_000
"""Distinct things that are counted at once. When there are more, the rarer half begins anew."""


class Tally(Generic[K]):
    """Counts things; for one thread.

    What stands for more than one in `MAX_DISTINCT / 2` of all that is counted is never forgotten
    for long, and that is all that a cache of hundreds of entries asks.
    """

    def __init__(self, most: int = MAX_DISTINCT) -> None:
        self._most = most
        self._counts: dict[K, int] = {}

    def add(self, thing: K) -> None:
        """Count `thing` once more."""
        counts = self._counts
        counts[thing] = counts.get(thing, 0) + 1
        if len(counts) > self._most:
            self._counts = dict(self._best(self._most // 2))

    def ranked(self, n: int) -> list[K]:
        """The `n` things that were counted most, in order; the first seen of equals first."""
        return [thing for thing, _ in self._best(n)]

    def _best(self, n: int) -> list[tuple[K, int]]:
        return heapq.nlargest(n, self._counts.items(), key=lambda item: item[1])
