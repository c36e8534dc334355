"""The books of one cache: every count that is not an L1 hit of the hit path goes through here.

A look-up is entered once, when it ends, and all that belongs to it in one step under the cell's
lock. So in every snapshot, taken at any moment:

    requests = hits{l1} + hits{l2} + sum of misses by reason
    requests = hits{l1} + sum of l1_misses by reason
    hits{l2} = request_duration{l2_hit, stale}
    sum of misses = request_duration{load, miss, error}

Who waits for a load, of this process or of another one, is a miss that ends in a load: no tier
answered when it asked, and how long it took says nothing of the tiers.

Whether a cache is worth its while is told by two sums of seconds. On the hit path neither is added
to: of hits there, the samples of their latency count, each for all hits since the one before.

`avoided` is, over all hits for which no load was waited for, the time that loading the value once
took. It is known where the value came from a loader, and travels with it through L2; a value that
was `set` avoids nothing that we know of.

`overhead` is the time that callers spent in the cache: in hits, in all other look-ups without the
loads that they ran or waited for (another process's included), and in writes, deletes and tag
invalidations. A batch counts once. A look-up that ended with another caller's load counts
nothing. What happens in the background, and `clear`, nobody waits for on a request's way.
"""

from typing import NamedTuple

from routecache.cells import Cell
from routecache.exemplars import exemplar_of
from routecache.stats import (
    L1_HIT_BOUNDS,
    LOAD_BOUNDS,
    REQUEST_BOUNDS,
    SIZE_BOUNDS,
    CacheStats,
)
from routecache.typing import (
    L1MissReason,
    MissReason,
    Operation,
    Outcome,
    RefreshKind,
    StaleReason,
    Tier,
)


class Cost(NamedTuple):
    """What a call cost, and what it avoided, in seconds."""

    spent: float
    avoided: float = 0.0

    def enter(self, cell: Cell) -> None:
        """Add it to the sums of `cell`, whose lock the caller holds."""
        if self.spent > 0:
            cell.observe((), self.spent, "overhead")
        if self.avoided > 0:
            cell.observe((), self.avoided, "avoided")


NO_COST = Cost(0.0)


class Books:
    """Enters events into the calling thread's cell of `stats`. Safe for threads."""

    def __init__(self, stats: CacheStats) -> None:
        self.stats = stats
        self._thread = stats.cells.local

    def l1_hit(self, cost: Cost, stale: StaleReason | None = None) -> None:
        """A look-up that was answered by L1 off the hit path."""
        cell = self._thread.cell
        with cell.lock:
            cell.l1_hits += 1
            cell.sampled += 1  # it stands for itself: the next sample is not for it, too
            if cost.spent > 0:
                cell.observe(L1_HIT_BOUNDS, cost.spent, "l1_hit")
            Cost(0.0, cost.avoided).enter(cell)
            if stale is not None:
                cell.add("stale_hits", stale)

    def l2_hit(
        self,
        l1_reason: L1MissReason,
        seconds: float,
        cost: Cost,
        stale: StaleReason | None = None,
    ) -> None:
        """A look-up that L2 answered."""
        outcome = "stale" if stale else "l2_hit"
        exemplar = exemplar_of(seconds)  # before the lock, because its source is not ours
        cell = self._thread.cell
        with cell.lock:
            cell.add("l2_hits")
            cell.add("l1_misses", l1_reason)
            cell.observe(REQUEST_BOUNDS, seconds, "request", outcome, exemplar=exemplar)
            cost.enter(cell)
            if stale is not None:
                cell.add("stale_hits", stale)

    def miss(
        self,
        l1_reason: L1MissReason,
        reason: MissReason,
        outcome: Outcome,
        seconds: float,
        cost: Cost,
        *,
        coalesced: bool = False,
    ) -> None:
        """A look-up that no tier answered; `outcome` is load, miss or error."""
        exemplar = exemplar_of(seconds)
        cell = self._thread.cell
        with cell.lock:
            cell.add("misses", reason)
            cell.add("l1_misses", l1_reason)
            cell.observe(REQUEST_BOUNDS, seconds, "request", outcome, exemplar=exemplar)
            cost.enter(cell)
            if coalesced:
                cell.add("coalesced")

    def load(self, seconds: float, failure: str | None = None) -> None:
        """A loader that ran, and why it failed if it did."""
        exemplar = exemplar_of(seconds)
        cell = self._thread.cell
        with cell.lock:
            cell.add("loads")
            cell.observe(LOAD_BOUNDS, seconds, "load", exemplar=exemplar)
            if failure is not None:
                cell.add("load_failures", failure)

    def spent(self, seconds: float) -> None:
        """A write, delete or invalidation that a caller waited for."""
        cell = self._thread.cell
        with cell.lock:
            Cost(seconds).enter(cell)

    def refresh(self, kind: RefreshKind) -> None:
        """A background refresh that has ended."""
        self._count("refreshes", kind)

    def duplicate_load(self) -> None:
        """A load that found another process's newer value when it came to store its own."""
        self._count("duplicate_loads")

    def recovery_delete(self, n: int) -> None:
        """Keys of failed writes and deletes that L2 has forgotten now, and tells listeners of."""
        cell = self._thread.cell
        with cell.lock:
            cell.add("recovery_deletes", n=n)
            cell.add("invalidations_published", n=n)

    def recovery_overflow(self) -> None:
        """The recovery set overflowed; the whole prefix will be forgotten."""
        self._count("recovery_overflows")

    def published(self, n: int = 1) -> None:
        """Tag invalidations that L2 has taken; `write` and `delete` count those of keys."""
        if n:
            self._count("invalidations_published", n=n)

    def heard(self, n: int) -> None:
        """Invalidations that the listener received."""
        self._count("invalidations_received", n=n)

    def what_if_miss(self, scale: float, n: int) -> None:
        """Misses that L1 would have had at `scale` times its size."""
        self._count("whatif_misses", f"{scale:g}", n=n)

    def _count(self, *key: str, n: int = 1) -> None:
        cell = self._thread.cell
        with cell.lock:
            cell.add(*key, n=n)

    def error(self, tier: Tier, operation: Operation, kind: str) -> None:
        """A command or a conversion that failed."""
        cell = self._thread.cell
        with cell.lock:
            cell.add("errors", tier, operation, kind)

    def set(self, payload_bytes: int) -> None:
        """A call of `set` or a fill by a load, with its encoded size."""
        cell = self._thread.cell
        with cell.lock:
            cell.add("sets")
            cell.observe(SIZE_BOUNDS, payload_bytes, "value_size")

    def write(self, tier: Tier) -> None:
        """An entry stored in `tier`."""
        cell = self._thread.cell
        with cell.lock:
            cell.add("writes", tier)
            if tier == "l2":
                cell.add("invalidations_published")

    def delete(self, tier: Tier) -> None:
        """A delete that reached `tier`, whether or not it held the key."""
        cell = self._thread.cell
        with cell.lock:
            cell.add("deletes", tier)
            if tier == "l2":
                cell.add("invalidations_published")

    def evicted(self, reason: str) -> None:
        """An entry that left L1 by itself: size or expired."""
        cell = self._thread.cell
        with cell.lock:
            cell.add("evictions", "l1", reason)

    def removed(self, tier: Tier, reason: str, n: int = 1) -> None:
        """Entries that were taken out: invalidated, cleared or health."""
        if n:
            cell = self._thread.cell
            with cell.lock:
                cell.add("removals", tier, reason, n=n)
