"""The vocabulary of all layers: MISS, label values and protocols. Imports nothing of ours."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Literal, NoReturn, Protocol, TypeAlias, final, runtime_checkable

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
Operation: TypeAlias = Literal["get", "set", "delete", "clear", "tags", "connect"]
L1MissReason: TypeAlias = Literal["cold", "expired", "evicted", "invalidated"]
MissReason: TypeAlias = Literal[L1MissReason, "l2_unavailable", "undecodable"]
Outcome: TypeAlias = Literal["l2_hit", "load", "stale", "miss", "error"]

L1_MISS_REASONS: Final[tuple[L1MissReason, ...]] = ("cold", "expired", "evicted", "invalidated")
MISS_REASONS: Final[tuple[MissReason, ...]] = (*L1_MISS_REASONS, "l2_unavailable", "undecodable")
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


@runtime_checkable
class Remote(Protocol):
    """L2 as the sync driver sees it: `remote.sync.SyncRemote`, or `testing.FakeRemote`.

    Every method but the last may raise RemoteError and nothing else, after at most the time
    until `deadline`, which is whatever `deadline()` gave.
    """

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

    def earliest_server_time(self, deadline: float) -> int:
        """Lower bound of the server's clock, microseconds; connects if it is not known yet."""
        ...

    def latest_server_time(self) -> int:
        """Upper bound of the server's clock, microseconds, after a first answer."""
        ...

    def get(self, key: str, deadline: float) -> bytes | None:
        """The payload under `key`."""
        ...

    def get_many(self, keys: Sequence[str], deadline: float) -> list[bytes | None]:
        """The payloads under `keys`, in one round trip."""
        ...

    def set_many(self, items: Sequence[tuple[str, bytes, int]], deadline: float) -> None:
        """Store (key, payload, milliseconds to live), in one round trip."""
        ...

    def delete_many(self, keys: Sequence[str], deadline: float) -> list[bool]:
        """Delete `keys`, in one round trip; whether each was there."""
        ...

    def invalidate_tags(self, keys: Sequence[str], ttl_ms: int, deadline: float) -> None:
        """Write the server's time under each tag key, to live `ttl_ms` milliseconds."""
        ...

    def clear(self, patterns: Sequence[str]) -> int:
        """Delete all keys that match a pattern; returns their number."""
        ...

    def close(self) -> None:
        """Let go of the endpoint. Never raises."""
        ...
