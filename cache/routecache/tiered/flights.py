"""Single flight: one load per key in a process, whatever threads and tasks ask for it.

The leader of a flight loads; the others wait for its outcome. A loader's exception reaches the
waiters of that flight and nobody later. A leader that is interrupted rather than failed (a
KeyboardInterrupt, a cancelled task) abandons the flight, and its waiters elect a new leader.
The outcome travels in a `concurrent.futures.Future`, which threads and tasks can both wait for.

A loader may itself look something up and so wait for another's flight. Who would wait for a
flight that waits, over any number of others, for himself, is told so by `may_wait` and loads on
his own: two keys whose loaders need each other cost a load more and no deadlock.
"""

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, TypeAlias

from routecache import forking
from routecache.typing import MissReason

FlightOutcome: TypeAlias = Literal["l1_hit", "l2_hit", "stale", "load", "abandoned"]
Caller: TypeAlias = object
"""Who waits or leads: a thread's identifier or a task."""


@dataclass(frozen=True, slots=True)
class Landing:
    """How a flight ended: its value, and which tier or load the value came from."""

    outcome: FlightOutcome
    value: object = None


ABANDONED = Landing("abandoned")


class Flight:
    """One load that is under way. `leader` is None until somebody leads it."""

    __slots__ = ("failure", "future", "key", "leader", "thread")

    def __init__(self, key: str, leader: Caller | None) -> None:
        self.key = key
        self.failure: MissReason | None = None  # why L2 could not answer the leader
        self.leader = leader
        self.thread = 0 if leader is None else threading.get_ident()
        self.future: Future[Landing] = Future()


# Over all caches of the process, because loaders of one may look things up in another.
_waits: dict[Caller, Flight] = {}
_waits_lock = forking.RenewedLock()


class Flights:
    """The flights of one cache; bounded by the calls in flight. Safe for threads and tasks."""

    def __init__(self) -> None:
        self._lock = forking.RenewedLock()
        self._flying: dict[str, Flight] = {}
        forking.reset_in_child(self)

    def join(self, key: str, caller: Caller | None) -> tuple[Flight, bool]:
        """The key's flight, and whether the caller leads it and owes it an end.

        With None for `caller` a flight that is new has no leader until `lead`.
        """
        with self._lock:
            flight = self._flying.get(key)
            if flight is not None:
                return flight, False
            flight = self._flying[key] = Flight(key, caller)
            return flight, True

    def lead(self, flight: Flight, caller: Caller) -> None:
        """`caller` leads `flight` from now on."""
        flight.leader, flight.thread = caller, threading.get_ident()

    def may_wait(self, flight: Flight, caller: Caller, *, blocks: bool) -> bool:
        """Whether `caller` can wait for `flight` without waiting for himself; then owes `waited`.

        `blocks` says that the whole thread would wait, not just a task of it.
        """
        with _waits_lock:
            if blocks and flight.thread == threading.get_ident():
                return False
            ahead: Flight | None = flight
            while ahead is not None:
                if ahead.leader == caller:
                    return False
                ahead = _waits.get(ahead.leader) if ahead.leader is not None else None
            _waits[caller] = flight
            return True

    def waited(self, caller: Caller) -> None:
        """`caller` no longer waits."""
        with _waits_lock:
            _waits.pop(caller, None)

    def land(self, flight: Flight, landing: Landing) -> None:
        """End `flight` with a value, or abandon it; later callers start a new one."""
        self.detach(flight.key, flight)
        flight.future.set_result(landing)

    def abandon(self, flight: Flight) -> None:
        """End `flight` without an outcome, unless it has one."""
        self.detach(flight.key, flight)
        if not flight.future.done():
            flight.future.set_result(ABANDONED)

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
        _waits.clear()

    def detach_all(self) -> None:
        """Detach every flight."""
        with self._lock:
            self._flying.clear()
