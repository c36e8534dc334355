"""What has to be quiet: lanes that nothing is wrong with, and the control that ends each watch.

A lane that tells nothing may be well, or nobody may hear it. So each trial ends with a fault in the
very lane that was silent, watched by the very programs that watched it: it has to be told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from bench.faults import acts
from bench.faults.lane import Lane, Plan
from bench.faults.table import FAULTS, Act


@dataclass(frozen=True, slots=True)
class Trial:
    """One lane that has to be quiet.

    what: goes on in it, in words.
    control: the fault at the end, in words.
    alert: that has to tell of the control.
    inject: puts the control into the lane; it is not undone, the watch is over.
    plan: of the lane.
    busy: what is done in it again and again, if anything is.
    every: seconds between two of those.
    """

    what: str
    control: str
    alert: str
    inject: Act
    plan: Plan = Plan()  # noqa: RUF009  # frozen
    busy: Act | None = None
    every: float = 60.0


def _roll_out(lane: Lane, plan: Plan | None = None) -> None:
    """Restart its routers one after the other, each once the one before is asked again."""
    for router in lane.routers:
        router.restart(plan)


_FLEET: Final = Plan(routers=3, habits={"keys": 60, "writes": 0.02})
"""What is rolled out: three routers, so that one that restarts is a third of them."""

_BAD_RELEASE: Final = replace(_FLEET, cache={"l1_maxsize": 5})


def _roll_out_bad(lane: Lane) -> None:
    _roll_out(lane, _BAD_RELEASE)


TRIALS: Final[Mapping[str, Trial]] = MappingProxyType({
    "healthy": Trial(
        "two routers ask, load, write and expire", FAULTS["redis_stop"].what, "L2Down",
        acts.stop_redis, plan=Plan(habits={"writes": 0.02}),
    ),
    "rollout": Trial(
        "three routers are restarted one after the other, once a minute, under traffic",
        "a release whose L1 holds 5 of 60 keys is rolled out", "L1Thrashing", _roll_out_bad,
        plan=_FLEET, busy=_roll_out,
    ),
})  # fmt: skip
"""By name; they may run side by side."""
