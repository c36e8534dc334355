"""A wave: lanes side by side, well, then each with its fault, then recovering; and the verdicts."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from bench.faults.lane import Lane, Plan
from bench.faults.stack import Stack, fleets
from bench.faults.table import Fault
from bench.faults.verdict import Times, Verdict, judge, silent

HEALTHY_LANE: Final = "healthy"
IDLE_LANE: Final = "idle"


@dataclass(frozen=True, slots=True)
class Phases:
    """How long a wave's lanes are well, ill, and recovering at least; all in seconds.

    patience: how much longer it may take until all is resolved.
    """

    healthy: float = 110.0
    fault: float = 80.0
    recovery: float = 110.0
    patience: float = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a wave saw.

    verdicts: by fault.
    noise: what is wrong about the lanes that had no fault, and notifications of no lane.
    """

    verdicts: Mapping[str, Verdict]
    noise: Sequence[str]


def run(faults: Mapping[str, Fault], phases: Phases, say: Callable[[str], None]) -> Result:
    """Run one wave.

    faults: by name; one that is `alone` must be the only one, and has no other lanes beside it.
    say: is told what goes on.

    Raises:
        UsageError, StartError, RouterError: it cannot be run.
    """
    plans = {name: fault.plan for name, fault in faults.items()}
    if not any(fault.alone for fault in faults.values()):
        plans |= {HEALTHY_LANE: Plan(), IDLE_LANE: Plan(habits={"rate": 0.0})}
    with fleets(plans) as (lanes, stack), ThreadPoolExecutor(len(plans)) as pool:
        say(f"{len(lanes)} lanes, Prometheus at {stack.url}")
        time.sleep(phases.healthy)
        say(f"faults begin: {', '.join(faults)}")
        began = dict(
            zip(faults, pool.map(_begin, faults.values(), _of(lanes, faults)), strict=True)
        )
        time.sleep(phases.fault)
        ended = dict(zip(faults, pool.map(_end, faults.values(), _of(lanes, faults)), strict=True))
        say("faults ended")
        time.sleep(phases.recovery)
        deadline = time.monotonic() + phases.patience
        while _unresolved(stack) and time.monotonic() < deadline:
            time.sleep(1.0)
        told = stack.told()
    verdicts = {
        name: judge(
            fault.alerts,
            told.pop("" if fault.alone else name, []),
            Times(began[name], ended[name]),
        )
        for name, fault in faults.items()
    }
    noise = [f"{lane or 'no lane'}: {text}" for lane in told for text in silent(told[lane])]
    return Result(verdicts, noise)


def _of(lanes: Mapping[str, Lane], faults: Iterable[str]) -> list[Lane]:
    return [lanes[name] for name in faults]


def _begin(fault: Fault, lane: Lane) -> float:
    now = time.monotonic()
    fault.inject(lane)
    return now


def _end(fault: Fault, lane: Lane) -> float:
    fault.end(lane)
    return time.monotonic()


def _unresolved(stack: Stack) -> bool:
    return any(one.resolved is None for lane in stack.told().values() for one in lane)
