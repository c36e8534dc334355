"""What the Redis server's clock says, bounded from both sides.

A TIME command sent at `sent` and answered at `received` was executed in between, so the offset of
the server's clock against our monotonic clock lies between `server - received` and
`server - sent`. A writer stamps with the lower bound and a reader compares with the upper one:
what is uncertain makes an entry older, never younger.
"""

import time


class ServerClock:
    """The server's time in microseconds, learnt from TIME. Safe for threads."""

    # Quartz drifts by up to 100 ppm and NTP slews by up to 500: in 30 s at most 15 ms.
    MAX_AGE = 30.0

    def __init__(self) -> None:
        # Assigned in one step; a step lost between two threads leaves older bounds, still valid.
        self._offsets: tuple[float, float] | None = None
        self._learnt_at = float("-inf")

    @property
    def known(self) -> bool:
        """Whether the server's time was ever learnt."""
        return self._offsets is not None

    def due(self, now: float) -> bool:
        """Whether the offset is old enough to be learnt anew; `now` is monotonic seconds."""
        return now - self._learnt_at > self.MAX_AGE

    def learn(self, sent: float, received: float, server_us: int) -> None:
        """Take in a reply to TIME; `sent` and `received` are monotonic seconds around it."""
        server = server_us / 1e6
        self._offsets = (server - received, server - sent)
        self._learnt_at = received

    def told(self, sent: float, received: float, reply: tuple[bytes, bytes]) -> None:
        """Take in the reply to TIME as Redis gives it."""
        self.learn(sent, received, int(reply[0]) * 1_000_000 + int(reply[1]))

    def at_least(self, received: float, server_us: int) -> None:
        """The server's clock had reached `server_us` before `received` (monotonic seconds)."""
        offsets = self._offsets
        if offsets is not None:
            low = max(offsets[0], server_us / 1e6 - received)
            self._offsets = (low, max(low, offsets[1]))

    def earliest(self) -> int:
        """The earliest that the server's time can be now, in microseconds."""
        return self._now(0)

    def latest(self) -> int:
        """The latest that the server's time can be now, in microseconds."""
        return self._now(1)

    def _now(self, bound: int) -> int:
        if self._offsets is None:
            raise LookupError("the server's time is not known before the first connection")
        return int((time.monotonic() + self._offsets[bound]) * 1e6)
