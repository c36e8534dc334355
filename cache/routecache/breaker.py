"""A circuit breaker for one L2 endpoint, shared by its managers, sync and asyncio alike.

Closed lets every call through. It opens after `threshold` failures in a row, or when at least
half of the last `window` calls failed, so that an endpoint that loses every second call opens it
too. Open refuses at the price of one clock read until a jittered reset time has passed; then half
open lets exactly one call through as the probe, whose outcome closes the circuit or opens it again
for longer, up to `max_reset`. A probe whose outcome never comes (its thread died) frees its place
after `max_reset`.

Source of the states: Nygard, "Release It!", 2nd edition, 2018, "Circuit Breaker".
"""

import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

from routecache import forking
from routecache.typing import Timer

State: TypeAlias = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """Decides whether a call to L2 is worth its time-out. Times are seconds of `timer`.

    `on_change` is told when the circuit opens after having been closed, and when it closes again;
    `on_enter` is told every state that it enters, probing included. Neither must block. Safe for
    threads and tasks: no call blocks. A forked child starts closed.
    """

    def __init__(
        self,
        timer: Timer,
        *,
        threshold: int = 5,
        window: int = 20,
        reset: float = 0.5,
        max_reset: float = 5.0,
        on_change: Callable[[State], None] | None = None,
        on_enter: Callable[[State], None] | None = None,
    ) -> None:
        self._timer = timer
        self._threshold = threshold
        self._window = window
        self._reset = reset
        self._max_reset = max_reset
        self._on_change = on_change
        self._on_enter = on_enter
        self._lock = threading.RLock()
        self._state: State
        self._start()
        forking.reset_in_child(self)

    def _start(self) -> None:
        self._state = "closed"
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=self._window)
        self._reopened = 0
        self._retry_at = 0.0

    @property
    def state(self) -> State:
        """closed, open or half_open; an open circuit whose reset time has passed is still open
        until a call comes to probe."""
        return self._state

    def allow(self) -> bool:
        """Whether a call may go to L2 now. A caller that got True owes `succeeded` or `failed`."""
        if self._state == "closed":
            return True
        now = self._timer()
        if now < self._retry_at:
            return False
        with self._lock:
            if self.state == "closed":
                return True
            if now < self._retry_at:
                return False  # another caller probes
            self._enter("half_open")
            self._retry_at = now + self._max_reset
            return True

    def succeeded(self) -> None:
        """A call that `allow` let through was answered."""
        if self._state == "closed" and not self._recent:
            return  # nothing failed lately: the common case takes no lock
        with self._lock:
            if self._state == "closed":
                self._in_a_row = 0
                self._recent.append(True)
                if all(self._recent):
                    self._recent.clear()
            else:
                self._start()
                self._enter("closed")
                self._changed()

    def failed(self) -> None:
        """A call that `allow` let through failed or timed out."""
        with self._lock:
            if self._state == "half_open":
                self._open()
            elif self._state == "closed":
                self._in_a_row += 1
                self._recent.append(False)
                failures = self._recent.count(False)
                if self._in_a_row >= self._threshold or (
                    len(self._recent) == self._window and 2 * failures >= self._window
                ):
                    self._open()

    def abandoned(self) -> None:
        """A call that `allow` let through ended without telling anything of L2.

        If it was the probe, the next call probes.
        """
        with self._lock:
            if self._state == "half_open":
                self._enter("open")
                self._retry_at = self._timer()

    def _open(self) -> None:
        wait = min(self._reset * 2**self._reopened, self._max_reset)
        self._reopened = min(self._reopened + 1, 16)
        self._enter("open")
        # Jitter only shortens: the reset time promised is an upper bound, and the replicas of a
        # fleet do not probe a recovering server in step.
        self._retry_at = self._timer() + wait * random.uniform(0.5, 1.0)
        if self._reopened == 1:
            self._changed()

    def _enter(self, state: State) -> None:
        self._state = state
        if self._on_enter is not None:
            self._on_enter(state)

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self._state)

    def reset_after_fork(self) -> None:
        """Start closed in a forked child."""
        self._lock = threading.RLock()
        self._start()
