"""A look-up and a write on their way through the tiers: plain state, no decisions of the cache."""

from typing import Literal

from routecache import envelope, keys
from routecache.envelope import Envelope
from routecache.local import Entry
from routecache.outcomes import Remembered
from routecache.tiered.fences import Fence
from routecache.typing import (
    MISS,
    L1MissReason,
    MissReason,
    RefreshKind,
    Serializer,
    StaleReason,
    Tier,
)


class Read:
    """One look-up of one key, from its miss in L1 to its end.

    loads: whether a load follows a miss; only then a stale value may answer.
    background: whether it is a refresh that nobody waits for.
    known: for an early refresh, the server's `created` of the value to replace: what is no newer
        is no answer. -1 otherwise.
    answer: the tier that answered, or None; `value` is what it answered.
    spare: an old value that may be served when L2 or the load fails.
    stale: why the answer, if there is one, is a stale one.
    refresh: the refresh that this look-up asks for.
    offered, token: the lease token offered to L2, and the one that stands there.
    beside: whether the token is asked for although L2 holds a value.
    batch: how many look-ups share the time that this one takes.
    loading: seconds that went into its load, or into waiting for another process's.
    saved: seconds that loading the answer took once, 0 if unknown.
    """

    __slots__ = ("answer", "background", "batch", "beside", "expires_at", "failure", "fence",
                 "found", "key", "known", "loading", "loads", "offered", "prefix", "reason",
                 "refresh", "saved", "spare", "spare_tier", "stale", "started", "tags", "token",
                 "value", "waits_since")  # fmt: skip

    def __init__(self, prefix: str, key: str, started: float) -> None:
        self.prefix = prefix
        self.key = key
        self.started = started
        self.loads = False
        self.background = False
        self.known = -1
        self.fence: Fence | None = None
        self.reason: L1MissReason = "cold"
        self.failure: MissReason | None = None
        self.found: Envelope | None = None
        self.expires_at = 0.0
        self.tags: tuple[str, ...] = ()
        self.value: object = MISS
        self.answer: Tier | None = None
        self.spare: Entry | None = None
        self.spare_tier: Tier = "l1"
        self.stale: StaleReason | None = None
        self.refresh: RefreshKind | None = None
        self.offered = ""
        self.token: str | None = None
        self.beside = False
        self.batch = 1
        self.loading = self.waits_since = self.saved = 0.0

    @property
    def wire_key(self) -> str:
        """The Redis key of its value."""
        return keys.value_key(self.prefix, self.key)

    @property
    def lease_key(self) -> str:
        """The Redis key of its lease."""
        return keys.lease_key(self.prefix, self.key)

    @property
    def waited_for_a_load(self) -> bool:
        """Whether L2 answered with what another process loaded meanwhile: no tier had it then."""
        return self.answer == "l2" and self.stale is None and self.waits_since > 0

    def answered(self, tier: Tier, value: object, saved: float = 0.0) -> None:
        """`tier` answers with `value`, which took `saved` seconds to load.

        To who does not load a remembered exception is "there is none".
        """
        if type(value) is Remembered and not self.loads:
            value = MISS
        self.answer, self.value, self.saved = tier, value, saved

    def take_in(self, payload: bytes, serializer: Serializer, server_now: int, now: float) -> None:
        """Decode what L2 holds; raises DecodeError.

        `server_now` and `now` are one moment by the server's clock and by L1's timer, or `now` is
        the earlier one, which makes the entry older than it is.
        """
        found = envelope.decode(payload, codec=serializer.name)
        self.value = MISS if found.none else serializer.loads(found.payload)
        self.expires_at = now + (found.expires - server_now) / 1e6
        self.found, self.tags = found, found.tags

    def forget(self) -> None:
        """Take back what L2 gave: it does not count."""
        self.found, self.value, self.tags = None, MISS, ()


class Write:
    """One value on its way into both tiers, by `set` or by a load.

    token: the lease token of a load; None for a `set`.
    l2: what became of it in L2.
    """

    __slots__ = ("created", "fence", "key", "l1_expires_at", "l2", "l2_ttl", "lease_key",
                 "load_seconds", "payload", "started", "tags", "token", "value",
                 "wire_key")  # fmt: skip

    def __init__(
        self, key: str, wire_key: str, lease_key: str, value: object, payload: bytes,
        tags: tuple[str, ...], l1_expires_at: float, l2_ttl: float, fence: Fence, started: float,
    ) -> None:  # fmt: skip
        self.key = key
        self.wire_key = wire_key
        self.lease_key = lease_key
        self.value = value
        self.payload = payload
        self.tags = tags
        self.l1_expires_at = l1_expires_at
        self.l2_ttl = l2_ttl
        self.fence = fence
        self.started = started
        self.token: str | None = None
        self.created: int | None = None
        self.load_seconds = 0.0
        self.l2: Literal["none", "sent", "stored", "refused", "failed"] = "none"
