"""L1: the memory tier of one manager.

A look-up reads `entries[key]` and compares its clock with `entry.fresh_until`; for SIEVE that is
a plain dict and takes no lock (see sieve.py), for LRU and LFU cachetools' own classes behind a
lock, because their hits reorder. Everything else in this file runs under `lock`, off the hit path.

An entry is served by the hit path until `fresh_until` and removed at `kept_until`. Overdue
entries are reclaimed a few at a time by later writes and counts (deadlines.py); how an entry went
is remembered as the reason of the next miss (ghosts.py).

The tier evicts before it inserts, so the policy's own bound never acts: it also counts bytes. What
a call takes out is freed after it has let go of the lock where it can be, since freeing a value
may run anything.

Emptying the tier has to leave SIEVE's dict the same object, because readers have bound it. So the
dict is copied and then cleared, both in C and with nothing freed, and the copy is taken apart
outside the lock. At 100,000 entries the lock is held for 1 to 3 ms (bench/bench_drops.py).
"""

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

import cachetools

from routecache import forking
from routecache.deadlines import Deadlines
from routecache.entry import Entry
from routecache.errors import ConfigurationError
from routecache.ghosts import Ghosts
from routecache.sieve import SieveCache
from routecache.typing import L1MissReason

__all__ = ["Entry", "L1Policy", "LocalTier"]

L1Policy: TypeAlias = Literal["sieve", "lru", "lfu"]

_RECLAIM_PER_WRITE = 8
_RECLAIM_PER_COUNT = 256
_FEW = 256
_MIN_GHOSTS = 128


_Cache: TypeAlias = "cachetools.Cache[str, Entry]"


class _Locked(Mapping[str, Entry]):
    """A cachetools cache whose reads reorder, behind the tier's lock."""

    def __init__(self, cache: _Cache, tier: "LocalTier") -> None:
        self.cache = cache
        self._tier = tier

    def __getitem__(self, key: str) -> Entry:
        with self._tier.lock:
            return self.cache[key]

    def __iter__(self) -> Iterator[str]:
        with self._tier.lock:
            return iter(list(self.cache))

    def __len__(self) -> int:
        return len(self.cache)


