"""What L1 holds for a key."""

from routecache.sieve import SieveNode


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
