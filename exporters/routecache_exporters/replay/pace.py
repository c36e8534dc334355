"""When to ask the next request: at the logged times, faster, at once, or in the log's own time."""

import math
import threading
import time
from dataclasses import dataclass

from routecache.typing import Timer
from routecache_exporters.replay.arguments import Speed


@dataclass(slots=True)
class Order:
    """How far the requests of a log are from the order of their times.

    tolerance: seconds.
    late: requests that are older than one before them.
    far: those of them that are older by more than `tolerance`.
    most: seconds by which one of them is older, at most.
    """

    tolerance: float = math.inf
    late: int = 0
    far: int = 0
    most: float = 0.0
    _newest: float = -math.inf

    def take(self, at: float) -> bool:
        """Take in the next request, that arrived at `at`; whether it is in order."""
        by = self._newest - at
        if by <= 0:
            self._newest = at
            return True
        self.late += 1
        self.far += by > self.tolerance
        self.most = max(self.most, by)
        return False


class Pace:
    """Waits for each request's turn.

    Args:
        speed: how many logged seconds pass per second; None asks at once and waits never.
        stop: set to end all waiting.
        timer: a monotonic clock in seconds.
    """

    def __init__(
        self, speed: float | None, stop: threading.Event, timer: Timer = time.monotonic
    ) -> None:
        self.speed = speed
        self.behind = 0.0
        """Seconds by which the latest request that was not asked in time was late, at most."""
        self.order = Order()
        self._stop = stop
        self._timer = timer
        self._offset: float | None = None

    def wait(self, at: float | None) -> bool:
        """Wait for the request that arrived at `at` (logged seconds); False once stopped.

        Rows out of order are asked at once.
        """
        if self.speed is None or at is None:
            return not self._stop.is_set()
        in_order = self.order.take(at)
        now, logged = self._timer(), at / self.speed
        if self._offset is None:
            self._offset = now - logged
        early = self._offset + logged - now
        if early > 0:
            return not self._stop.wait(early)
        if in_order:
            self.behind = max(self.behind, -early)
        return not self._stop.is_set()

    def spend(self, seconds: float) -> None:
        """Let `seconds` of work pass, or fewer when stopped."""
        if seconds > 0:
            self._stop.wait(seconds)


def pace_of(speed: Speed, stop: threading.Event) -> tuple[Pace, Timer]:
    """The pace of `speed`, and the clock of the caches that are asked at it."""
    if speed == "log":
        pace = LogTime(stop)
        return pace, pace.timer
    return Pace(speed, stop), time.monotonic


class LogTime(Pace):
    """A pace whose clock is the log's: nobody waits, and the time of each request passes at once.

    It is the timer of the caches that are replayed, too: `timer` gives seconds since the first
    request. A row out of order is asked at the time of the latest one before it; `order` tells how
    many are, and how many of them by more than `tolerance` seconds.
    """

    def __init__(self, stop: threading.Event, tolerance: float = math.inf) -> None:
        super().__init__(None, stop)
        self.order.tolerance = tolerance
        self._first: float | None = None
        self._now = 0.0

    def wait(self, at: float | None) -> bool:
        """Let the time until `at` (logged seconds) pass; False, and it does not, once stopped."""
        if self._stop.is_set():
            return False
        if at is not None:
            if self._first is None:
                self._first = at
            self.order.take(at)
            self._now = max(self._now, at - self._first)
        return True

    def timer(self) -> float:
        """Seconds of logged time since the first request."""
        return self._now

    def spend(self, seconds: float) -> None:
        """A computation takes no logged time: what it is said to cost is accounted."""
