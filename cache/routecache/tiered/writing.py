"""How a write, a delete and an invalidation are decided: what goes to L2, what L1 then holds."""

import time
from collections.abc import Sequence

from routecache import envelope
from routecache.envelope import Envelope
from routecache.errors import RemoteError, SerializationError, ValueTooLargeError
from routecache.keys import all_changed, key_of, tag_key, value_prefix
from routecache.outcomes import Remembered, Unstored, is_none
from routecache.sizes import estimate
from routecache.tiered.fences import Fence
from routecache.tiered.operations import Read, Write
from routecache.tiered.state import TAG_TTL, CoreState
from routecache.typing import MISS, RemoteState, WireItem


class Writing(CoreState):
    """Writes, deletes and invalidations. L2 comes before L1 in all of them; see fences.py."""

    # Writes

    def encode(self, value: object) -> bytes:
        """The payload for `value`; raises SerializationError or ValueTooLargeError, counted."""
        if is_none(value):
            return b""
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

    def discards(self, value: object) -> bool:
        """Whether what a load gave is stored nowhere."""
        return type(value) is Unstored or (value is MISS and self.policy.negative_ttl is None)

    def begin_set(
        self, key: str, value: object, payload: bytes, ttl: float | None, tags: tuple[str, ...]
    ) -> Write:
        """Open a write of the caller's own value."""
        value = self._own(value, payload)
        self.flights.detach(key)
        with self.local.lock:
            fence = self._fences.open(key, writes=True)
        return self._begin(key, value, payload, ttl, tags, fence, self.timer())

    def begin_fill(
        self,
        read: Read,
        value: object,
        payload: bytes,
        ttl: float | None,
        tags: tuple[str, ...],
        created: int | None,
        load_seconds: float,
    ) -> Write:
        """Open the write of what a load gave, guarded by the fence and the lease of its read."""
        assert read.fence is not None, "a look-up that was answered needs no load"
        value = self._own(value, payload)
        write = self._begin(read.key, value, payload, ttl, tags, read.fence, read.started)
        read.fence = None
        write.token, write.created, write.load_seconds = read.token, created, load_seconds
        return write

    def _own(self, value: object, payload: bytes) -> object:
        # With copy_on_get L1 keeps a copy that nobody else holds.
        if isinstance(value, Remembered):
            return value.kept()
        copies = self.policy.copy_on_get and value is not MISS
        return self.serializer.loads(payload) if copies else value

    def _begin(
        self, key: str, value: object, payload: bytes, ttl: float | None, tags: tuple[str, ...],
        fence: Fence, started: float,
    ) -> Write:  # fmt: skip
        if isinstance(value, Remembered):
            ttl = value.ttl
        elif value is MISS:
            ttl = self.policy.negative_ttl
        l1_ttl, l2_ttl = self.ttls(ttl)
        self.books.set(len(payload))
        value_key, lease_key = self.wire_keys((key,))[0]
        # L1's time runs from before the write to L2, so that L1 never outlives L2.
        now = self.timer()
        if tags and self.has_l2:
            # No longer than the keys of its tags, which may have been written since it began.
            longest = max(TAG_TTL - self.policy.retention - (now - started), 0.001)
            l1_ttl, l2_ttl = min(l1_ttl, longest), min(l2_ttl, longest)
        expires_at = now + l1_ttl
        return Write(
            key, value_key, lease_key, value, payload, tags, expires_at, l2_ttl, fence, started
        )

    def to_store(self, writes: Sequence[Write]) -> list[Write]:
        """Those that go to L2: not a load without a lease, nor a remembered exception. Whether its
        lease still stands is for the server to say; a fence may also fall by an echo of what this
        process wrote itself."""
        if not self.has_l2:
            return []
        with self.local.lock:
            ready = [
                write
                for write in writes
                if write.fence.writes
                or (
                    write.token is not None
                    and type(write.value) is not Remembered
                    and write.created is not None
                    and not self._tag_times.began_before(write.tags, write.started)
                )
            ]
        for write in ready:
            write.l2 = "sent"
        return ready

    def wire_items(self, writes: Sequence[Write], times: tuple[int, int]) -> list[WireItem]:
        """What goes to L2 now; `times` bound the server's clock."""
        return [self._wire_item(write, times[0]) for write in writes]

    def _wire_item(self, write: Write, server_now: int) -> WireItem:
        if write.created is None:
            write.created = server_now
        wire = Envelope(
            write.created,
            server_now + int(write.l2_ttl * 1e6),
            self.serializer.name,
            write.payload,
            write.tags,
            write.value is MISS,
            int(write.load_seconds * 1e6),
            self.release,
        )
        ttl_ms = max(1, int((write.l2_ttl + self.policy.retention) * 1000))
        return WireItem(write.wire_key, write.lease_key, envelope.encode(wire), ttl_ms, write.token)

    def stored(self, writes: Sequence[Write], replies: Sequence[bool | str | RemoteError]) -> None:
        """What L2 said to the writes."""
        self.failed("set", replies)
        for write, reply in zip(writes, replies, strict=True):
            if isinstance(reply, RemoteError):
                write.l2 = "failed"
            elif reply is True:
                write.l2 = "stored"
                self.books.write("l2")
            else:
                write.l2 = "refused"
                if reply == "duplicate":
                    self.books.duplicate_load()

    def unreached(self, writes: Sequence[Write], failure: RemoteError | None) -> None:
        """The server was never reached and is not now: its time is not known."""
        self.failed("connect", (failure,))
        for write in writes:
            write.l2 = "failed"

    def end_writes(self, writes: Sequence[Write]) -> bool:
        """Store in L1 what may be stored, and have L2 forget what it may hold wrongly.

        Returns whether L2 owes something now.
        """
        # "sent" is left of a write that was interrupted, its outcome unknown.
        lost = [write.key for write in writes if write.l2 in ("sent", "failed")]
        if lost:
            self.owe(lost)
        for write in writes:
            self._end_write(write)
        return bool(lost)

    def _end_write(self, write: Write) -> None:
        with self.local.lock:
            stands = self._fences.close(write.fence)
            if write.fence.writes:
                self.flights.detach(write.key)
                # Of overlapping sets what L2 holds decides; an interrupted one leaves nothing.
                may = write.l2 != "sent" and (stands or not self.has_l2)
                if not may:
                    self.local.drop(write.key)
            else:
                may = stands and write.l2 in ("none", "stored", "failed")
            if may and not self._tag_times.began_before(write.tags, write.started):
                self.put(
                    write.key,
                    write.value,
                    write.l1_expires_at,
                    write.tags,
                    now=self.timer(),
                    created=write.created or 0,
                    load_seconds=write.load_seconds,
                    size=len(write.payload) if self.has_l2 else estimate(write.value),
                )

    # Deletes

    def begin_delete(
        self, doomed: Sequence[str], reason: str = "invalidated"
    ) -> list[tuple[str, str]]:
        """Break what older reads and loads would store; returns what to delete from L2."""
        n = 0
        with self.local.lock:
            for key in doomed:
                self._fences.break_key(key)
                if reason != "invalidated":
                    # The echo of the delete may be faster than its reply, and knows no reason.
                    n += self.local.drop(key)
        self.books.removed("l1", reason, n)
        for key in doomed:
            self.flights.detach(key)
        return self.wire_keys(doomed)

    def end_delete(
        self,
        doomed: Sequence[str],
        l2: Sequence[bool | RemoteError] | None,
        reason: str = "invalidated",
    ) -> list[bool]:
        """Drop the keys from L1; whether any tier held each. `l2` is None without an answer."""
        dropped = []
        with self.local.lock:
            for key in doomed:
                self._fences.break_key(key)
                dropped.append(self.local.drop(key))
        for key in doomed:
            self.flights.detach(key)
        self.last_invalidation = time.time()
        for was_there in dropped:
            self.books.delete("l1")
            self.books.removed("l1", reason, was_there)
        if not self.has_l2:
            return dropped
        replies = [None] * len(doomed) if l2 is None else l2
        self.failed("delete", replies)
        held = []
        for key, was_there, reply in zip(doomed, dropped, replies, strict=True):
            if isinstance(reply, bool):
                self.books.delete("l2")
            else:
                self.owe((key,))
            held.append(was_there or reply is True)
        return held

    # Invalidations

    def drop_tags(self, tags: Sequence[str], server_time: int, reason: str = "invalidated") -> None:
        """Drop what carries one of `tags` from L1, and refuse what began before now."""
        now = self.timer()
        self.last_invalidation = time.time()
        with self.local.lock:
            for tag in tags:
                self._tag_times.invalidate(tag, now, server_time)
            n = self.local.drop_tags(tags)
        # Which tags a load under way will carry may depend on its value: later callers wait for
        # none of them.
        self.flights.detach_all()
        self.books.removed("l1", reason, n)

    def end_invalidate(
        self,
        tags: Sequence[str],
        replies: Sequence[int | RemoteError] | None,
        times: tuple[int, int] | None,
        reason: str = "invalidated",
    ) -> None:
        """Drop again what was promoted meanwhile; `replies` is None if L2 was not reached."""
        told = 0
        if self.has_l2:
            answers = [None] * len(tags) if replies is None else replies
            self.failed("tags", answers)
            owed = [t for t, a in zip(tags, answers, strict=True) if not isinstance(a, int)]
            self.books.published(len(tags) - len(owed))
            if owed:
                # L2 will be told later; what this process knows to be older is refused now.
                told = times[1] if times is not None else 0
                if self.recovery.add_tags(owed):
                    self.books.recovery_overflow()
        self.drop_tags(tags, told, reason)

    def drop_all(self, reason: str = "cleared") -> None:
        """Drop everything from L1, and what is being read or loaded now."""
        with self.local.lock:
            self._fences.break_all()
        n = self.local.drop_all()  # not under the lock: it takes its own, for a moment
        self.flights.detach_all()
        self.books.removed("l1", reason, n)
        if n:
            self.last_invalidation = time.time()

    # Recovery

    def recovered(
        self, mark: int, doomed: Sequence[str], replies: Sequence[bool | RemoteError]
    ) -> None:
        """What L2 said to the deletes that it owed."""
        self.failed("delete", replies)
        done = [k for k, r in zip(doomed, replies, strict=True) if not isinstance(r, RemoteError)]
        self.recovery.done(mark, done)
        if done:
            self.books.recovery_delete(len(done))

    def tags_recovered(
        self, mark: int, tags: Sequence[str], replies: Sequence[int | RemoteError]
    ) -> None:
        """What L2 said to the tags that it owed."""
        self.failed("tags", replies)
        told = [tag for tag, time in zip(tags, replies, strict=True) if isinstance(time, int)]
        self.recovery.done(mark, (), told)
        self.books.published(len(told))

    # What other processes write

    def listen(self, remote: RemoteState) -> None:
        """Hear what other processes write to `remote`, from now on, if it can tell."""
        self.l2_answers = lambda: remote.available and remote.server_times() is not None
        heard = [value_prefix(self.prefix), tag_key(self.prefix, "")]
        self.deaf_since = self.timer()
        if remote.watch(heard, self) and self.hears is None:
            self.disconnected(0.0)  # until it is connected

    def invalidated(self, keys: Sequence[bytes]) -> None:
        """A listener heard that these Redis keys were written, deleted or expired."""
        tag_prefix = tag_key(self.prefix, "")
        tags = []
        for wire_key in keys:
            try:
                text = wire_key.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                continue  # another program's: none of ours is spelt so
            key = key_of(self.prefix, text)
            if key is not None:
                with self.local.lock:
                    self._fences.break_key(key)
                    was_there = self.local.drop(key)
                self.flights.detach(key)
                self.last_invalidation = time.time()
                self.books.heard(1)
                self.books.removed("l1", "invalidated", was_there)
                self.tell(key)
            elif text == all_changed(value_prefix(self.prefix)):
                self.books.heard(1)
                self.everything()
            elif text.startswith(tag_prefix):
                tags.append(text[len(tag_prefix) :])
        if tags:
            self.books.heard(len(tags))
            self.drop_tags(tags, 0)

    def disconnected(self, at: float) -> None:
        """Nobody has heard what other processes write since `at`, seconds of time.monotonic."""
        ago = max(0.0, time.monotonic() - at) if at else 0.0
        since = self.timer() - ago
        self.deaf_since = since if self.hears is not False else min(since, self.deaf_since)
        self.hears = False
        self.show(open_=False)

    def reconnected(self) -> None:
        """Writes of other processes are heard again; what was missed may be anything."""
        self.drop_all("invalidated")
        self.hears = True
        self.show(open_=True)

    def everything(self) -> None:
        """All keys may have changed: another process cleared the cache, or the server forgot."""
        self.drop_all("invalidated")
