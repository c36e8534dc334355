"""The vocabulary of all layers: MISS, label values and protocols. Imports `errors` only."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import (
    Final,
    Literal,
    NamedTuple,
    NoReturn,
    Protocol,
    TypeAlias,
    final,
    runtime_checkable,
)

from routecache.errors import RemoteError

Timer: TypeAlias = Callable[[], float]
"""A monotonic clock in seconds."""


@final
class _Miss(Enum):
    """The type of `MISS`; an enum so that type checkers narrow `value is MISS`."""

    MISS = "MISS"

    def __bool__(self) -> NoReturn:
        raise TypeError("MISS has no truth value: compare with `is MISS`")

    def __repr__(self) -> str:
        return "MISS"

    __str__ = __repr__


MISS: Final = _Miss.MISS
"""What `get(key, MISS)` returns when no tier holds the key, and what a loader returns for
"there is none". Compare with `is`."""

MissType: TypeAlias = Literal[_Miss.MISS]

Tier: TypeAlias = Literal["l1", "l2"]
Operation: TypeAlias = Literal["get", "set", "delete", "clear", "tags", "connect", "scan"]
L1MissReason: TypeAlias = Literal["cold", "expired", "evicted", "invalidated"]
MissReason: TypeAlias = Literal[L1MissReason, "l2_unavailable", "undecodable"]
Outcome: TypeAlias = Literal["l2_hit", "load", "stale", "miss", "error"]
StaleReason: TypeAlias = Literal["refreshing", "error", "blind"]
Removal: TypeAlias = Literal["invalidated", "cleared", "health"]
RefreshKind: TypeAlias = Literal["stale", "early"]

L1_MISS_REASONS: Final[tuple[L1MissReason, ...]] = ("cold", "expired", "evicted", "invalidated")
MISS_REASONS: Final[tuple[MissReason, ...]] = (*L1_MISS_REASONS, "l2_unavailable", "undecodable")
STALE_REASONS: Final[tuple[StaleReason, ...]] = ("refreshing", "error", "blind")
REFRESH_KINDS: Final[tuple[RefreshKind, ...]] = ("stale", "early")
OUTCOMES: Final[tuple[Outcome, ...]] = ("l2_hit", "load", "stale", "miss", "error")
ERROR_KINDS: Final = (
    "timeout",
    "connection",
    "pool",
    "oom",
    "loading",
    "readonly",
    "auth",
    "cluster",
    "busy",
    "decode",
    "encode",
    "oversize",
    "other",
)


@runtime_checkable
class Serializer(Protocol):
    """Turns values into bytes and back. `loads(dumps(v))` must equal `v`, types included."""

    @property
    def name(self) -> str:
        """A short name, stored with every payload, by which a reader chooses the decoder."""
        ...

    def dumps(self, value: object) -> bytes:
        """Encode `value`, or raise `SerializationError` naming type and path."""
        ...

    def loads(self, data: bytes) -> object:
        """Decode what `dumps` gave, or raise `DecodeError`."""
        ...


class Leased(NamedTuple):
    """What a look-up that may lead to a load found: the payload, or the token for the load.

    `token` is None where none was asked for or none could be had. It is the token offered if the
    caller was the first to ask.
    """

    payload: bytes | None
    token: str | None


class LeaseWanted(NamedTuple):
    """One key of a look-up that may lead to a load; `beside_value` asks for a refresh's token."""

    value_key: str
    lease_key: str
    token: str
    beside_value: bool = False


class Seen(NamedTuple):
    """What stands in L2 under a value key and its lease key; None for what does not stand.

    The times are milliseconds to live as Redis' PTTL gives them: -2 without a key, -1 without an
    expiry.
    """

    payload: bytes | None
    ttl_ms: int
    token: str | None
    lease_ms: int


class WireItem(NamedTuple):
    """One value on its way to L2; without a token it is a statement of truth."""

    value_key: str
    lease_key: str
    payload: bytes
    ttl_ms: int
    token: str | None = None


class Sink(Protocol):
    """Hears what other processes write. Called in a listener's thread; must not block."""

    def invalidated(self, keys: Sequence[bytes]) -> None:
        """These Redis keys, all under the sink's prefixes, were written, deleted or expired."""
        ...

    def disconnected(self, at: float) -> None:
        """What L1 holds may be stale from now on; `at` is monotonic seconds."""
        ...

    def reconnected(self) -> None:
        """Every write from now on will be heard: drop what may be stale."""
        ...

    def everything(self) -> None:
        """The server forgot all of its keys."""
        ...


