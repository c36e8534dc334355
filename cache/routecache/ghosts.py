"""The ghosts of L1: how the last copy of a key went, which is the reason of its next miss.

Keys are remembered by their hash, as many as L1 may hold: a collision costs one wrong reason. The
keys of a cache that was emptied at once are kept apart, so that emptying it need not enter each of
them under the lock; a ghost of the list is always newer than they are.
"""

from collections import OrderedDict

from routecache.typing import L1MissReason


class Ghosts:
    """Reasons of up to `limit` keys, and of as many that one emptying took. Locked by the tier."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._gone: OrderedDict[int, tuple[float, L1MissReason]] = OrderedDict()
        self._emptied: dict[int, float] = {}

    def remember(self, key: str, expires_at: float, reason: L1MissReason) -> None:
        """The copy of `key`, whose TTL ends at `expires_at`, went because of `reason`."""
        self._gone[hash(key)] = (expires_at, reason)
        if len(self._gone) > self._limit:
            self._gone.popitem(last=False)

    def remember_emptied(self, expires_at: dict[int, float]) -> None:
        """All copies went at once; takes over `expires_at` by the hash of the key."""
        self._emptied = expires_at

    def invalidate(self, key: str) -> None:
        """What is not there was invalidated after it had gone."""
        ghost = self._gone.get(hash(key))
        if ghost is not None:
            self._gone[hash(key)] = (ghost[0], "invalidated")

    def forget(self, key: str) -> None:
        """There is a copy of `key` again."""
        h = hash(key)
        self._gone.pop(h, None)
        if self._emptied:
            self._emptied.pop(h, None)

    def reason(self, key: str, now: float) -> L1MissReason:
        """Why there is no copy of `key`; "expired" if the last one would have been by now."""
        h = hash(key)
        ghost = self._gone.get(h)
        if ghost is None:
            expires_at = self._emptied.get(h)
            if expires_at is None:
                return "cold"
            return "expired" if now >= expires_at else "invalidated"
        return "expired" if now >= ghost[0] else ghost[1]

    def __len__(self) -> int:
        return len(self._gone) + len(self._emptied)
