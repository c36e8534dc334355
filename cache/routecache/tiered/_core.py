"""The decisions of the tiered cache, without any I/O: shared by the sync and the asyncio driver.

A driver opens an operation (`begin_*`), does the I/O that it asks for, hands the replies back and
closes it (`end_*`). All state and every count is here, so the drivers cannot disagree. The hit
path does not come through here: drivers read `entries`, `timer` and the thread's cell themselves.

L2 comes before L1 on every write and delete. What that needs beside concurrent readers is told in
fences.py. All times are seconds of the injected timer, but for `created` and the envelope, which
are microseconds of the Redis server's clock.
"""

import random
from collections.abc import Sequence

from routecache import forking, keys
from routecache.errors import (
    CacheClosedError,
    ConfigurationError,
    DecodeError,
    RemoteError,
    SerializationError,
    ValueTooLargeError,
)
from routecache.local import Entry, L1Policy, LocalTier
from routecache.policy import Policy, check_ttl
from routecache.stats import CacheStats
from routecache.tiered.books import Books
from routecache.tiered.fences import Fences, TagTimes
from routecache.tiered.flights import Flight, Flights, Landing
from routecache.tiered.operations import Read, Write
from routecache.typing import MISS, MissReason, Operation, Outcome, Serializer, Timer

# A tag key must outlive every entry that it invalidates, also those of other processes.
TAG_TTL = 24 * 3600.0