class RemoteState(Protocol):
    """What a sync and an asyncio remote have in common."""

    @property
    def alias(self) -> str:
        """The endpoint's bounded label, never a host."""
        ...

    @property
    def available(self) -> bool:
        """Whether commands are being sent at all (the circuit is closed)."""
        ...

    def deadline(self, timeout: float) -> float:
        """The deadline for a call that starts now and may take `timeout` seconds."""
        ...

    def left(self, deadline: float) -> float:
        """How many of the seconds until `deadline` are left; negative past it."""
        ...

    def server_times(self) -> tuple[int, int] | None:
        """Bounds of the server's clock now, in microseconds; None before the first answer."""
        ...

    def watch(self, prefixes: Sequence[str], sink: Sink) -> bool:
        """Have `sink` told of what happens to keys with these prefixes.

        Returns at once; False if this remote cannot tell.
        """
        ...

    def in_background(self, job: Callable[[], bool]) -> None:
        """Call `job` in a background thread now and then until it returns True."""
        ...


@runtime_checkable
class AsyncRemote(RemoteState, Protocol):
    """L2 as the asyncio driver sees it: `Remote`, awaited."""

    async def connect(self, deadline: float) -> RemoteError | None:
        """As `Remote.connect`."""
        ...

    async def get_many(
        self, keys: Sequence[str], deadline: float
    ) -> list[bytes | RemoteError | None]:
        """As `Remote.get_many`."""
        ...

    async def lease_many(
        self, wanted: Sequence[LeaseWanted], life_ms: int, deadline: float
    ) -> list[Leased | RemoteError]:
        """As `Remote.lease_many`."""
        ...

    async def look_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[Seen | RemoteError]:
        """As `Remote.look_many`."""
        ...

    async def store_many(
        self, items: Sequence[WireItem], deadline: float
    ) -> list[bool | str | RemoteError]:
        """As `Remote.store_many`."""
        ...

    async def delete_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[bool | RemoteError]:
        """As `Remote.delete_many`."""
        ...

    async def renew_leases(
        self, leases: Sequence[tuple[str, str]], life_ms: int, deadline: float
    ) -> list[bool | RemoteError]:
        """As `Remote.renew_leases`."""
        ...

    async def invalidate_tags(
        self, keys: Sequence[str], ttl_ms: int, deadline: float
    ) -> list[int | RemoteError]:
        """As `Remote.invalidate_tags`."""
        ...

    async def clear(self, patterns: Sequence[str]) -> int | RemoteError:
        """As `Remote.clear`."""
        ...

    async def hottest(self, pattern: str, most: int, deadline: float) -> list[str] | RemoteError:
        """As `Remote.hottest`."""
        ...

    async def close(self) -> None:
        """As `Remote.close`."""
        ...


@runtime_checkable
class Remote(RemoteState, Protocol):
    """L2 as the sync driver sees it: `remote.sync.SyncRemote`, or `testing.FakeRemote`.

    Nothing here raises because of L2: a RemoteError stands in the place of each result that
    could not be had, at the latest at `deadline`, which is whatever `deadline()` gave.
    """

    def connect(self, deadline: float) -> RemoteError | None:
        """Reach the server, which tells its time; the failure if that failed."""
        ...

    def get_many(self, keys: Sequence[str], deadline: float) -> list[bytes | RemoteError | None]:
        """The payload under each key, in one round trip."""
        ...

    def lease_many(
        self, wanted: Sequence[LeaseWanted], life_ms: int, deadline: float
    ) -> list[Leased | RemoteError]:
        """The payload under each key and, where there is none, the token of its lease."""
        ...

    def look_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[Seen | RemoteError]:
        """What stands under each (value key, lease key), in one round trip; changes nothing."""
        ...

    def store_many(
        self, items: Sequence[WireItem], deadline: float
    ) -> list[bool | str | RemoteError]:
        """Store each item: True, False if its token no longer stands, or "duplicate" if moreover
        there is another process's value."""
        ...

    def delete_many(
        self, keys: Sequence[tuple[str, str]], deadline: float
    ) -> list[bool | RemoteError]:
        """Delete each (value key, lease key); whether there was a value. Listeners hear of all."""
        ...

    def renew_leases(
        self, leases: Sequence[tuple[str, str]], life_ms: int, deadline: float
    ) -> list[bool | RemoteError]:
        """Lengthen each (lease key, token), or end it with a life of 0 ms; whether it stood."""
        ...

    def invalidate_tags(
        self, keys: Sequence[str], ttl_ms: int, deadline: float
    ) -> list[int | RemoteError]:
        """Write the server's time under each tag key, to live `ttl_ms` milliseconds."""
        ...

    def clear(self, patterns: Sequence[str]) -> int | RemoteError:
        """Delete all keys that match a pattern; returns their number."""
        ...

    def hottest(self, pattern: str, most: int, deadline: float) -> list[str] | RemoteError:
        """At most so many keys that match `pattern`, those that are asked for most first.

        As far as the server knows, and as far as it was walked by `deadline`.
        """
        ...

    def close(self) -> None:
        """Let go of the endpoint. Never raises."""
        ...

    def awaited(self) -> AsyncRemote:
        """The same L2 for asyncio."""
        ...
