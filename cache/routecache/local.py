"""L1: the memory tier of one manager.

A look-up reads `entries[key]` and compares its clock with `entry.fresh_until`; for SIEVE that is
a plain dict and takes no lock (see sieve.py), for LRU and LFU cachetools' own classes behind a
lock, because their hits reorder. Everything else in this file runs under `lock`, off the hit path.

An entry is served by the hit path until `fresh_until` and removed at `kept_until`. Overdue
entries are found through a heap of deadlines and reclaimed a few at a time by later writes, so
that no call ever pays for the expiry of all; an evicted or replaced entry stays in the heap as a
dead reference until it surfaces or until the dead outnumber the living, when the heap is rebuilt.

The ghost list remembers, for as many keys as L1 may hold, how the last copy of a key went, by the
hash of the key: that is the reason of the next miss (METRICS, misses_total).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Literal, TypeAlias

import cachetools

from routecache import forking
from routecache.errors import ConfigurationError
from routecache.sieve import SieveCache, SieveNode
from routecache.typing import L1MissReason

L1Policy: TypeAlias = Literal["sieve", "lru", "lfu"]

_RECLAIM_PER_WRITE = 8
_MIN_GHOSTS = 128


class Entry(SieveNode):
    """One value in L1.

    Times are seconds of the manager's monotonic timer: the hit path serves the value while
    `now < fresh_until`; `expires_at` is the end of its TTL; until `kept_until`, which is never
    earlier, it stays to be served stale. `created` is in microseconds of the Redis server's
    clock, `size` the bytes that count towards the tier's bound, `filled_at` when it was put, and
    `delta` how many seconds its load took. `live` says whether the tier holds it.

    An entry is put once. While it is held only `visited` and `fresh_until` may change.
    """

    __slots__ = (
        "created", "delta", "expires_at", "filled_at", "fresh_until", "kept_until", "live", "size",
        "tags", "value",
    )  # fmt: skip

    def __init__(
        self,
        key: str,
        value: object,
        expires_at: float,
        tags: tuple[str, ...] = (),
        *,
        fresh_until: float | None = None,
        kept_until: float | None = None,
        created: int = 0,
        size: int = 0,
        filled_at: float = 0.0,
        delta: float = 0.0,
    ) -> None:
        super().__init__(key)
        self.value = value
        self.fresh_until = expires_at if fresh_until is None else fresh_until
        self.expires_at = expires_at
        self.kept_until = (
            expires_at if kept_until is None or kept_until < expires_at else kept_until
        )
        self.tags = tags
        self.created = created
        self.size = size
        self.filled_at = filled_at
        self.delta = delta
        self.live = True

    def __lt__(self, other: "Entry") -> bool:
        return self.kept_until < other.kept_until


class _TellsEvictions:
    """Mixin for a cachetools cache: `evicted(entry)` is called for each that `popitem` takes."""

    evicted: Callable[[Entry], None]

    def popitem(self) -> tuple[str, Entry]:
        key, entry = super().popitem()  # type: ignore[misc]  # the cache in the MRO has it
        self.evicted(entry)
        return key, entry


class _Sieve(_TellsEvictions, SieveCache[Entry]):
    pass


class _LRU(_TellsEvictions, cachetools.LRUCache[str, Entry]):
    pass


class _LFU(_TellsEvictions, cachetools.LFUCache[str, Entry]):
    pass


class _Locked(Mapping[str, Entry]):
    """A cachetools cache whose reads reorder, behind the tier's lock."""

    def __init__(self, cache: "cachetools.Cache[str, Entry]", tier: "LocalTier") -> None:
        self._cache = cache
        self._tier = tier

    def __getitem__(self, key: str) -> Entry:
        with self._tier.lock:
            return self._cache[key]

    def __iter__(self) -> Iterator[str]:
        with self._tier.lock:
            return iter(list(self._cache))

    def __len__(self) -> int:
        return len(self._cache)


