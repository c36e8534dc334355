"""What a lane's notifications say about its fault. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from routecache_exporters.demo.webhook import Notice
from routecache_exporters.pack.config import PREFIX
from routecache_exporters.pack.masks import allowed

SETTLE: Final = 20.0
"""Seconds after a fault's end in which Alertmanager may still be about to tell of it: the longest
`for` of a symptom and `group_wait`, as the demo has them."""

_TWINS: Final = ("LookupBudgetBurn", "LatencyBudgetBurn", "FreshnessBudgetBurn")


@dataclass(frozen=True, slots=True)
class Told:
    """One notification: an alert without its prefix, with the severity if it has a twin; when it
    came, and when its resolution did."""

    alert: str
    fired: float
    resolved: float | None

    @classmethod
    def of(cls, notice: Notice) -> "Told":
        """From the inbox."""
        return cls(
            alert_name(notice.name.removeprefix(PREFIX), notice.severity),
            notice.fired,
            notice.resolved,
        )


def alert_name(name: str, severity: str) -> str:
    """How a row is called: the alert, and its severity where two alerts have the name."""
    return f"{name} ({severity})" if name in _TWINS else name


def without_severity(name: str) -> str:
    """The alert of a row."""
    return name.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Times:
    """When a fault began and ended, in the inbox's seconds."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a fault was told.

    fired: by alert, seconds from the fault's begin to its first notification.
    resolved: by alert, seconds from the fault's end to its last resolution; negative if it was
        over before.
    problems: what is not as it should be, in words; none if the alert is proved.
    """

    fired: Mapping[str, float]
    resolved: Mapping[str, float]
    problems: Sequence[str] = field(default=())

    @property
    def proved(self) -> bool:
        """Whether all is as it should be."""
        return not self.problems


def judge(expected: Iterable[str], told: Iterable[Told], times: Times) -> Verdict:
    """Hold a lane's notifications against its fault.

    Args:
        expected: the alerts that the fault is for.
        told: what the lane notified, from its start to the end of the recovery.
        times: of the fault.
    """
    wanted = list(expected)
    may = frozenset[str]().union(*(allowed(without_severity(name)) for name in wanted))
    fired: dict[str, float] = {}
    resolved: dict[str, float] = {}
    problems: list[str] = []
    for one in told:
        fired.setdefault(one.alert, round(one.fired - times.began, 1))
        if one.resolved is None:
            problems.append(f"{one.alert} did not resolve")
        else:
            after = round(one.resolved - times.ended, 1)
            resolved[one.alert] = max(after, resolved.get(one.alert, after))
        if one.fired < times.began:
            problems.append(f"{one.alert} was told before the fault")
    first_late = times.ended + SETTLE - times.began
    problems += [f"{name} was not told" for name in wanted if name not in fired]
    for name, after in fired.items():
        if without_severity(name) not in may:
            problems.append(f"{name} was told, and no mask allows it")
        if after > first_late:
            problems.append(
                f"{name} was told first {after - first_late + SETTLE:.0f} s after the end"
            )
    return Verdict(fired, resolved, tuple(problems))


def silent(told: Iterable[Told]) -> list[str]:
    """What is wrong about a lane that should have told nothing."""
    return [f"{one.alert} was told" for one in told]
