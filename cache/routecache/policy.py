"""`Policy`: how a cache trades freshness, latency and load."""

import math
from dataclasses import dataclass

from routecache.errors import ConfigurationError


def check_ttl(ttl: object, name: str = "ttl", *, endless: bool = False) -> float:
    """`ttl` as float seconds, or ConfigurationError (a ValueError) if it is not a time to live.

    `endless` allows infinity, which only a tier without Redis can keep.
    """
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not ttl > 0:
        raise ConfigurationError(
            f"{name}={ttl!r} is not a time to live: give a number of seconds greater than 0"
        )
    if math.isinf(ttl) and not endless:
        raise ConfigurationError(f"{name} must be finite: Redis cannot keep an endless entry")
    return float(ttl)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a cache trades freshness, latency and load. Immutable and safe to share.

    l2_timeout: seconds, one deadline over all L2 steps of a look-up, set or delete.
    ttl_jitter: share (0 to below 1); each TTL is shortened by up to this share, so that entries
        written together do not expire together.
    hard_timeout: seconds that a caller of `get_or_load` waits for another caller's load before
        `LoadTimeoutError`; None waits as long as the load takes.
    max_value_bytes: bytes; a larger encoded value is refused.

    Raises ConfigurationError, a ValueError, naming the field that is out of range.
    """

    l2_timeout: float = 0.05
    ttl_jitter: float = 0.0
    hard_timeout: float | None = None
    max_value_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        check_ttl(self.l2_timeout, "l2_timeout")
        if not 0 <= self.ttl_jitter < 1:
            raise ConfigurationError(
                f"ttl_jitter={self.ttl_jitter!r} is not a share: give a number from 0 to below 1"
            )
        if self.hard_timeout is not None:
            check_ttl(self.hard_timeout, "hard_timeout")
        if isinstance(self.max_value_bytes, bool) or self.max_value_bytes < 1:
            raise ConfigurationError(
                f"max_value_bytes={self.max_value_bytes!r}: give a number of bytes of at least 1"
            )