class TieredCore:
    """State and decisions of one manager. Safe for threads and tasks: nothing here blocks.

    `l1_ttl` and `l2_ttl` are seconds; `has_l2` says whether there is a second tier at all.
    """

    def __init__(
        self, *, prefix: str, stats: CacheStats, l1_maxsize: int, l1_ttl: float, l2_ttl: float,
        l1_policy: L1Policy, serializer: Serializer, policy: Policy, timer: Timer, has_l2: bool,
    ) -> None:  # fmt: skip
        self.prefix = prefix
        self.l1_ttl = l1_ttl
        self.l2_ttl = l2_ttl
        self.serializer = serializer
        self.policy = policy
        self.timer = timer
        self.has_l2 = has_l2
        self.books = Books(stats)
        self.local = LocalTier(l1_maxsize, l1_policy, self.books.evicted)
        self.flights = Flights()
        self.loads_in_flight = 0
        self.closed = False
        self._fences = Fences()
        self._tag_times = TagTimes()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget what other threads of the parent were reading, loading and writing."""
        self._fences = Fences()
        self.loads_in_flight = 0

    # Look-ups

    def check_keys(self, *wanted: str) -> None:
        """Raise CacheClosedError, or TypeError for what is not a non-empty str."""
        if self.closed:
            raise CacheClosedError("this cache manager is closed: make a new one")
        for key in wanted:
            keys.check_key(key)

    def missed(self, key: str) -> object:
        """Enter the look-up of a cache without L2 that the hit path did not find; gives MISS."""
        now = self.timer()
        reason = self.local.miss_reason(key, now)
        self.books.miss(reason, reason, "miss", self.timer() - now)
        return MISS

    def begin_read(self, key: str) -> Read:
        """Open a look-up. `read.entry` is set if another caller has filled L1 meanwhile."""
        now = self.timer()
        read = Read(key, keys.value_key(self.prefix, key), now)
        with self.local.lock:
            entry = self.local.peek(key, now)
            if entry is not None and now < entry.fresh_until:
                entry.visited = True
                read.entry, read.value = entry, entry.value
            else:
                read.reason = self.local.miss_reason(key, now)
                read.fence = self._fences.open(key)
        return read

    def begin_peek(self, key: str) -> Read:
        """Open a look at `key` that is no look-up: not counted, nothing promoted, no end."""
        now = self.timer()
        read = Read(key, keys.value_key(self.prefix, key), now)
        read.entry = self.local.peek(key, now)
        return read

    def seconds_left(self, read: Read) -> float | None:
        """How long any tier will answer for the key of a peek."""
        ends = [read.expires_at] if read.found is not None else []
        if read.entry is not None:
            ends.append(read.entry.expires_at)
        return max(ends) - self.timer() if ends else None

    def arrived(
        self, reads: Sequence[Read], payloads: Sequence[bytes | None], server_now: int
    ) -> list[str]:
        """Take in what L2 holds; returns the tag keys that must be read before it counts."""
        now = self.timer()
        for read, payload in zip(reads, payloads, strict=True):
            if payload is not None:
                try:
                    read.take_in(payload, self.serializer, server_now, now)
                except DecodeError:
                    read.failure = "undecodable"
                    self.books.error("l2", "get", "decode")
        return self.tag_keys(list(dict.fromkeys(tag for read in reads for tag in read.tags)))

    def tags_arrived(
        self, reads: Sequence[Read], tag_keys: Sequence[str], times: Sequence[bytes | None]
    ) -> None:
        """Drop what was created at or before an invalidation of one of its tags."""
        invalidated = dict(zip(tag_keys, map(_server_time, times), strict=True))
        for read in reads:
            if read.found is not None and any(
                read.found.created <= invalidated[key] for key in self.tag_keys(read.tags)
            ):
                read.forget()

    def read_failed(self, reads: Sequence[Read], error: RemoteError) -> None:
        """L2 did not answer, or not all of what had to be read."""
        self.failed("get", error)
        for read in reads:
            read.failure = "l2_unavailable"
            read.forget()

    def failed(self, operation: Operation, error: RemoteError) -> None:
        """Count an L2 command that failed; a command that an open circuit held back is none."""
        if error.kind != "circuit":
            self.books.error("l2", operation, error.kind)

    def settle(self, read: Read) -> bool:
        """Whether a tier answered; if L2 did, promote its value and keep its remaining time."""
        if read.entry is not None:
            return True
        if read.found is None:
            return False
        now = self.timer()
        with self.local.lock:
            if self._tag_times.created_before(read.tags, read.found.created):
                read.forget()
                return False
            if self._close(read) and not self._tag_times.began_before(read.tags, read.started):
                expires_at = min(now + self.l1_ttl, read.expires_at)
                self._put(Entry(read.key, read.value, expires_at, read.tags), now)
        return True

    def end_read(self, read: Read, outcome: Outcome = "miss") -> object:
        """Close a look-up, enter it into the books and return its value or MISS.

        `outcome` is what a miss ended in: miss, load or error.
        """
        seconds = self.timer() - read.started
        if read.entry is not None:
            self.books.l1_hit()
        elif read.found is not None:
            self.books.l2_hit(read.reason, seconds)
        else:
            if outcome == "miss" and read.failure is not None:
                outcome = "error"
            with self.local.lock:
                self._close(read)
            reason: MissReason = read.failure or read.reason
            self.books.miss(read.reason, reason, outcome, seconds)
        return read.value

    def broke(self, read: Read) -> None:
        """Close a look-up that an exception ended; it is a miss of outcome error."""
        read.forget()
        read.entry = None
        self.end_read(read, "error")

    def end_wait(self, flight: Flight, started: float, landing: Landing | None) -> None:
        """Enter the look-up of a caller that waited for another's flight; None if that failed."""
        now = self.timer()
        outcome = "error" if landing is None else landing.outcome
        if outcome == "l1_hit":
            self.books.l1_hit()
            return
        l1_reason = self.local.miss_reason(flight.key, now)
        if outcome == "l2_hit":
            self.books.l2_hit(l1_reason, now - started)
        else:
            self.books.miss(
                l1_reason,
                flight.failure or l1_reason,
                "load" if outcome == "load" else "error",
                now - started,
                coalesced=True,
            )

    # Writes

    def check_write(self, ttl: float | None, tags: Sequence[str]) -> None:
        """Raise ConfigurationError for a `ttl` that cannot be kept, TypeError for a bad tag."""
        if ttl is not None:
            check_ttl(ttl, endless=not self.has_l2)
        for tag in tags:
            keys.check_key(tag)
        if tags and self.has_l2 and (ttl or self.l2_ttl) > TAG_TTL:
            raise ConfigurationError(
                f"a tagged entry lives at most {TAG_TTL:.0f} s, as long as the keys of its tags: "
                f"ttl={ttl or self.l2_ttl} is longer"
            )

    def encode(self, value: object) -> bytes:
        """The payload for `value`; raises SerializationError or ValueTooLargeError, counted."""
        try:
            payload = self.serializer.dumps(value)
        except SerializationError:
            self.books.error("l1", "set", "encode")
            raise
        if len(payload) > self.policy.max_value_bytes:
            self.books.error("l1", "set", "oversize")
            raise ValueTooLargeError(
                f"the encoded value has {len(payload)} bytes, more than max_value_bytes="
                f"{self.policy.max_value_bytes}: it was not stored, and the key is deleted"
            )
        return payload

    def begin_write(
        self,
        key: str,
        value: object,
        payload: bytes,
        ttl: float | None,
        tags: tuple[str, ...],
        read: Read | None = None,
    ) -> Write:
        """Open a write; with `read`, the fill that follows its load, guarded by its fence."""
        l1_ttl, l2_ttl = self._ttls(ttl)
        self.books.set(len(payload))
        started = now = self.timer()
        if read is None:
            self.flights.detach(key)
            with self.local.lock:
                fence = self._fences.open(key, writes=True)
        else:
            assert read.fence is not None, "a look-up that L1 answered needs no load"
            started, fence = read.started, read.fence
        wire_key = keys.value_key(self.prefix, key)
        # L1's time runs from before the write to L2, so that L1 never outlives L2.
        return Write(key, wire_key, value, payload, tags, now + l1_ttl, l2_ttl, fence, started)

    def may_store(self, write: Write) -> bool:
        """Whether `write` may still go to L2; not a load that was invalidated meanwhile."""
        with self.local.lock:
            return write.fence.writes or (
                write.fence.stands and not self._tag_times.began_before(write.tags, write.started)
            )

    def wire_items(
        self, writes: Sequence[Write], created: int | None, server_now: int
    ) -> list[tuple[str, bytes, int]]:
        """What goes to L2 now, created at the server's time `created`, by default now."""
        stamp = server_now if created is None else created
        return [write.wire_item(self.serializer.name, stamp, server_now) for write in writes]

    def written(self, writes: Sequence[Write]) -> None:
        """L2 acknowledged the writes."""
        for _ in writes:
            self.books.write("l2")

    def end_write(self, write: Write) -> bool:
        """Store in L1 what may be stored. False if L2 now holds what it must not: delete it."""
        with self.local.lock:
            stands = self._fences.close(write.fence)
            stale = self._tag_times.began_before(write.tags, write.started)
            if write.fence.writes and write.attempted and not stands:
                self.local.drop(write.key)  # overlapping sets: what L2 holds decides
            elif not stale and (stands or (write.fence.writes and not write.attempted)):
                entry = Entry(write.key, write.value, write.l1_expires_at, write.tags)
                self._put(entry, self.timer())
        return write.fence.writes or not write.attempted or (stands and not stale)

    # Invalidations

    def begin_delete(self, doomed: Sequence[str]) -> list[str]:
        """Break what older reads and loads would store; returns the keys to delete from L2."""
        with self.local.lock:
            for key in doomed:
                self._fences.break_key(key)
        for key in doomed:
            self.flights.detach(key)
        return [keys.value_key(self.prefix, key) for key in doomed]

    def end_delete(self, doomed: Sequence[str], l2: Sequence[bool] | None) -> list[bool]:
        """Drop the keys from L1; whether any tier held each. `l2` is None if L2 did not answer."""
        dropped = []
        with self.local.lock:
            for key in doomed:
                self._fences.break_key(key)
                dropped.append(self.local.drop(key))
        for was_there in dropped:
            self.books.delete("l1")
            self.books.removed("l1", "invalidated", was_there)
            if l2 is not None:
                self.books.delete("l2")
        return [a or b for a, b in zip(dropped, l2 or [False] * len(dropped), strict=True)]

    def drop_tags(self, tags: Sequence[str], server_time: int) -> None:
        """Drop what carries one of `tags` from L1, and refuse what began before now."""
        now = self.timer()
        doomed = frozenset(tags)
        with self.local.lock:
            for tag in tags:
                self._tag_times.invalidate(tag, now, server_time)
            n = self.local.drop_where(lambda entry: not doomed.isdisjoint(entry.tags))
        # Which tags a load under way will carry may depend on its value: later callers wait for
        # none of them.
        self.flights.detach_all()
        self.books.removed("l1", "invalidated", n)

    def drop_all(self) -> None:
        """Drop everything from L1, and what is being read or loaded now."""
        with self.local.lock:
            self._fences.break_all()
            n = self.local.drop_where(lambda _: True)
        self.flights.detach_all()
        self.books.removed("l1", "cleared", n)

    def tag_keys(self, tags: Sequence[str]) -> list[str]:
        """The Redis keys of `tags`."""
        return [keys.tag_key(self.prefix, tag) for tag in tags]

    def patterns(self) -> list[str]:
        """What `clear` deletes from L2: this cache's own values, leases and tags."""
        return [
            keys.value_pattern(self.prefix),
            keys.lease_pattern(self.prefix),
            keys.tag_pattern(self.prefix),
        ]

    def begin_load(self) -> float:
        """A loader starts; returns what `end_load` wants."""
        with self.local.lock:
            self.loads_in_flight += 1
        return self.timer()

    def end_load(self, began: float, error: BaseException | None = None) -> None:
        """A loader returned, or raised `error`."""
        with self.local.lock:
            self.loads_in_flight = max(0, self.loads_in_flight - 1)  # 0 if forked in a loader
        if error is None:
            failure = None
        elif isinstance(error, TimeoutError):
            failure = "timeout"
        else:
            failure = "error" if isinstance(error, Exception) else "cancelled"
        self.books.load(self.timer() - began, failure)

    def _ttls(self, ttl: float | None) -> tuple[float, float]:
        if ttl is not None:
            l1 = l2 = float(ttl)
        else:
            l1, l2 = (min(self.l1_ttl, self.l2_ttl) if self.has_l2 else self.l1_ttl), self.l2_ttl
        if self.policy.ttl_jitter:
            share = 1 - self.policy.ttl_jitter * random.random()
            l1, l2 = l1 * share, l2 * share
        return l1, l2

    def _put(self, entry: Entry, now: float) -> None:
        self.local.put(entry, now)
        self.books.write("l1")

    def _close(self, read: Read) -> bool:
        if read.fence is None:
            return False
        fence, read.fence = read.fence, None
        return self._fences.close(fence)


def _server_time(time: bytes | None) -> int:
    if time is None:
        return -1
    # A tag key that holds anything else was not written by us: nothing older than it is trusted.
    return int(time) if time.isdigit() else 2**63
