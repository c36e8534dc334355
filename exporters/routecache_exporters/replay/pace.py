"""When to ask the next request: at the logged arrival times, faster, or at once."""

import threading
import time

from routecache.typing import Timer


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
        self._stop = stop
        self._timer = timer
        self._offset: float | None = None

    def wait(self, at: float | None) -> bool:
        """Wait for the request that arrived at `at` (logged seconds); False once stopped.

        Rows out of order are asked at once.
        """
        if self.speed is None or at is None:
            return not self._stop.is_set()
        now, logged = self._timer(), at / self.speed
        if self._offset is None:
            self._offset = now - logged
        early = self._offset + logged - now
        if early > 0:
            return not self._stop.wait(early)
        self.behind = max(self.behind, -early)
        return not self._stop.is_set()

    def spend(self, seconds: float) -> None:
        """Let `seconds` of work pass, or fewer when stopped."""
        if seconds > 0:
            self._stop.wait(seconds)
