"""When which provider is probed, and what an answer means; without I/O."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from routecache.errors import ConfigurationError
from routecache.policy import check_ttl
from routecache.typing import Timer


@dataclass(frozen=True, slots=True)
class MonitorPolicy:
    """How often providers are probed, and how long that may take. Immutable.

    interval: seconds from the begin of a provider's probe to that of its next.
    jitter: share (0 to below 1); each interval is shortened by up to this share, so that the
        processes of a fleet do not probe in step.
    timeout: seconds after which a probe that has not answered counts as unhealthy.
    max_in_flight: probes that run at a time, those that do not end included.

    Raises ConfigurationError, a ValueError, naming the field that is out of range.
    """

    interval: float = 10.0
    jitter: float = 0.1
    timeout: float = 5.0
    max_in_flight: int = 8

    def __post_init__(self) -> None:
        check_ttl(self.interval, "interval")
        check_ttl(self.timeout, "timeout")
        jitter: object = self.jitter
        most: object = self.max_in_flight
        if isinstance(jitter, bool) or not isinstance(jitter, int | float) or not 0 <= jitter < 1:
            raise ConfigurationError(f"jitter={jitter!r}: give a share from 0 to below 1")
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ConfigurationError(f"max_in_flight={most!r}: give a number of at least 1")


@dataclass(slots=True, eq=False)
class Run:
    """One probe under way. `told`: it took too long, which was reported."""

    provider: str
    deadline: float
    told: bool = False


class Rounds:
    """Which providers are due, and which probes are under way. Not safe for threads.

    A provider is probed once at a time. A probe that does not end keeps its place among those in
    flight, and its provider is reported again at each interval.
    """

    def __init__(
        self,
        providers: Iterable[str],
        policy: MonitorPolicy,
        timer: Timer,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._timer = timer
        self._draw = draw
        self._due = dict.fromkeys(providers, timer())
        self._running: dict[str, Run] = {}

    def begin(self) -> list[Run]:
        """The probes to start now, those that are due longest first."""
        now, runs = self._timer(), []
        for provider, due in sorted(self._due.items(), key=lambda item: item[1]):
            if due > now or len(self._running) >= self._policy.max_in_flight:
                break
            if provider not in self._running:
                self._due[provider] = self._next(now)
                run = self._running[provider] = Run(provider, now + self._policy.timeout)
                runs.append(run)
        return runs

    def late(self) -> list[Run]:
        """The probes under way to report as timed out now."""
        now, late = self._timer(), []
        for provider, run in self._running.items():
            if (now >= self._due[provider]) if run.told else (now >= run.deadline):
                if run.told:
                    self._due[provider] = self._next(now)
                run.told = True
                late.append(run)
        return late

    def end(self, run: Run) -> bool:
        """The probe has ended; whether its answer counts."""
        if self._running.get(run.provider) is not run:
            return False
        del self._running[run.provider]
        return not run.told

    def forget(self) -> None:
        """No answer of a probe under way counts any more, and all providers are due."""
        self._running.clear()
        self._due = dict.fromkeys(self._due, self._timer())

    def wait(self) -> float:
        """Seconds until there is something to do, unless a probe ends before."""
        now = self._timer()
        full = len(self._running) >= self._policy.max_in_flight
        times = [run.deadline for run in self._running.values() if not run.told]
        for provider, due in self._due.items():
            run = self._running.get(provider)
            if (run is None and not full) or (run is not None and run.told):
                times.append(due)
        return max(0.0, min(times, default=now + self._policy.interval) - now)

    def _next(self, now: float) -> float:
        return now + self._policy.interval * (1 - self._policy.jitter * self._draw())


def verdict(answer: object) -> tuple[bool, str]:
    """Whether a probe that gave or raised `answer` found its provider healthy, and why not."""
    if answer is True:
        return True, ""
    if answer is False:
        return False, "unhealthy"
    # The text of an exception may hold keys or secrets; its type does not.
    kind = type(answer).__name__
    return False, kind if isinstance(answer, BaseException) else f"answered {kind}"


TIMED_OUT = "timeout"
