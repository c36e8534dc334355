"""Who of a fleet loads: what to ask Redis, and what its answers mean. No I/O.

The lease is a key of ours with an expiry. Who asks first holds it, lengthens it between two loads
and, when the warm-up has ended, leaves a mark in the same step in which the lease goes. The others
ask again and again: an unknown mark says that the one they waited for has done what can be done,
and a lease of their own that he is gone without having done it. A mark from before they began says
nothing: what it was about may have expired.
"""

from typing import Final, Literal, TypeAlias

from routecache.errors import RemoteError
from routecache.keys import warm_up_keys
from routecache.tiered._core import LEASE_MS, TieredCore
from routecache.typing import Leased, LeaseWanted, Timer, WireItem

Role: TypeAlias = Literal["new", "alone", "leads", "follows", "done"]

MARK_MS: Final = 60_000
"""Milliseconds that the mark stands: long enough for all who wait to see it."""


class Fleet:
    """This process's part in one cache's warm-up. Safe for threads, as far as they only ask.

    role: "alone" loads without a lease, because there is no L2 or no fleet; "leads" loads under
        it; "follows" waits for who leads; "done" has seen his mark.
    """

    def __init__(self, core: TieredCore, name: str | None, timer: Timer) -> None:
        self._timer = timer
        self._done_key, self.lease_key = warm_up_keys(core.prefix, name or "-")
        self._offer = core.offer()
        self._seen: bytes | None = None
        self._asked = False
        self._renewed = timer()
        self.role: Role = "new" if core.has_l2 and name is not None else "alone"

    @property
    def may_load(self) -> bool:
        """Whether this process loads what L2 lacks."""
        return self.role in ("alone", "leads")

    @property
    def asks(self) -> bool:
        """Whether it has to ask for the lease."""
        return self.role in ("new", "follows")

    def wanted(self) -> LeaseWanted:
        """What to ask: the mark, and the lease beside it."""
        self._renewed = self._timer()
        return LeaseWanted(self._done_key, self.lease_key, self._offer, True)

    def told(self, reply: Leased | RemoteError) -> bool:
        """What L2 answered; returns whether it gave a lease that is not needed."""
        if isinstance(reply, RemoteError) or reply.token is None:
            self.role = "alone"
            return False
        ours = reply.token == self._offer
        ended = self._asked and reply.payload is not None and reply.payload != self._seen
        if not self._asked:
            self._asked, self._seen = True, reply.payload
        self.role = "done" if ended else "leads" if ours else "follows"
        return ended and ours

    def due(self) -> bool:
        """Whether the lease has to be lengthened now; True once for each time."""
        if self.role != "leads" or self._timer() - self._renewed < LEASE_MS / 3000:
            return False
        self._renewed = self._timer()
        return True

    def renewed(self, stood: bool | RemoteError) -> None:
        """Whether the lease that was lengthened still stood: without it another one loads."""
        if stood is False:
            self.role = "follows"

    @property
    def lease(self) -> tuple[str, str]:
        """Lease key and token."""
        return self.lease_key, self._offer

    def mark(self) -> WireItem:
        """What ends the lease and tells the others that all is done."""
        payload = self._offer.encode()
        return WireItem(self._done_key, self.lease_key, payload, MARK_MS, self._offer)
