"""What `explain(key)` says: where a key is, why, and what a look-up would make of it."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from routecache.typing import MISS, L1MissReason, MissReason, Tier

TierState: TypeAlias = Literal[
    "fresh", "stale", "kept", "expired", "invalidated", "undecodable", "unavailable", "absent"
]
"""fresh: within its TTL. stale: past it, and `get_or_load` serves it at once while it refreshes
(`Policy.stale_ttl`). kept: past it, and served only when the load fails (`Policy.stale_if_error`).
expired: there, and served by nobody. invalidated: hidden by a tag. undecodable: there, and not to
be read. unavailable: L2 could not be asked. absent: not there."""

Problem: TypeAlias = Literal["envelope", "serializer", "payload"]
"""Why a value is undecodable: it is no envelope of this wire version; another serializer than the
cache's wrote it; or that serializer cannot read it."""


@dataclass(frozen=True, slots=True)
class L1Explanation:
    """What the memory of this process holds of a key. Times are seconds.

    state: fresh, stale, kept or absent.
    age: since L1 took the value, by a load, a write or a promotion from L2.
    seconds_left: until its TTL ends, negative past it; infinite in a cache without Redis that has
        an endless TTL.
    tags: the tags that it carries.
    none: whether it is a remembered "there is none".
    size: its encoded bytes; estimated, as in memory, in a cache without Redis.
    invalidated_by: those of its tags whose invalidation in L2 is newer than it. L1 serves it until
        the listener tells of that, so this is empty but for an instant, or while nobody listens.
    blind_left: for how long it is served although invalidations cannot be heard; None while they
        can, or while L2 does not answer either.
    gone: how the last copy went if there is none, "cold" if that is not known.
    value: the value, if it was asked for; MISS otherwise and for a remembered none.
    """

    state: TierState
    age: float | None = None
    seconds_left: float | None = None
    tags: tuple[str, ...] = ()
    none: bool = False
    size: int | None = None
    invalidated_by: tuple[str, ...] = ()
    blind_left: float | None = None
    gone: L1MissReason | None = None
    value: Any = field(default=MISS, repr=False)


@dataclass(frozen=True, slots=True)
class L2Explanation:
    """What Redis holds of a key. Times are seconds.

    state: any `TierState`.
    error: the kind of the failure (`routecache.typing.ERROR_KINDS`, or "circuit" if the circuit
        is open and nothing was sent); None if L2 answered.
    problem: why the value is undecodable.
    age: since its load or its set began, by the server's clock.
    seconds_left: until its TTL ends by the server's clock, negative past it.
    redis_ttl: until Redis removes the key, later than its end where the policy serves stale values;
        infinite for a foreign key without an expiry.
    tags: the tags that it carries.
    none: whether it is a remembered "there is none".
    size: bytes of the encoded value.
    wire_size: bytes of what stands in Redis, envelope included.
    load_seconds: how long its load took; 0 for a set.
    serializer: the name of the serializer that wrote it.
    writer: the release of routecache that wrote it.
    invalidated_by: those of its tags whose invalidation hides it.
    lease_left: for how long the lease of a load still stands, of whatever process; None if none.
    lease_is_ours: whether this process was the first to ask for that lease.
    value: the value, if it was asked for and can be read; MISS otherwise.
    """

    state: TierState
    error: str | None = None
    problem: Problem | None = None
    age: float | None = None
    seconds_left: float | None = None
    redis_ttl: float | None = None
    tags: tuple[str, ...] = ()
    none: bool = False
    size: int | None = None
    wire_size: int | None = None
    load_seconds: float | None = None
    serializer: str | None = None
    writer: str | None = None
    invalidated_by: tuple[str, ...] = ()
    lease_left: float | None = None
    lease_is_ours: bool = False
    value: Any = field(default=MISS, repr=False)


@dataclass(frozen=True, slots=True)
class ListenerExplanation:
    """Whether this process hears what others write. `deaf_for` is seconds, None while it hears.

    `blind_ttl` is the policy's bound on how long L1 serves an entry meanwhile, in seconds.
    """

    hears: bool
    deaf_for: float | None
    blind_ttl: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the tiers hold of `key`, at one moment. Immutable; holds no value unless asked to.

    cache: the name of the cache.
    answers: the tier that would answer `get` now; None if it would miss.
    miss_reason: what such a miss would be counted as.
    l1, l2: what each tier holds; `l2` is None for a cache without Redis.
    l1_is_current: whether L1 holds the very write that L2 holds; None where that cannot be told.
    loading: whether a load of the key is under way in this process.
    owed: whether L2 has yet to forget the key, because a write or delete of it failed.
    listener: None where no listener can tell of other processes' writes.
    """

    key: str
    cache: str
    answers: Tier | None
    miss_reason: MissReason | None
    l1: L1Explanation
    l2: L2Explanation | None
    l1_is_current: bool | None
    loading: bool
    owed: bool
    listener: ListenerExplanation | None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON, without values; an infinite time is None."""
        return plain(self)


def plain(explanation: "Explanation | L2Explanation") -> dict[str, Any]:
    """An explanation as JSON can hold it, without values; an infinite time is None."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(explanation):
        if each.name == "value":
            continue
        said = getattr(explanation, each.name)
        if dataclasses.is_dataclass(said):
            said = plain(said)  # type: ignore[arg-type]  # one of the classes of this file
        elif isinstance(said, tuple):
            said = list(said)
        elif isinstance(said, float) and math.isinf(said):
            said = None
        found[each.name] = said
    return found
