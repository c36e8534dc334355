"""So many calls a second, evenly: each call is given its place in time when it asks for it."""

from routecache import forking
from routecache.typing import Timer


class Spacing:
    """Places `1 / rate` seconds apart; None for places without a distance. Safe for threads.

    A place that is not used when its time comes is lost: after a pause calls do not come in a
    burst, which is what providers limit.
    """

    def __init__(self, rate: float | None, timer: Timer) -> None:
        self._gap = 0.0 if rate is None else 1.0 / rate
        self._timer = timer
        self._next = float("-inf")
        self._lock = forking.RenewedLock()

    def take(self) -> float:
        """Take the next place; returns the seconds until it comes."""
        with self._lock:
            now = self._timer()
            at = max(now, self._next)
            self._next = at + self._gap
            return at - now
