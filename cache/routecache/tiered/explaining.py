"""What `explain` makes of what L1 and L2 hold, with a look-up's own rules and none of its effects.

Nothing here is counted, promoted, marked as visited or owed. A look keeps what was seen; the
explanation says what a look-up that began now would make of it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from routecache import envelope
from routecache.entry import Entry
from routecache.envelope import Envelope
from routecache.errors import DecodeError, RemoteError
from routecache.explanation import (
    Explanation,
    L1Explanation,
    L2Explanation,
    ListenerExplanation,
    Problem,
    TierState,
)
from routecache.outcomes import is_none
from routecache.tiered.reading import server_time
from routecache.tiered.state import CoreState
from routecache.typing import MISS, L1MissReason, MissReason, Seen, Serializer, Tier


class L2Look:
    """What was seen in L2 of one key.

    found: the envelope, if there is one; `value` what it holds, if it can be read.
    error: the kind of the failure to ask, problem: why the value is undecodable.
    server_now: the server's time in microseconds when it was seen.
    hiding: the tags that hide it.
    """

    __slots__ = ("error", "found", "hiding", "problem", "seen", "server_now", "value")

    def __init__(self) -> None:
        self.seen: Seen | None = None
        self.found: Envelope | None = None
        self.value: object = MISS
        self.error: str | None = None
        self.problem: Problem | None = None
        self.server_now = 0
        self.hiding: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of what was found."""
        return () if self.found is None else self.found.tags

    def take_in(
        self,
        reply: Seen | RemoteError,
        times: tuple[int, int] | None,
        serializer: Serializer | None,
    ) -> None:
        """What L2 replied, and its clock then; without a serializer the value is not decoded."""
        if isinstance(reply, RemoteError) or times is None:
            self.error = reply.kind if isinstance(reply, RemoteError) else "connection"
            return
        self.seen, self.server_now = reply, times[1]
        if reply.payload is None:
            return
        try:
            self.found = envelope.read(reply.payload)
        except DecodeError:
            self.problem = "envelope"
            return
        if serializer is None:
            return
        if self.found.codec != serializer.name:
            self.problem = "serializer"
        elif not self.found.none:
            try:
                self.value = serializer.loads(self.found.payload)
            except DecodeError:
                self.problem = "payload"

    def explained(
        self, *, stale_ttl: float, retention: float, ours: bool = False, value: object = MISS
    ) -> L2Explanation:
        """What that means for a cache that serves an expired value for so many seconds."""
        seen, found = self.seen, self.found
        if seen is None:
            return L2Explanation("unavailable", self.error)
        holds = L2Explanation(
            self._state(stale_ttl, retention),
            self.error,
            self.problem,
            redis_ttl=_seconds(seen.ttl_ms),
            wire_size=None if seen.payload is None else len(seen.payload),
            invalidated_by=self.hiding,
            lease_left=_seconds(seen.lease_ms),
            lease_is_ours=ours,
            value=value,
        )
        if found is None:
            return holds
        return replace(
            holds,
            age=(self.server_now - found.created) / 1e6,
            seconds_left=(found.expires - self.server_now) / 1e6,
            tags=found.tags,
            none=found.none,
            size=len(found.payload),
            load_seconds=found.load_us / 1e6,
            serializer=found.codec,
            writer=found.writer,
        )

    def _state(self, stale_ttl: float, retention: float) -> TierState:
        if self.error is not None:
            return "unavailable"
        if self.problem is not None:
            return "undecodable"
        if self.found is None:
            return "absent"
        if self.hiding:
            return "invalidated"
        return _state_of((self.found.expires - self.server_now) / 1e6, stale_ttl, retention)

    def told(self, tags: Sequence[str], times: Sequence[bytes | RemoteError | None]) -> None:
        """When these tags were last invalidated, as L2 says."""
        for tag, time in zip(tags, times, strict=True):
            if tag in self.tags:
                if isinstance(time, RemoteError):
                    self.error = self.error or time.kind
                elif self.found is not None and self.found.created <= server_time(time):
                    self.hiding = (*self.hiding, tag)


class Look:
    """A look at one key in both tiers, on its way. `now` is the timer's, in seconds."""

    __slots__ = ("entry", "key", "l2", "now", "outdated_by", "reason")

    def __init__(self, key: str, now: float, entry: Entry | None, reason: L1MissReason) -> None:
        self.key = key
        self.now = now
        self.entry = entry
        self.reason: L1MissReason = reason
        self.l2 = L2Look()
        self.outdated_by: tuple[str, ...] = ()


