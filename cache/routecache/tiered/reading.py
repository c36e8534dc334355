"""How a look-up is decided: what may answer it, what must be asked, what is entered where."""

from collections.abc import Sequence
from typing import Literal

from routecache.errors import LoadTimeoutError, RemoteError
from routecache.local import Entry
from routecache.tiered.books import NO_COST, Cost
from routecache.tiered.flights import Flight, Landing
from routecache.tiered.operations import Read
from routecache.tiered.state import NEVER, CoreState
from routecache.tracing import failure_of
from routecache.typing import (
    MISS,
    Leased,
    LeaseWanted,
    MissReason,
    Outcome,
    RefreshKind,
    StaleReason,
)

# How often a caller looks whether another process's load has ended, if nobody tells it.
_POLL_DEAF = 0.02
_POLL_HEARING = 0.1
_POLL_LEAST = 0.001


class Reading(CoreState):
    """Look-ups. A driver opens one, fetches what it asks for, settles and ends it."""

    def missed(self, key: str) -> object:
        """Enter the look-up of a cache without L2 that the hit path did not find."""
        read = self.begin_read(key, fenced=False)
        return self.end_read(read)

    def begin_read(self, key: str, *, loads: bool = False, fenced: bool = True) -> Read:
        """Open a look-up. `read.answer` is set if L1 can answer it off the hit path."""
        read = self.new_read(key)
        read.loads = loads
        with self.local.lock:
            now, what_if = read.started, self.what_if
            probed = self.end_probe(key, now)
            hit = self._ask_l1(read, now)
            if not hit:
                what_if.misses += 1
                read.reason = self.local.miss_reason(key, now)
                if fenced:
                    read.fence = self._fences.open(key)
            if probed:
                what_if.end(key, now, None if hit else read.reason)
            if what_if.candidate():
                fresh = self.local.peek(key, now) if hit and read.stale is None else None
                what_if.begin(key, fresh, now)
        return read

    def fence(self, read: Read) -> None:
        """Have what L2 or a load gives to a look-up in L1 only if nobody invalidates it meanwhile.

        Who waits for another's load keeps nothing, and needs no fence.
        """
        with self.local.lock:
            read.fence = self._fences.open(read.key)

    def begin_reads(self, wanted: Sequence[str]) -> list[Read]:
        """Open the look-ups of a batch, which share its time."""
        reads = [self.begin_read(key) for key in wanted]
        for read in reads:
            read.batch = len(reads)
        return reads

    def look_again(self, read: Read) -> None:
        """Ask L1 again: another flight may have landed before this one took off."""
        if not read.background:
            with self.local.lock:
                self._ask_l1(read, self.timer())

    def begin_refresh(self, key: str, kind: RefreshKind) -> Read:
        """Open the look-up of a background refresh; it is no request, and not counted as one."""
        read = self.new_read(key)
        read.loads = read.beside = read.background = True
        with self.local.lock:
            entry = self.local.peek(key, read.started)
            if kind == "early" and entry is not None:
                read.known = entry.created  # what is no newer is what shall be refreshed
            read.fence = self._fences.open(key)
        return read

    def begin_peek(self, key: str) -> Read:
        """Open a look at `key` that is no look-up: not counted, nothing promoted, no end."""
        read = self.new_read(key)
        entry = self.local.peek(key, read.started)
        if entry is not None and read.started < entry.expires_at:
            read.spare = entry
        return read

    def seconds_left(self, read: Read) -> float | None:
        """How long any tier will answer for the key of a peek."""
        now = self.timer()
        ends = [read.expires_at] if read.found is not None else []
        if read.spare is not None and read.spare_tier == "l1":
            ends.append(read.spare.expires_at)
        left = max(ends) - now if ends else 0.0
        return left if left > 0 else None

    def _ask_l1(self, read: Read, now: float) -> bool:
        entry = self.local.peek(read.key, now)
        if entry is None:
            return False
        if now < entry.expires_at:
            if self.deaf:
                if now >= max(self.deaf_since, entry.filled_at) + self.policy.blind_ttl:
                    read.spare = entry  # should L2 fail meanwhile
                    return False
                read.stale = "blind"
            if read.loads and NEVER < entry.fresh_until <= now:
                entry.fresh_until = entry.expires_at  # one refresh for each draw
                read.refresh = "early"
        else:
            if read.loads:
                read.spare = entry
            if not read.loads or now >= entry.expires_at + self.policy.stale_ttl:
                return False
            read.stale, read.refresh = "refreshing", "stale"
        entry.visited = True
        read.answered("l1", entry.value, entry.delta)
        return True

    # What L2 says

    def to_fetch(self, reads: Sequence[Read]) -> list[Read]:
        """Those that L2 must be asked for; fails those that it must not be asked for yet."""
        wanted = [read for read in reads if read.answer is None]
        if self.recovery:
            for read in wanted:
                if self.recovery.owes(read.key):
                    read.failure = "l2_unavailable"
            wanted = [read for read in wanted if read.failure is None]
        return wanted

    def leases_wanted(self, reads: Sequence[Read]) -> list[LeaseWanted]:
        """What to ask L2 for, with a lease token for the load that may follow."""
        for read in reads:
            read.offered = read.offered or self.offer()
        return [LeaseWanted(r.wire_key, r.lease_key, r.offered, r.beside) for r in reads]

    def arrived(
        self,
        reads: Sequence[Read],
        replies: Sequence[Leased | bytes | RemoteError | None],
        now: float,
        times: tuple[int, int] | None,
    ) -> list[str]:
        """Take in what L2 holds; returns the tag keys that must be read before it counts.

        `now` is L1's time and `times` bound the server's, read no earlier.
        """
        self.failed("get", replies)
        for read, reply in zip(reads, replies, strict=True):
            if isinstance(reply, RemoteError):
                self._unavailable(read)
                continue
            payload, read.token = reply if isinstance(reply, Leased) else (reply, None)
            if payload is not None and times is not None:
                try:
                    read.take_in(payload, self.serializer, times[1], now)
                except Exception:  # noqa: BLE001  # a serializer of the program's own may raise any
                    read.forget()
                    read.failure = "undecodable"
                    self.books.error("l2", "get", "decode")
        return self.tag_keys(dict.fromkeys(tag for read in reads for tag in read.tags))

    def tags_arrived(
        self,
        reads: Sequence[Read],
        tag_keys: Sequence[str],
        times: Sequence[bytes | RemoteError | None],
    ) -> None:
        """Drop what was created at or before an invalidation of one of its tags."""
        self.failed("get", times)
        told = dict(zip(tag_keys, times, strict=True))
        for read in reads:
            said = [told[key] for key in self.tag_keys(read.tags)]
            if any(isinstance(time, RemoteError) for time in said) or self.recovery.owes_tag(
                read.tags
            ):
                self._unavailable(read)
            elif read.found is not None and any(
                read.found.created <= server_time(time) for time in said
            ):
                read.forget()

    def _unavailable(self, read: Read) -> None:
        read.failure = "l2_unavailable"
        read.forget()
        read.token = None

    def settle(self, read: Read) -> bool:
        """Whether a tier answers; if L2 does, promote its value for the time it has left."""
        if read.answer is not None:
            return True
        now = self.timer()
        spare = read.spare
        if (
            read.failure == "l2_unavailable"
            and spare is not None
            and read.spare_tier == "l1"
            and now < spare.expires_at
        ):
            read.answered("l1", spare.value, spare.delta)  # deaf, and L2 gone too: L1 serves on
            return True
        if read.failure != "l2_unavailable":
            self._outlived(read)
        found = read.found
        if found is None or found.created <= read.known:
            return False
        with self.local.lock:
            if self._tag_times.created_before(read.tags, found.created):
                read.forget()
                return False
            expired = now >= read.expires_at
            if expired and not self._keep_spare(read, now):
                return False
            if expired:
                read.stale, read.refresh = "refreshing", "stale"
            if self.close_read(read) and not self._tag_times.began_before(read.tags, read.started):
                self.put(
                    read.key,
                    read.value,
                    min(now + self.l1_ttl, read.expires_at),
                    read.tags,
                    now=now,
                    created=found.created,
                    load_seconds=found.load_us / 1e6,
                    size=len(found.payload),
                )
        read.answered("l2", read.value, found.load_us / 1e6)
        return True

    def _outlived(self, read: Read) -> None:
        # Deaf for long: L2 has answered in place of L1's copy, which must not come back when L2
        # fails. An expired copy is kept for stale serving instead.
        spare = read.spare
        if spare is None or read.spare_tier != "l1" or read.started >= spare.expires_at:
            return
        with self.local.lock:
            was_there = self.local.peek(read.key, read.started) is spare
            if was_there:
                self.local.drop(read.key)
        self.books.removed("l1", "invalidated", was_there)

    def _keep_spare(self, read: Read, now: float) -> bool:
        # An expired value of L2: whether it may answer now; kept for when the load fails.
        value = read.value
        if read.loads and now < read.expires_at + self.policy.retention:
            read.spare = Entry(read.key, value, read.expires_at, read.tags)
            read.spare_tier = "l2"
        if read.loads and not read.background and now < read.expires_at + self.policy.stale_ttl:
            return True
        read.forget()
        return False

    def pause(self, read: Read) -> float | None:
        """What an unanswered look-up does before its load: None is to load now.

        Otherwise it asks L2 again after so many seconds: at once (0) for a token that it lacks
        because L2 held something that was no answer, later for the value that another process is
        loading.
        """
        if not self.has_l2 or read.failure == "l2_unavailable":
            return None
        if read.token is None:
            if read.beside:
                return None
            read.beside = True
            return 0.0
        if not self.policy.distributed_lock or self.is_ours(read.token):
            return None
        poll, hard = _POLL_HEARING if self.hears else _POLL_DEAF, self.policy.hard_timeout
        if hard is None:
            return poll
        return min(poll, max(hard - (self.timer() - read.started), _POLL_LEAST))

    # The end

    def serve_stale(self, read: Read, reason: Literal["refreshing", "error"]) -> bool:
        """Answer with the old value that the policy keeps for a load that fails or takes long."""
        spare, now = read.spare, self.timer()
        if spare is not None and now < spare.expires_at and read.failure != "l2_unavailable":
            return False  # kept for when L2 does not answer; it did
        if spare is None or now >= spare.expires_at + self.policy.retention:
            return False
        if self._tag_times.began_before(spare.tags, spare.filled_at) and spare.filled_at:
            return False
        read.stale = reason
        read.answered(read.spare_tier, spare.value)
        return True

    def end_read(self, read: Read, outcome: Outcome = "miss") -> object:
        """Close a look-up, enter it into the books and return its value or MISS.

        `outcome` is what a miss ended in: miss, load or error.
        """
        seconds = self.timer() - read.started
        cost = Cost((seconds - read.loading) / read.batch, read.saved)
        self.forgo(read)
        if read.answer == "l1":
            self.books.l1_hit(cost, read.stale)
        elif read.waited_for_a_load:
            cost = Cost(cost.spent)
            self.books.miss(read.reason, read.reason, "load", seconds, cost, coalesced=True)
        elif read.answer == "l2":
            self.books.l2_hit(read.reason, seconds, cost, read.stale)
        else:
            if outcome == "miss" and read.failure is not None:
                outcome = "error"
            self.books.miss(read.reason, read.failure or read.reason, outcome, seconds, cost)
            return MISS
        return read.value

    def broke(self, read: Read) -> None:
        """Close a look-up that an exception ended; it is a miss of outcome error."""
        read.answer = None
        self.end_read(read, "error")

    def end_refresh(self, read: Read, kind: RefreshKind) -> None:
        """Close a background refresh."""
        self.forgo(read)
        self.books.refresh(kind)

    def end_wait(self, read: Read, flight: Flight, landing: Landing | None) -> None:
        """Enter the look-up of a caller that waited for another's flight; None if that failed."""
        self.forgo(read)
        seconds = self.timer() - read.started
        outcome = "error" if landing is None else landing.outcome
        cost = NO_COST  # the load took the time
        if landing is not None and read.answer is None and outcome in ("l1_hit", "l2_hit"):
            cost = Cost(seconds, landing.saved)
        if read.answer == "l1" or outcome == "l1_hit":
            self.books.l1_hit(cost, read.stale)
        elif read.answer == "l2" or outcome in ("l2_hit", "stale"):
            stale: StaleReason | None = read.stale or ("error" if outcome == "stale" else None)
            self.books.l2_hit(read.reason, seconds, cost, stale)
        else:
            reason: MissReason = flight.failure or read.reason
            ended: Outcome = "load" if outcome == "load" else "error"
            self.books.miss(read.reason, reason, ended, seconds, cost, coalesced=True)

    def landed(self, read: Read) -> Landing:
        """The landing of a flight whose leader got an answer from a tier."""
        if read.stale == "error":
            return Landing("stale", read.value)
        if read.waited_for_a_load:
            return Landing("load", read.value)
        return Landing("l1_hit" if read.answer == "l1" else "l2_hit", read.value, read.saved)

    def patience(self, read: Read, began: float) -> float | None:
        """Seconds for which a caller waits for a load; `began` is when its call did.

        A load that is abandoned makes its waiters begin anew, with what is left of their patience.
        """
        soft, hard = self.policy.soft_timeout, self.policy.hard_timeout
        if hard is not None:
            hard = max(0.0, hard - (self.timer() - began))
        if not self.lends(read) or soft is None:
            return hard
        return soft if hard is None else min(soft, hard)

    def lends(self, read: Read) -> bool:
        """Whether the load goes to the background, because its caller may stop waiting for it."""
        spare = read.spare
        if spare is None or self.policy.soft_timeout is None:
            return False
        return self.timer() >= spare.expires_at

    def forgo(self, read: Read) -> None:
        """Close a look-up that begins anew; it is entered when it ends."""
        if read.fence is not None:
            with self.local.lock:
                self.close_read(read)

    def check_patience(self, read: Read) -> None:
        """Raise LoadTimeoutError when a caller has waited for another process long enough."""
        hard = self.policy.hard_timeout
        if hard is not None and self.timer() - read.started >= hard:
            raise LoadTimeoutError(f"waited {hard} s for another process's load")

    def created(self, read: Read, times: tuple[int, int] | None) -> int | None:
        """When a load that begins now was created by the server's clock, rather too early.

        Taken before the load, so that what is invalidated during it is older than that; None
        without a lease, when the load fills L1 only.
        """
        return times[0] if times is not None and read.token is not None else None

    def begin_load(self) -> float:
        """A loader starts; returns what `end_load` wants."""
        with self.local.lock:
            self.loads_in_flight += 1
        return self.timer()

    def end_load(self, read: Read, began: float, error: BaseException | None = None) -> float:
        """A loader returned, or raised `error`; returns the seconds it took."""
        with self.local.lock:
            self.loads_in_flight = max(0, self.loads_in_flight - 1)  # 0 if forked in a loader
        failure = None if error is None else failure_of(error)
        seconds = self.timer() - began
        read.loading += seconds
        self.books.load(seconds, failure)
        return seconds


def server_time(reply: object) -> int:
    """The time under a tag key, in microseconds; -1 if there is none."""
    if not isinstance(reply, bytes):
        return -1
    # A tag key that holds anything else was not written by us: nothing older than it is trusted.
    return int(reply) if reply.isdigit() and len(reply) < 20 else 2**63
