"""`HealthBoard`: what is known of providers' health, and what has to be done about it.

A provider is unhealthy while the worst of its sources says so, or while it is held for flapping
(`damping.py`). The board decides and does nothing itself: who reports asks it for steps, and does
them outside of its lock.

A step is done by one caller at a time. When a provider fails, hundreds of requests learn of it in
the same instant, and all report it: the first drops what names the provider, the others are done
at once. A step that was interrupted is due again, and the next report of that provider does it.
"""

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from routecache import forking
from routecache.keys import check_text
from routecache.routing.damping import Penalty
from routecache.routing.health import HealthReport, Invalidation
from routecache.routing.health_policy import HealthPolicy
from routecache.typing import MISS, Timer

# Of a provider pushed out the next bad report drops entries again.
MAX_PROVIDERS: Final = 10_000
MAX_SOURCES: Final = 16
"""Sources remembered per provider. Those that say healthy are pushed out first, then those that
would have fallen silent first."""

_MAX_REASON: Final = 200  # characters of a reason that are kept

# Seconds that a stored status may outlast what it tells of.
_SLACK: Final = 1.0
# Seconds from storing a status until it may be shortened. Where good and bad reports take turns,
# each ends what is told at another time, and all processes would hear of every one of them.
_PAUSE: Final = 30.0

Kind: TypeAlias = Literal["drop", "restore", "renew"]


@dataclass(slots=True)
class _Heard:
    report: HealthReport
    until: float


@dataclass(slots=True)
class _Known:
    """One provider.

    told: what names it was dropped, and its status not restored since.
    stated_at, stated_until: when its status that says unhealthy was stored last, and expires.
    """

    penalty: Penalty
    sources: dict[str, _Heard] = field(default_factory=dict[str, _Heard])
    due: Kind | None = None
    doing: Kind | None = None
    told: bool = False
    stated_at: float = 0.0
    stated_until: float = 0.0

    @property
    def may_be_told(self) -> bool:
        return self.doing == "drop" or (self.told and self.doing != "restore")


class HealthBoard:
    """The health of providers as reported. Safe for threads.

    policy: what counts, and for how long.
    timer: a monotonic clock in seconds.
    """

    def __init__(self, policy: HealthPolicy | None = None, timer: Timer = time.monotonic) -> None:
        self.policy = HealthPolicy() if policy is None else policy
        self.timer = timer
        self._lock = forking.RenewedLock()
        self._known: dict[str, _Known] = {}
        self._turns = self._damped = 0
        forking.reset_in_child(self)

    def report(self, provider: str, healthy: bool, source: str, reason: str) -> None:
        """Take in what `source` says of `provider`; `next_step` then tells what to do.

        Raises KeyTypeError for a provider or source that is no non-empty text.
        """
        check_text(provider, "a provider")
        check_text(source, "a source")
        report = HealthReport(bool(healthy), source, str(reason)[:_MAX_REASON])
        with self._lock:
            now = self.timer()
            # Last in the order in which providers are pushed out.
            known = self._known.pop(provider, None) or _Known(Penalty(self.policy, now))
            self._known[provider] = known
            if len(self._known) > MAX_PROVIDERS:
                del self._known[next(iter(self._known))]
            was_ill = _ill(known, now)
            was_bad = was_ill or known.penalty.held(now)
            _hear(known, source, _Heard(report, now + self.policy.ttl_of(source)))
            ill = _ill(known, now)
            if ill and not was_ill:
                self._turns += 1
                self._damped += was_bad
                known.penalty.turned(now)
            bad = ill or known.penalty.held(now)
            if not bad:
                known.due = "restore" if known.may_be_told else None
            elif not was_bad:
                known.due = "drop"
            elif known.due is None and self._stated and _is_misstated(known, now):
                known.due = "renew"

    def next_step(self, provider: str) -> "Step | None":
        """What to do now, if nobody does it already: to be entered, once done or not."""
        with self._lock:
            known = self._known.get(provider)
            if known is None or known.doing is not None or known.due is None:
                return None
            kind: Kind = known.due
            known.doing = kind
            known.due = None
            ttl = 0.0
            if kind != "restore" and self._stated:
                now = self.timer()
                ttl = _ends_in(known, now)
                known.stated_at, known.stated_until = now, now + ttl
            status = self.policy.unhealthy_status if ttl > 0 else MISS
            return Step(self, known, kind, status, ttl)

    def done(self, step: "Step", *, whole: bool) -> None:
        """The step is over; one that is not done as a `whole` is due again."""
        with self._lock:
            known = step.known
            known.doing = None
            if whole:
                if step.kind != "renew":
                    known.told = step.kind == "drop"
            elif known.due is None:
                known.due = step.kind

    def provider_health(self) -> dict[str, bool]:
        """Whether each provider is healthy that a source still tells of, or that is held."""
        with self._lock:
            now = self.timer()
            health = {}
            for provider, known in self._known.items():
                held = known.penalty.held(now)
                ill = _ill(known, now)
                if held or known.sources:
                    health[provider] = not (ill or held)
            return health

    def reports(self, provider: str) -> tuple[HealthReport, ...]:
        """What each source last said of `provider` that has not expired."""
        with self._lock:
            known = self._known.get(provider)
            if known is None:
                return ()
            _ill(known, self.timer())
            return tuple(heard.report for heard in known.sources.values())

    def stats(self) -> dict[str, int]:
        """Counts: `providers` known, `unhealthy` and `held` now; `turns` from healthy to unhealthy
        and those of them that were `damped`, since the process began."""
        health = self.provider_health()
        with self._lock:
            now = self.timer()
            held = sum(known.penalty.held(now) for known in self._known.values())
            return {
                "providers": len(health),
                "unhealthy": sum(not healthy for healthy in health.values()),
                "held": held,
                "turns": self._turns,
                "damped": self._damped,
            }

    def reset_after_fork(self) -> None:
        """Count from zero; what a thread of the parent was doing has to be done here."""
        self._turns = self._damped = 0
        for known in self._known.values():
            if known.doing is not None:
                known.due = known.due or known.doing
                known.doing = None

    @property
    def _stated(self) -> bool:
        return self.policy.unhealthy_status is not MISS


