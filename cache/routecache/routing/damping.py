"""Flap damping: a provider that keeps turning is held unhealthy for a while."""

import math

from routecache.routing.health_policy import HealthPolicy


class Penalty:
    """One provider's figure of merit, after RFC 2439, section 4.

    Each turn adds 1; between turns it halves every `half_life`. Above `suppress_over` the provider
    is held until the penalty is below `reuse_under`. The ceiling bounds how long that takes.
    Not safe for threads: its owner locks.
    """

    __slots__ = ("_at", "_figure", "_held", "_policy")

    def __init__(self, policy: HealthPolicy, now: float) -> None:
        self._policy = policy
        self._figure = 0.0
        self._at = now
        self._held = False

    def turned(self, now: float) -> None:
        """Add one turn at `now`."""
        self._decay(now)
        self._figure = min(self._figure + 1.0, self._policy.ceiling)
        if self._figure > self._policy.suppress_over:
            self._held = True

    def held(self, now: float) -> bool:
        """Whether the provider is held unhealthy at `now`."""
        if self._held:
            self._decay(now)
            self._held = self._figure >= self._policy.reuse_under
        return self._held

    def ends_in(self, now: float) -> float:
        """Seconds until it is held no more, 0 if it is not held."""
        if not self.held(now):
            return 0.0
        return self._policy.half_life * math.log2(self._figure / self._policy.reuse_under)

    def _decay(self, now: float) -> None:
        elapsed = max(0.0, now - self._at)
        self._figure *= 2.0 ** (-elapsed / self._policy.half_life)
        self._at = now
