"""What L2 must forget when it is back: the keys of writes and deletes that failed.

They are deleted, never rewritten, because another process may have deleted or set them meanwhile.
Until its key has been deleted no look-up reads L2 for it. The set is bounded: when it overflows
the whole prefix is forgotten in L2 (`overflowed`), and until that is done L2 is not read at all.
Tags whose invalidation failed are invalidated again, which can only make entries older.
"""

import threading
from collections.abc import Iterable, Sequence

from routecache import forking


class Recovery:
    """The bounded set of what L2 owes. Safe for threads; a forked child keeps what it inherits."""

    LIMIT = 10_000

    def __init__(self) -> None:
        self.lock = threading.RLock()
        forking.keep_whole(self)
        self.overflowed = False
        self._keys: dict[str, None] = {}
        self._tags: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._tags)

    def __bool__(self) -> bool:
        return bool(self._keys or self._tags or self.overflowed)

    def add(self, keys: Iterable[str]) -> bool:
        """Remember `keys`; True if the set overflowed now."""
        with self.lock:
            if self.overflowed:
                return False
            for key in keys:
                self._keys[key] = None
            return self._overflow()

    def add_tags(self, tags: Iterable[str]) -> bool:
        """Remember `tags`; True if the set overflowed now."""
        with self.lock:
            if self.overflowed:
                return False
            for tag in tags:
                self._tags[tag] = None
            return self._overflow()

    def _overflow(self) -> bool:
        if len(self) <= self.LIMIT:
            return False
        self._keys.clear()
        self._tags.clear()
        self.overflowed = True
        return True

    def owes(self, key: str) -> bool:
        """Whether L2 must not be read for `key` yet."""
        return self.overflowed or key in self._keys

    def owed(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that must be deleted before L2 is read for them."""
        return [key for key in keys if key in self._keys]

    def some(self, n: int) -> list[str]:
        """Up to `n` keys to delete."""
        with self.lock:
            return [key for key, _ in zip(self._keys, range(n), strict=False)]

    def tags(self) -> list[str]:
        """The tags to invalidate again."""
        with self.lock:
            return list(self._tags)

    def done(self, keys: Sequence[str], tags: Sequence[str] = ()) -> None:
        """L2 has forgotten these."""
        with self.lock:
            for key in keys:
                self._keys.pop(key, None)
            for tag in tags:
                self._tags.pop(tag, None)

    def cleared(self) -> None:
        """L2 has forgotten the whole prefix."""
        with self.lock:
            self.overflowed = False