class Step:
    """Something to do about a provider, as a context around doing it.

    kind: "drop" what names it, "restore" its status, or "renew" the status that says unhealthy.
    status: what to store as its status for `ttl` seconds; MISS is to forget it.
    """

    __slots__ = ("_board", "kind", "known", "status", "ttl")

    def __init__(
        self, board: HealthBoard, known: _Known, kind: Kind, status: Any, ttl: float
    ) -> None:
        self._board = board
        self.known = known
        self.kind: Kind = kind
        self.status = status
        self.ttl = ttl

    def told_to_hooks(self, provider: str) -> Invalidation | None:
        """What hooks hear of it once it is done; of a renewal nothing."""
        match self.kind:
            case "drop":
                return Invalidation("all", provider, "health")
            case "restore":
                return Invalidation("provider", provider, "health")
            case "renew":
                return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._board.done(self, whole=kind is None)


def _ill(known: _Known, now: float) -> bool:
    """Whether a source says unhealthy; those that fell silent are forgotten."""
    for source in [s for s, heard in known.sources.items() if heard.until <= now]:
        del known.sources[source]
    return any(not heard.report.healthy for heard in known.sources.values())


def _ends_in(known: _Known, now: float) -> float:
    """Seconds until the provider is healthy again if nobody says anything more."""
    bad = [heard.until - now for heard in known.sources.values() if not heard.report.healthy]
    return max(*bad, known.penalty.ends_in(now), 0.0)


def _is_misstated(known: _Known, now: float) -> bool:
    """Whether its stored status expires in half of what it tells of, or outlasts it.

    What is stored for too short a time is renewed at once: nobody may report it again before it
    expires. So shortening alone has to wait, and there are at most two renewals in `_PAUSE`.
    """
    told, left = known.stated_until - now, _ends_in(known, now)
    if told > left + _SLACK:
        return now - known.stated_at >= _PAUSE
    return 2 * told <= left


def _hear(known: _Known, source: str, heard: _Heard) -> None:
    known.sources[source] = heard
    if len(known.sources) > MAX_SOURCES:
        others = (s for s in known.sources if s != source)
        del known.sources[
            min(others, key=lambda s: (not known.sources[s].report.healthy, known.sources[s].until))
        ]