class LocalTier:
    """The bounded memory tier.

    `maxsize` is the number of entries (at least 1), `policy` the eviction policy. `evicted` is
    called with "size" or "expired" for every entry that leaves by itself; it runs under `lock`.
    Safe for threads. `lock` is reentrant because a finalizer may use the cache in the middle.
    """

    def __init__(self, maxsize: int, policy: L1Policy, evicted: Callable[[str], None]) -> None:
        self.maxsize = maxsize
        self.policy = policy
        self.lock = threading.RLock()
        forking.keep_whole(self)
        self._count_eviction = evicted
        self._deadlines: list[Entry] = []
        self._ghosts: OrderedDict[int, tuple[float, L1MissReason]] = OrderedDict()
        self._max_ghosts = max(maxsize, _MIN_GHOSTS)
        self._cache: _Sieve | _LRU | _LFU
        self.entries: Mapping[str, Entry]
        if policy == "sieve":
            sieve = _Sieve(maxsize)
            self._cache, self.entries = sieve, sieve.nodes
        elif policy in ("lru", "lfu"):
            self._cache = _LRU(maxsize) if policy == "lru" else _LFU(maxsize)
            self.entries = _Locked(self._cache, self)
        else:
            raise ConfigurationError(f"l1_policy={policy!r} is not one of 'sieve', 'lru' and 'lfu'")
        self._cache.evicted = self._evicted_by_size

    def put(self, entry: Entry, now: float) -> None:
        """Store `entry`, replacing the key's previous one and evicting what the bound asks for."""
        with self.lock:
            self._reclaim(now)
            previous = self._peek(entry.key)
            if previous is not None:
                previous.live = False
            self._cache[entry.key] = entry
            self._ghosts.pop(hash(entry.key), None)
            if entry.kept_until != float("inf"):
                heappush(self._deadlines, entry)
                if len(self._deadlines) > 2 * len(self._cache) + 64:
                    self._deadlines = [e for e in self._deadlines if e.live]
                    heapify(self._deadlines)

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
                elif now >= entry.expires_at or now >= entry.fresh_until:
                    return "expired"
            ghost = self._ghosts.get(hash(key))
            if ghost is None:
                return "cold"
            expires_at, reason = ghost
            return "expired" if now >= expires_at else reason

    def drop(self, key: str) -> bool:
        """Remove `key` because it was invalidated; True if there was an entry."""
        with self.lock:
            entry = self._peek(key)
            if entry is None:
                ghost = self._ghosts.get(hash(key))
                if ghost is not None:
                    self._ghosts[hash(key)] = (ghost[0], "invalidated")
                return False
            self._remove(entry, "invalidated")
            return True

    def drop_where(self, doomed: Callable[[Entry], bool]) -> int:
        """Remove all entries for which `doomed` holds, as invalidated; returns their number."""
        with self.lock:
            victims = [entry for entry in self._all() if doomed(entry)]
            for entry in victims:
                self._remove(entry, "invalidated")
            return len(victims)

    def size(self, now: float) -> int:
        """How many entries are kept; walks the overdue part of the heap only."""
        with self.lock:
            return len(self._cache) - self._expired(now)

    def _expired(self, now: float) -> int:
        # A heap's children are never earlier than their parent, so an unexpired node ends the
        # walk of its branch.
        heap, expired, todo = self._deadlines, 0, [0]
        while todo:
            i = todo.pop()
            if i < len(heap) and heap[i].kept_until <= now:
                expired += heap[i].live
                todo += (2 * i + 1, 2 * i + 2)
        return expired

    def _peek(self, key: str) -> Entry | None:
        if isinstance(self._cache, SieveCache):
            return self._cache.nodes.get(key)
        # `cachetools.Cache`'s own subscription: that of LRU and LFU would count a use.
        return cachetools.Cache.__getitem__(self._cache, key) if key in self._cache else None

    def _all(self) -> Iterable[Entry]:
        return [entry for key in list(self._cache) if (entry := self._peek(key)) is not None]

    def _reclaim(self, now: float) -> None:
        for _ in range(_RECLAIM_PER_WRITE):
            if not self._deadlines or self._deadlines[0].kept_until > now:
                return
            entry = heappop(self._deadlines)
            if entry.live:
                self._expire(entry)

    def _expire(self, entry: Entry) -> None:
        self._remove(entry, "expired")
        self._count_eviction("expired")

    def _evicted_by_size(self, entry: Entry) -> None:
        entry.live = False
        self._remember(entry, "evicted")
        self._count_eviction("size")

    def _remove(self, entry: Entry, reason: L1MissReason) -> None:
        entry.live = False
        del self._cache[entry.key]
        self._remember(entry, reason)

    def _remember(self, entry: Entry, reason: L1MissReason) -> None:
        self._ghosts[hash(entry.key)] = (entry.expires_at, reason)
        if len(self._ghosts) > self._max_ghosts:
            self._ghosts.popitem(last=False)
