"""What a warm-up is told and what it tells."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

from routecache.errors import ConfigurationError
from routecache.keys import check_text


@dataclass(frozen=True, slots=True)
class WarmResult:
    """How the warm-up of one cache went.

    cache: its name.
    entries: keys that were to be warm.
    loaded: that were loaded, or stored as given.
    from_l2: that L2 held, also because another process of the fleet had loaded them.
    present: that L1 held already.
    failed: whose loader raised, or gave what cannot be stored.
    skipped: that were not tried: for want of time or of a loader, or because the process of the
        fleet that was loading did not bring them.
    seconds: that it took.
    complete: whether all keys were read and every one of them is warm.
    succeeded: whether all keys were read and enough of them are warm; `RouteCacheWarmupFailed` is
        about this.
    problem: the type of the error that ended the reading of the keys, if one did.
    """

    cache: str
    entries: int
    loaded: int
    from_l2: int
    present: int
    failed: int
    skipped: int
    seconds: float
    complete: bool
    succeeded: bool
    problem: str | None = None

    @property
    def warm(self) -> int:
        """Keys that are warm now."""
        return self.loaded + self.from_l2 + self.present


@dataclass(frozen=True, slots=True)
class WarmProgress:
    """How far the warm-up of one cache is: of `entries` keys, `done` are settled, `failed` of them
    without a value."""

    cache: str
    entries: int
    done: int
    failed: int


class WarmOptions(TypedDict, total=False):
    """Options of every `warm`.

    concurrency: loads at once (8).
    deadline: seconds after which it returns what it has, whatever hangs (10).
    rate: loader calls per second, over all caches of the warm-up; None for no such limit (None).
    fleet: the name under which processes agree which of them loads; those with other keys or
        loaders take another. None has each load for itself ("startup").
    enough: share of the keys that have to be warm for it to count as completed (0.5).
    progress: called with a WarmProgress whenever keys were settled, from whatever thread settled
        them, one call at a time. What it raises is logged and goes no further.
    """

    concurrency: int
    deadline: float
    rate: float | None
    fleet: str | None
    enough: float
    progress: Callable[[WarmProgress], object] | None


@dataclass(frozen=True, slots=True)
class Terms:
    """`WarmOptions`, checked. Raises ConfigurationError for what cannot work."""

    concurrency: int = 8
    deadline: float = 10.0
    rate: float | None = None
    fleet: str | None = "startup"
    enough: float = 0.5
    progress: Callable[[WarmProgress], object] | None = None

    def __post_init__(self) -> None:
        if not _is_number(self.concurrency, int) or not 1 <= self.concurrency <= 1000:
            raise ConfigurationError(
                f"concurrency={self.concurrency!r}: give a number of loads from 1 to 1000"
            )
        _check("deadline", self.deadline, "seconds")
        if self.rate is not None:
            _check("rate", self.rate, "loader calls per second")
        if not _is_number(self.enough) or not 0 <= self.enough <= 1:
            raise ConfigurationError(f"enough={self.enough!r}: give a share from 0 to 1")
        if self.fleet is not None:
            check_text(self.fleet, "fleet")
        if self.progress is not None and not callable(self.progress):
            raise ConfigurationError("progress is not callable: give a function, or None")


def _check(name: str, value: Any, unit: str) -> None:
    if not _is_number(value) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name}={value!r}: give a number of {unit} greater than 0")


def _is_number(value: Any, kind: type | tuple[type, ...] = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
