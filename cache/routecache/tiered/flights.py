"""Single flight: one load per key in a process, whatever threads and tasks ask for it.

The leader of a flight loads; the others wait for its outcome. A loader's exception reaches the
waiters of that flight and nobody later. A leader that is interrupted rather than failed (a
KeyboardInterrupt, a cancelled task) abandons the flight, and its waiters elect a new leader.
The outcome travels in a `concurrent.futures.Future`, which threads and tasks can both wait for.
"""

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, TypeAlias

from routecache import forking
from routecache.typing import MissReason

FlightOutcome: TypeAlias = Literal["l1_hit", "l2_hit", "load", "abandoned"]


@dataclass(frozen=True, slots=True)
class Landing:
    """How a flight ended: its value, and which tier or load the value came from."""

    outcome: FlightOutcome
    value: object = None


class Flight:
    """One load that is under way."""

    __slots__ = ("failure", "future", "key", "leader")

    def __init__(self, key: str) -> None:
        self.key = key
        self.failure: MissReason | None = None  # why L2 could not answer the leader
        self.leader = threading.get_ident()
        self.future: Future[Landing] = Future()


class Flights:
    """The flights of one cache; bounded by the calls in flight. Safe for threads and tasks."""

    def __init__(self) -> None:
        self._lock = forking.RenewedLock()
        self._flying: dict[str, Flight] = {}
        forking.reset_in_child(self)

    def join(self, key: str) -> tuple[Flight, bool]:
        """The key's flight, and whether the caller leads it and owes it an end."""
        with self._lock:
            flight = self._flying.get(key)
            if flight is not None:
                return flight, False
            flight = self._flying[key] = Flight(key)
            return flight, True

    def land(self, flight: Flight, landing: Landing) -> None:
        """End `flight` with a value, or abandon it; later callers start a new one."""
        self.detach(flight.key, flight)
        flight.future.set_result(landing)

    def fail(self, flight: Flight, error: BaseException) -> None:
        """End `flight` with its loader's exception."""
        self.detach(flight.key, flight)
        flight.future.set_exception(error)

    def detach(self, key: str, flight: Flight | None = None) -> None:
        """Let later callers start a new flight; those who wait already keep theirs.

        With `flight`, only if that is the key's current one.
        """
        with self._lock:
            if flight is None or self._flying.get(key) is flight:
                self._flying.pop(key, None)

    def reset_after_fork(self) -> None:
        """Forget the flights of the parent: their leaders do not exist in a forked child."""
        self._flying = {}

    def detach_all(self) -> None:
        """Detach every flight."""
        with self._lock:
            self._flying.clear()
