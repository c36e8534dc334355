"""Single flight: one load per key in a process, whatever threads and tasks ask for it.

The leader of a flight loads; the others wait for its outcome. A loader's exception reaches the
waiters of that flight and nobody later. A leader that is interrupted rather than failed (a
KeyboardInterrupt, a cancelled task) abandons the flight, and its waiters elect a new leader.
The outcome travels in a `concurrent.futures.Future`, which threads and tasks can both wait for.

A loader may itself look something up and so wait for another's flight. Who would wait for a
flight that waits, over any number of others, for one that he leads, is told so by `may_wait` and
loads on his own: two keys whose loaders need each other cost a load more and no deadlock. Who
leads what is kept in a context variable, which the tasks that a loader starts inherit.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias

from routecache import forking
from routecache.typing import MissReason

FlightOutcome: TypeAlias = Literal["l1_hit", "l2_hit", "stale", "load", "abandoned"]


@dataclass(frozen=True, slots=True)
class Landing:
    """How a flight ended: its value, and which tier or load the value came from.

    `saved` is how many seconds loading it took once, 0 if unknown.
    """

    outcome: FlightOutcome
    value: object = None
    saved: float = 0.0


ABANDONED = Landing("abandoned")


class Flight:
    """One load that is under way. `thread` is that of its leader, 0 without one yet.

    `place` is that of its load's span, for those who wait, and `origin` that of the call that sent
    it to the background; None without a trace.
    """

    __slots__ = ("failure", "future", "key", "origin", "place", "thread")

    def __init__(self, key: str) -> None:
        self.key = key
        self.failure: MissReason | None = None  # why L2 could not answer the leader
        self.thread = 0
        self.origin: object = None
        self.place: object = None
        self.future: Future[Landing] = Future()


_leading: ContextVar[tuple[Flight, ...]] = ContextVar("routecache_leading", default=())

# Which flights the leaders of a flight, and the tasks that they started, wait for; over all caches
# of the process, because loaders of one may look things up in another.
_waits: dict[Flight, list[Flight]] = {}
_waits_lock = forking.RenewedLock()


class Flights:
    """The flights of one cache; bounded by the calls in flight. Safe for threads and tasks."""

    def __init__(self) -> None:
        self._lock = forking.RenewedLock()
        self._flying: dict[str, Flight] = {}
        forking.reset_in_child(self)

    def join(self, key: str) -> tuple[Flight, bool]:
        """The key's flight, and whether the caller owes it a leader and an end."""
        with self._lock:
            flight = self._flying.get(key)
            if flight is not None:
                return flight, False
            flight = self._flying[key] = Flight(key)
            return flight, True

    def flies(self, key: str) -> bool:
        """Whether a load of `key` is under way that later callers would join."""
        return key in self._flying

    @contextmanager
    def leading(self, flight: Flight) -> Iterator[None]:
        """The caller leads `flight` meanwhile."""
        flight.thread = threading.get_ident()
        token = _leading.set((*_leading.get(), flight))
        try:
            yield
        finally:
            # Whoever closes the coroutine of a loop that has gone does so in a context of his own.
            with suppress(ValueError):
                _leading.reset(token)

    def may_wait(self, flight: Flight, *, blocks: bool) -> bool:
        """Whether the caller can wait for `flight` without waiting for itself; owes `waited`.

        `blocks` says that the whole thread would wait, not just a task of it.
        """
        mine = _leading.get()
        if not mine and not blocks:
            return True
        with _waits_lock:
            if blocks and flight.thread == threading.get_ident():
                return False
            ahead, seen = [flight], {flight}
            while ahead:
                found = ahead.pop()
                if found in mine:
                    return False
                following = [f for f in _waits.get(found, ()) if f not in seen]
                seen.update(following)
                ahead += following
            for led in mine:
                _waits.setdefault(led, []).append(flight)
            return True

    def waited(self, flight: Flight) -> None:
        """The caller no longer waits for `flight`."""
        mine = _leading.get()
        if not mine:
            return
        with _waits_lock:
            for led in mine:
                waiting = _waits.get(led, [])
                if flight in waiting:
                    waiting.remove(flight)
                if not waiting:
                    _waits.pop(led, None)

    def has_landed(self, flight: Flight) -> bool:
        """Whether `flight` has ended with a value."""
        return flight.future.done() and flight.future.exception() is None

    def land(self, flight: Flight, landing: Landing) -> None:
        """End `flight` with a value, or abandon it; later callers start a new one."""
        self.detach(flight.key, flight)
        with suppress(InvalidStateError):  # a warm-up has given it up: nobody waits any more
            flight.future.set_result(landing)

    def abandon(self, flight: Flight) -> None:
        """End `flight` without an outcome, unless it has one."""
        self.detach(flight.key, flight)
        with suppress(InvalidStateError):
            flight.future.set_result(ABANDONED)

    def fail(self, flight: Flight, error: BaseException) -> None:
        """End `flight` with its loader's exception."""
        self.detach(flight.key, flight)
        with suppress(InvalidStateError):
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