class Explaining(CoreState):
    """Looks. A driver begins one, fetches what it asks for, and has it explained."""

    def begin_look(self, key: str) -> Look:
        """Look at L1."""
        now = self.timer()
        return Look(key, now, *self.local.look(key, now))

    def looked(
        self, look: Look, reply: Seen | RemoteError, times: tuple[int, int] | None
    ) -> list[str]:
        """Take in what L2 holds; returns the tags whose times are wanted."""
        look.l2.take_in(reply, times, self.serializer)
        of_l1 = () if look.entry is None else look.entry.tags
        return [] if look.l2.error else list(dict.fromkeys((*look.l2.tags, *of_l1)))

    def tags_looked(
        self, look: Look, tags: Sequence[str], times: Sequence[bytes | RemoteError | None]
    ) -> None:
        """When L2 says that `tags` were last invalidated."""
        look.l2.told(tags, times)
        entry, found = look.entry, look.l2.found
        if entry is not None and entry.created:
            look.outdated_by = tuple(
                tag
                for tag, time in zip(tags, times, strict=True)
                if tag in entry.tags and entry.created <= server_time(time)
            )
        if found is not None:
            # What this process has invalidated and could not tell L2, or told it just now.
            with self.local.lock:
                own = tuple(
                    tag
                    for tag in found.tags
                    if tag not in look.l2.hiding
                    and (
                        self.recovery.owes_tag((tag,))
                        or self._tag_times.created_before((tag,), found.created)
                    )
                )
            look.l2.hiding += own

    def explained(self, look: Look, *, value: bool) -> Explanation:
        """What was seen, and what a `get` would make of it."""
        owed = self.has_l2 and self.recovery.owes(look.key)
        l1, l2 = self._explained_l1(look, value=value), None
        if self.has_l2:
            seen = look.l2.seen
            l2 = look.l2.explained(
                stale_ttl=self.policy.stale_ttl,
                retention=self.policy.retention,
                ours=seen is not None and seen.token is not None and self.is_ours(seen.token),
                value=self.give(look.l2.value) if value else MISS,
            )
        # Of an owed key a look-up would find nothing: it deletes it first.
        lost = l2 is not None and (
            l2.state == "unavailable"
            or self.recovery.overflowed
            or (not owed and self.recovery.owes_tag(l2.tags))
        )
        answers: Tier | None = None
        if l1.state == "fresh" and (l1.blind_left != 0 or lost):
            answers = "l1"
        elif l2 is not None and l2.state == "fresh" and not lost and not owed:
            answers = "l2"
        reason: MissReason | None = None
        if answers is None:
            reason = look.reason
            if lost:
                reason = "l2_unavailable"
            elif l2 is not None and l2.state == "undecodable" and not owed:
                reason = "undecodable"
        return Explanation(
            key=look.key,
            cache=self.books.stats.name,
            answers=answers,
            miss_reason=reason,
            l1=l1,
            l2=l2,
            l1_is_current=_same_write(look),
            loading=self.flights.flies(look.key),
            owed=owed,
            listener=self._explained_listener(look.now),
        )

    def _explained_l1(self, look: Look, *, value: bool) -> L1Explanation:
        entry, now = look.entry, look.now
        if entry is None:
            return L1Explanation("absent", gone=look.reason)
        left = entry.expires_at - now
        blind_left = None
        if left > 0 and self.deaf:
            until = max(self.deaf_since, entry.filled_at) + self.policy.blind_ttl
            blind_left = max(0.0, until - now)
        return L1Explanation(
            _state_of(left, self.policy.stale_ttl, self.policy.retention),
            age=now - entry.filled_at,
            seconds_left=left,
            tags=entry.tags,
            none=is_none(entry.value),
            size=entry.size,
            invalidated_by=look.outdated_by,
            blind_left=blind_left,
            value=self.give(entry.value) if value and not is_none(entry.value) else MISS,
        )

    def _explained_listener(self, now: float) -> ListenerExplanation | None:
        if self.hears is None:
            return None
        deaf_for = None if self.hears else now - self.deaf_since
        return ListenerExplanation(self.hears, deaf_for, self.policy.blind_ttl)


def _same_write(look: Look) -> bool | None:
    entry, found = look.entry, look.l2.found
    if entry is None or found is None or not entry.created:
        return None
    return entry.created == found.created


def _state_of(left: float, stale_ttl: float, retention: float) -> TierState:
    if left > 0:
        return "fresh"
    if -left < stale_ttl:
        return "stale"
    return "kept" if -left < retention else "expired"


def _seconds(ms: int) -> float | None:
    # As PTTL says it: -2 for no key, -1 for one that does not expire.
    return None if ms == -2 else math.inf if ms == -1 else ms / 1000