class LocalTier:
    """The bounded memory tier.

    `maxsize` is the number of entries (at least 1), `policy` the eviction policy, `max_bytes` the
    bound on the sum of `entry.size`, None for no bound. `evicted` is called with "size" or
    "expired" for every entry that leaves by itself; it runs under `lock`.

    `entries` maps keys to entries and stays the same object. Safe for threads. `lock` is reentrant
    because a finalizer may use the cache in the middle.
    """

    def __init__(
        self,
        maxsize: int,
        policy: L1Policy,
        evicted: Callable[[str], None],
        max_bytes: int | None = None,
    ) -> None:
        self.maxsize = maxsize
        self.policy = policy
        self.max_bytes = max_bytes
        self.lock = threading.RLock()
        forking.keep_whole(self)
        self._count_eviction = evicted
        self._most_bytes = math.inf if max_bytes is None else max_bytes
        self._bytes = 0
        self._deadlines = Deadlines()
        self._tagged: dict[str, set[Entry]] = {}
        self._ghosts = Ghosts(max(maxsize, _MIN_GHOSTS))
        self._cache: _Cache
        self._sieve: SieveCache[Entry] | None = None
        self.entries: Mapping[str, Entry]
        if policy == "sieve":
            self._cache = self._sieve = SieveCache(maxsize)
            self.entries = self._sieve.nodes
        elif policy in ("lru", "lfu"):
            self._cache = self._reordering()
            self.entries = self._locked = _Locked(self._cache, self)
        else:
            raise ConfigurationError(f"l1_policy={policy!r} is not one of 'sieve', 'lru' and 'lfu'")

    def put(self, entry: Entry, now: float) -> bool:
        """Store `entry`, replacing the key's previous one and evicting what the bounds ask for.

        False if it alone exceeds `max_bytes`: it is not stored, and the previous one is gone too.
        """
        key, size = entry.key, entry.size
        with self.lock:
            deadlines = self._deadlines
            if deadlines.overdue or (deadlines.heap and deadlines.heap[0][0] <= now):
                self._reclaim(now, _RECLAIM_PER_WRITE)
            previous = self._peek(key)
            if previous is None:
                full = len(self._cache) >= self.maxsize or self._bytes + size > self._most_bytes
            else:
                full = self._bytes - previous.size + size > self._most_bytes
            if full:
                if size > self._most_bytes:
                    self._refuse(entry, previous)
                    return False
                previous, _gone = self._make_room(size, previous)
            if previous is not None:
                self._left(previous)
            self._cache[key] = entry
            self._bytes += size
            self._ghosts.forget(key)
            for tag in entry.tags:
                self._tagged.setdefault(tag, set()).add(entry)
            if entry.kept_until != math.inf:
                self._deadlines.add(entry.kept_until, key)
                if len(self._deadlines.heap) > 2 * len(self._cache) + 64:
                    self._deadlines.rebuild(self._all())
            return True

    def peek(self, key: str, now: float) -> Entry | None:
        """The key's entry, fresh or kept for stale serving; the eviction policy is not told."""
        with self.lock:
            entry = self._peek(key)
            return entry if entry is not None and now < entry.kept_until else None

    def miss_reason(self, key: str, now: float) -> L1MissReason:
        """Why L1 has no fresh `key`; an entry that nobody may serve any more is removed."""
        with self.lock:
            entry = self._peek(key)
            if entry is not None:
                if now >= entry.kept_until:
                    self._expire(entry)
                elif now >= entry.expires_at:
                    return "expired"
            return self._ghosts.reason(key, now)

    def look(self, key: str, now: float) -> tuple[Entry | None, L1MissReason]:
        """The key's entry as `peek` gives it, and what `miss_reason` would say; changes nothing."""
        with self.lock:
            entry = self._peek(key)
            if entry is not None and now >= entry.expires_at:
                return (entry if now < entry.kept_until else None), "expired"
            return entry, self._ghosts.reason(key, now)

    def drop(self, key: str) -> bool:
        """Remove `key` because it was invalidated; True if there was an entry."""
        with self.lock:
            entry = self._peek(key)
            if entry is None:
                self._ghosts.invalidate(key)
                return False
            self._remove(entry, "invalidated")
            return True

    def drop_tags(self, tags: Iterable[str]) -> int:
        """Remove the entries that carry one of `tags`, as invalidated; returns their number.

        Costs what those entries cost, whatever else there is.
        """
        wanted = tuple(tags)
        with self.lock:
            victims: set[Entry] = set()
            for tag in wanted:
                victims.update(self._tagged.pop(tag, ()))
            return self._drop(victims)

    def drop_where(self, doomed: Callable[[Entry], bool]) -> int:
        """Remove all entries for which `doomed` holds, as invalidated; returns their number."""
        with self.lock:
            victims = [entry for entry in self._all() if doomed(entry)]
            return self._drop(victims)

    def drop_all(self) -> int:
        """Remove all entries, as invalidated; returns their number.

        Call it without holding `lock`: it takes the lock only to swap what there is for nothing,
        and takes the entries apart after that. Until it returns, other threads' misses of what
        was there may be told "cold" and `live` of a dropped entry may still be True.
        """
        with self.lock:
            if len(self._cache) <= _FEW:
                few = self._all()
                return self._drop(few)
            n, dropped = len(self._cache), self._take_all()
            _books = self._deadlines, self._tagged
            self._deadlines, self._tagged, self._bytes = Deadlines(), {}, 0
        ghosts: dict[int, float] = {}
        for entry in dropped:
            entry.live = False
            entry.older = entry.newer = None  # or only the garbage collector would free them
            ghosts[hash(entry.key)] = entry.expires_at
        with self.lock:
            self._ghosts.remember_emptied(ghosts)
        return n

    def size(self, now: float) -> int:
        """How many entries are kept; reclaims some of those that no longer are."""
        with self.lock:
            self._reclaim(now, _RECLAIM_PER_COUNT)
            return len(self._cache) - self._deadlines.count(now, self._peek, self._all)

    @property
    def bytes(self) -> int:
        """The sum of `size` over all entries that have not been reclaimed."""
        with self.lock:
            return self._bytes

    def _reordering(self) -> _Cache:
        if self.policy == "lru":
            return cachetools.LRUCache(self.maxsize)
        return cachetools.LFUCache(self.maxsize)

    def _peek(self, key: str) -> Entry | None:
        if self._sieve is not None:
            return self._sieve.nodes.get(key)
        # `cachetools.Cache`'s own subscription: that of LRU and LFU would count a use.
        return cachetools.Cache.__getitem__(self._cache, key) if key in self._cache else None

    def _all(self) -> list[Entry]:
        if self._sieve is not None:
            return list(self._sieve.nodes.values())
        return [cachetools.Cache.__getitem__(self._cache, key) for key in self._cache]

    def _take_all(self) -> Iterator[Entry]:
        if self._sieve is not None:
            return iter(self._sieve.take_all().values())
        taken = self._cache
        self._cache = self._locked.cache = self._reordering()
        return (cachetools.Cache.__getitem__(taken, key) for key in taken)

    def _reclaim(self, now: float, most: int) -> None:
        for _ in range(most):
            key = self._deadlines.pop(now)
            if key is None:
                return
            entry = self._peek(key)
            if entry is not None and entry.kept_until <= now:
                self._expire(entry)

    def _make_room(self, size: int, previous: Entry | None) -> tuple[Entry | None, list[Entry]]:
        """Evict until an entry of `size` fits in the place of `previous`.

        Returns `previous`, or None if it was the victim itself, and what must be freed later.
        """
        gone: list[Entry] = []
        while (
            len(self._cache) >= self.maxsize or self._bytes + size > self._most_bytes
            if previous is None
            else self._bytes - previous.size + size > self._most_bytes
        ):
            entry = self._cache.popitem()[1]
            self._left(entry)
            gone.append(entry)
            if entry is previous:
                previous = None  # it would have been replaced: no eviction
            else:
                self._ghosts.remember(entry.key, entry.expires_at, "evicted")
                self._count_eviction("size")
        return previous, gone

    def _refuse(self, entry: Entry, previous: Entry | None) -> None:
        if previous is not None:
            self._remove(previous, "evicted")
            self._count_eviction("size")
        self._ghosts.remember(entry.key, entry.expires_at, "evicted")

    def _expire(self, entry: Entry) -> None:
        self._remove(entry, "expired")
        self._count_eviction("expired")

    def _drop(self, victims: Collection[Entry]) -> int:
        for entry in victims:
            self._remove(entry, "invalidated")
        return len(victims)

    def _remove(self, entry: Entry, reason: L1MissReason) -> None:
        del self._cache[entry.key]
        self._left(entry)
        self._ghosts.remember(entry.key, entry.expires_at, reason)

    def _left(self, entry: Entry) -> None:
        entry.live = False
        self._bytes -= entry.size
        if self._deadlines.overdue:
            self._deadlines.overdue.discard(entry.key)
        for tag in entry.tags:
            carriers = self._tagged.get(tag)
            if carriers is not None:
                carriers.discard(entry)
                if not carriers:
                    del self._tagged[tag]
