"""What L2 must forget when it is back: the keys of writes and deletes that failed.

They are deleted, never rewritten, because another process may have deleted or set them meanwhile.
Until its key has been deleted no look-up reads L2 for it. The set is bounded: when it overflows
the whole prefix is forgotten in L2 (`overflowed`), and until that is done L2 is not read at all.
Tags whose invalidation failed are invalidated again, which can only make entries older.
"""

import itertools
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
        self._again = False
        self._count = 0
        # What is owed, and when it became so: a reply to an older command does not settle it.
        self._keys: dict[str, int] = {}
        self._tags: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._tags)

    def __bool__(self) -> bool:
        return bool(self._keys or self._tags or self.overflowed)

    def add(self, keys: Iterable[str]) -> bool:
        """Remember `keys`; True if the set overflowed now."""
        with self.lock:
            self._count += 1
            for key in keys:
                self._keys[key] = self._count
            return self._overflow()

    def add_tags(self, tags: Iterable[str]) -> bool:
        """Remember `tags`; True if the set overflowed now."""
        with self.lock:
            self._count += 1
            for tag in tags:
                self._tags[tag] = self._count
            return self._overflow()

    def _overflow(self) -> bool:
        if len(self) <= self.LIMIT:
            return False
        self._keys.clear()
        self._tags.clear()
        self._again = self.overflowed  # the sweep under way may have passed what was owed now
        self.overflowed = True
        return True

    def mark(self) -> int:
        """This moment, for `done`: taken before the command is sent."""
        return self._count

    def owes(self, key: str) -> bool:
        """Whether L2 must not be read for `key` yet."""
        return self.overflowed or key in self._keys

    def owed(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that must be deleted before L2 is read for them."""
        return [key for key in keys if key in self._keys]

    def some(self, n: int, mark: int) -> list[str]:
        """Up to `n` keys to delete that were owed at `mark`."""
        with self.lock:
            due = (key for key, since in self._keys.items() if since <= mark)
            return list(itertools.islice(due, n))

    def tags(self) -> list[str]:
        """The tags to invalidate again."""
        with self.lock:
            return list(self._tags)

    def owes_tag(self, tags: Iterable[str]) -> bool:
        """Whether L2 still has to be told of one of `tags`."""
        return any(tag in self._tags for tag in tags)

    def done(self, mark: int, keys: Sequence[str], tags: Sequence[str] = ()) -> None:
        """L2 has forgotten these, by a command sent after `mark`."""
        with self.lock:
            for owed, names in ((self._keys, keys), (self._tags, tags)):
                for name in names:
                    if owed.get(name, mark + 1) <= mark:
                        del owed[name]

    def cleared(self) -> None:
        """L2 has forgotten the whole prefix, as it was when the sweep began."""
        with self.lock:
            self.overflowed, self._again = self._again, False
