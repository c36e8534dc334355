"""`HealthBoard`: what is known of providers' health, and what has to be done about it.

A provider is unhealthy while the worst of its sources says so, or while it is held for flapping
(`damping.py`). The board decides and does nothing itself: who reports asks it for steps, and does
them outside of its lock.

A step is done by one caller at a time. When a provider fails, hundreds of requests learn of it in
the same instant, and all report it: the first drops what names the provider, the others are done
at once. A step that was interrupted is due again, and the next report of that provider does it.

To tell hooks of a drop or a restore is a step of its own, so that they hear of them in the order in
which they were done, and no drop waits for a slow hook.
"""

import time
from types import TracebackType
from typing import Any, Final, Literal, Self

from routecache import forking
from routecache.keys import check_text
from routecache.routing.damping import Penalty
from routecache.routing.health import HealthReport, Invalidation
from routecache.routing.health_policy import HealthPolicy
from routecache.routing.known import Due, Heard, Known, Told
from routecache.typing import MISS, Timer

# Of a provider pushed out the next bad report drops entries again.
MAX_PROVIDERS: Final = 10_000
_MAX_REASON: Final = 200  # characters of a reason that are kept
_AT_A_TIME: Final = 100


class HealthBoard:
    """The health of providers as reported. Safe for threads.

    policy: what counts, and for how long.
    timer: a monotonic clock in seconds.
    """

    def __init__(self, policy: HealthPolicy | None = None, timer: Timer = time.monotonic) -> None:
        self.policy = HealthPolicy() if policy is None else policy
        self.timer = timer
        self._lock = forking.RenewedLock()
        self._known: dict[str, Known] = {}
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
            known = self._known.pop(provider, None) or Known(Penalty(self.policy, now))
            self._known[provider] = known
            if len(self._known) > MAX_PROVIDERS:
                del self._known[next(iter(self._known))]
            was_ill = known.ill(now)
            was_bad = was_ill or known.penalty.held(now)
            known.hear(source, Heard(report, now + self.policy.ttl_of(source)))
            ill = known.ill(now)
            if ill and not was_ill:
                self._turns += 1
                self._damped += was_bad
                known.penalty.turned(now)
            bad = ill or known.penalty.held(now)
            if not bad:
                known.due = "restore" if known.may_stand else None
            elif not was_bad:
                known.due = "drop"
            elif (
                known.due is None
                and self._stated
                and known.is_misstated(now, self.policy.status_ttl)
            ):
                known.due = "renew"

    def next_step(self, provider: str) -> "Step | None":
        """What to do now, if nobody does it already: to be entered, once done or not."""
        with self._lock:
            known = self._known.get(provider)
            if known is None:
                return None
            if known.doing is not None or known.due is None:
                if known.telling is not None or not known.untold:
                    return None
                known.telling = told = known.untold.pop(0)
                return Step(self, known, "tell", told=_news(told, provider))
            kind: Due = known.due
            known.doing = kind
            known.due = None
            ttl = 0.0
            if kind != "restore" and self._stated:
                now = self.timer()
                ttl = min(known.ends_in(now), self.policy.status_ttl)
                known.stated_at, known.stated_until = now, now + ttl
            status = self.policy.unhealthy_status if ttl > 0 else MISS
            return Step(self, known, kind, status, ttl)

    def done(self, step: "Step", *, whole: bool) -> None:
        """The step is over; one that is not done as a `whole` is due again."""
        with self._lock:
            known = step.known
            if step.kind == "tell":
                if whole:
                    known.telling = None
                else:
                    known.tell_again()
                return
            known.doing = None
            if step.kind == "drop":
                known.stands = True  # cut short, it may have stored its status all the same
            elif step.kind == "restore" and whole:
                known.stands = False
            if not whole:
                known.due = known.due or step.kind
            elif step.kind != "renew":
                known.has_to_tell(step.kind)

    def statuses_gone(self, *providers: str) -> None:
        """Statuses of `providers`, or of all, were forgotten: the next bad report stores them."""
        with self._lock:
            for provider in providers or self._known:
                if (known := self._known.get(provider)) is not None:
                    known.stated_until = 0.0

    def provider_health(self) -> dict[str, bool]:
        """Whether each provider is healthy that a source still tells of, or that is held."""
        return {provider: healthy for provider, (healthy, _) in self._verdicts().items()}

    def reports(self, provider: str) -> tuple[HealthReport, ...]:
        """What each source last said of `provider` that has not expired."""
        with self._lock:
            known = self._known.get(provider)
            if known is None:
                return ()
            known.ill(self.timer())
            return tuple(heard.report for heard in known.sources.values())

    def stats(self) -> dict[str, int]:
        """Counts: `providers` known, `unhealthy` and `held` now; `turns` from healthy to unhealthy
        and those of them that were `damped`, since the process began."""
        verdicts = self._verdicts().values()
        with self._lock:
            return {
                "providers": len(verdicts),
                "unhealthy": sum(not healthy for healthy, _ in verdicts),
                "held": sum(held for _, held in verdicts),
                "turns": self._turns,
                "damped": self._damped,
            }

    def _verdicts(self) -> dict[str, tuple[bool, bool]]:
        """Whether each provider is healthy, and whether it is held for flapping.

        Reports wait for a few providers of ten thousand at a time, not for all.
        """
        with self._lock:
            everything = list(self._known.items())
        verdicts = {}
        for start in range(0, len(everything), _AT_A_TIME):
            with self._lock:
                now = self.timer()
                for provider, known in everything[start : start + _AT_A_TIME]:
                    held = known.penalty.held(now)
                    ill = known.ill(now)
                    if held or known.sources:
                        verdicts[provider] = not (ill or held), held
        return verdicts

    def reset_after_fork(self) -> None:
        """Count from zero; what a thread of the parent was doing has to be done here."""
        self._turns = self._damped = 0
        for known in self._known.values():
            if known.doing is not None:
                known.due = known.due or known.doing
                known.doing = None
            known.tell_again()

    @property
    def _stated(self) -> bool:
        return self.policy.unhealthy_status is not MISS


class Step:
    """Something to do about a provider, as a context around doing it.

    kind: "drop" what names it, "restore" its status, "renew" the status that says unhealthy, or
        "tell" hooks of `told`.
    status: what to store as its status for `ttl` seconds; MISS is to forget it.
    """

    __slots__ = ("_board", "kind", "known", "status", "told", "ttl")

    def __init__(
        self,
        board: HealthBoard,
        known: Known,
        kind: Due | Literal["tell"],
        status: Any = MISS,
        ttl: float = 0.0,
        told: Invalidation | None = None,
    ) -> None:
        self._board = board
        self.known = known
        self.kind: Due | Literal["tell"] = kind
        self.status = status
        self.ttl = ttl
        self.told = told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._board.done(self, whole=kind is None)


def _news(kind: Told, provider: str) -> Invalidation:
    return Invalidation("all" if kind == "drop" else "provider", provider, "health")
