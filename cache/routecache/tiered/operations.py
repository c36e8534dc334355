"""A look-up and a write on their way through the tiers: plain state, no decisions of the cache."""

from routecache import envelope
from routecache.envelope import Envelope
from routecache.local import Entry
from routecache.tiered.fences import Fence
from routecache.typing import MISS, L1MissReason, MissReason, Serializer


class Read:
    """One look-up of one key, from its miss in L1 to its end."""

    __slots__ = ("entry", "expires_at", "failure", "fence", "found", "key", "reason", "started",
                 "tags", "value", "wire_key")  # fmt: skip

    def __init__(self, key: str, wire_key: str, started: float) -> None:
        self.key = key
        self.wire_key = wire_key
        self.started = started
        self.entry: Entry | None = None
        self.fence: Fence | None = None
        self.reason: L1MissReason = "cold"
        self.failure: MissReason | None = None
        self.found: Envelope | None = None
        self.expires_at = 0.0
        self.tags: tuple[str, ...] = ()
        self.value: object = MISS

    def take_in(self, payload: bytes, serializer: Serializer, server_now: int, now: float) -> None:
        """Decode what L2 holds, unless it has expired; raises DecodeError.

        `server_now` and `now` are the same moment by the server's clock and by L1's timer.
        """
        found = envelope.decode(payload, codec=serializer.name)
        value = serializer.loads(found.payload)
        if found.expires > server_now:
            self.expires_at = now + (found.expires - server_now) / 1e6
            self.found, self.value, self.tags = found, value, found.tags

    def forget(self) -> None:
        """Take back what L2 gave: it does not count."""
        self.found, self.value, self.tags = None, MISS, ()


class Write:
    """One value on its way into both tiers, by `set` or by a load."""

    __slots__ = ("attempted", "fence", "key", "l1_expires_at", "l2_ttl", "payload", "started",
                 "tags", "value", "wire_key")  # fmt: skip

    def __init__(
        self, key: str, wire_key: str, value: object, payload: bytes, tags: tuple[str, ...],
        l1_expires_at: float, l2_ttl: float, fence: Fence, started: float,
    ) -> None:  # fmt: skip
        self.key = key
        self.wire_key = wire_key
        self.value = value
        self.payload = payload
        self.tags = tags
        self.l1_expires_at = l1_expires_at
        self.l2_ttl = l2_ttl
        self.fence = fence
        self.started = started
        self.attempted = False

    def wire_item(self, codec: str, created: int, server_now: int) -> tuple[str, bytes, int]:
        """Key, payload and milliseconds to live, of what goes to L2 now.

        `created` is the server's time, in microseconds, when the value's load or `set` began.
        """
        self.attempted = True
        expires = server_now + int(self.l2_ttl * 1e6)
        wire = Envelope(created, expires, codec, self.payload, self.tags)
        return self.wire_key, envelope.encode(wire), max(1, int(self.l2_ttl * 1000))
