"""`Policy`: how a cache trades freshness, latency and load."""

import math
from dataclasses import dataclass

from routecache.errors import ConfigurationError
from routecache.typing import RefreshKind, StaleReason

MAX_TTL = 10 * 365 * 86400.0
"""Seconds: the longest life of an entry, ten years, so that no clock arithmetic overflows."""


def check_ttl(ttl: object, name: str = "ttl", *, endless: bool = False) -> float:
    """`ttl` as float seconds, or ConfigurationError (a ValueError) if it is not a time to live.

    `endless` allows infinity, which only a tier without Redis can keep.
    """
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not ttl > 0:
        raise ConfigurationError(
            f"{name}={ttl!r} is not a time to live: give a number of seconds greater than 0"
        )
    if endless and ttl == math.inf:
        return math.inf
    if ttl == math.inf:
        raise ConfigurationError(f"{name} must be finite: Redis cannot keep an endless entry")
    if ttl > MAX_TTL:
        raise ConfigurationError(f"{name} is longer than ten years ({MAX_TTL:.0f} s)")
    return float(ttl)


def _check_number(name: str, value: object, low: float, high: float, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        raise ConfigurationError(f"{name}={value!r} is not {what}")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}={value!r}: give True or False")


@dataclass(frozen=True, slots=True)
class Policy:
    """How a cache trades freshness, latency and load. Immutable and safe to share.

    l2_timeout: seconds, one deadline over all L2 steps of a look-up, set or delete; at most 60.
    ttl_jitter: share (0 to below 1); each TTL is shortened by up to this share, so that entries
        written together do not expire together.
    stale_ttl: seconds after expiry during which `get_or_load` serves the old value at once while
        one background refresh loads the new one.
    stale_if_error: seconds after expiry during which `get_or_load` serves the old value when the
        load fails.
    early_refresh: beta of XFetch (0 is off, 1 the paper's choice): refreshes in the background,
        the earlier before expiry the longer the load took. One exponential draw for each L1 copy
        instead of one for each look-up, so that a hit costs nothing. Source: Vattani,
        Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015.
    negative_ttl: seconds that "there is none" (a loader returned MISS) is remembered; None is
        not at all.
    soft_timeout: seconds that `get_or_load` waits for a load while it has an old value that
        `stale_if_error` keeps; then it serves that and the load goes on in the background.
    hard_timeout: seconds that a caller of `get_or_load` waits for another caller's load before
        `LoadTimeoutError`; None waits as long as the load takes.
    distributed_lock: other processes wait for the process that loads a key instead of loading it
        too.
    blind_ttl: seconds for which L1 serves an entry while invalidations of other processes cannot
        be heard and L2 answers.
    max_value_bytes: bytes; a larger encoded value is refused.
    compress_over: bytes; a larger encoded value is compressed with zstd (extra `zstd`); None
        never.
    copy_on_get: give every caller its own copy of a mutable value, so that none can change what
        others get; costs a deep copy on each hit of such a value.

    Raises ConfigurationError, a ValueError, naming the field that is out of range.
    """

    l2_timeout: float = 0.05
    ttl_jitter: float = 0.0
    stale_ttl: float = 0.0
    stale_if_error: float = 0.0
    early_refresh: float = 0.0
    negative_ttl: float | None = None
    soft_timeout: float | None = None
    hard_timeout: float | None = None
    distributed_lock: bool = False
    blind_ttl: float = 30.0
    max_value_bytes: int = 1024 * 1024
    compress_over: int | None = None
    copy_on_get: bool = False

    def __post_init__(self) -> None:
        check_ttl(self.l2_timeout, "l2_timeout")
        _check_number("l2_timeout", self.l2_timeout, 0, 60.001, "a number of seconds up to 60")
        _check_number("ttl_jitter", self.ttl_jitter, 0, 1, "a share: give 0 to below 1")
        for name in ("stale_ttl", "stale_if_error", "blind_ttl"):
            _check_number(name, getattr(self, name), 0, MAX_TTL, "a number of seconds from 0 on")
        _check_number("early_refresh", self.early_refresh, 0, 1e6, "a factor from 0 on")
        for name in ("negative_ttl", "soft_timeout", "hard_timeout"):
            if getattr(self, name) is not None:
                check_ttl(getattr(self, name), name)
        for name in ("max_value_bytes", "compress_over"):
            n = getattr(self, name)
            if n is None and name == "compress_over":
                continue
            if isinstance(n, bool) or not isinstance(n, int) or n < 1:
                raise ConfigurationError(f"{name}={n!r}: give a number of bytes of at least 1")
        _check_flag("distributed_lock", self.distributed_lock)
        _check_flag("copy_on_get", self.copy_on_get)

    @property
    def retention(self) -> float:
        """Seconds that an expired value is kept for stale serving."""
        return max(self.stale_ttl, self.stale_if_error)

    @property
    def stale_reasons(self) -> frozenset[StaleReason]:
        """Why an expired value may answer."""
        reasons: set[StaleReason] = set()
        if self.retention > 0:
            reasons.add("error")
            if self.stale_ttl > 0 or self.soft_timeout is not None:
                reasons.add("refreshing")
        return frozenset(reasons)

    @property
    def refresh_kinds(self) -> frozenset[RefreshKind]:
        """What loads in the background."""
        kinds: set[RefreshKind] = set()
        if "refreshing" in self.stale_reasons:
            kinds.add("stale")
        if self.early_refresh > 0:
            kinds.add("early")
        return frozenset(kinds)
