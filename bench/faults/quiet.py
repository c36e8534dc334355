"""The command: watches what nothing is wrong with, and tells whether anybody was notified.

python -m bench.faults.quiet [healthy] [rollout] [--minutes N] [--write]
"""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console

from bench.faults import silence
from bench.faults.lane import Lane, Plan
from bench.faults.stack import Stack, fleets
from bench.faults.trials import TRIALS, Trial
from bench.faults.verdict import without_severity
from bench.faults.wave import IDLE_LANE
from routecache_exporters.pack.config import PREFIX
from tests.monitoring.live import Prometheus

_SILENT = f"{PREFIX}Watchdog|{PREFIX}RecentCause"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long it takes; all in seconds.

    watched: that a trial has to be quiet for.
    patience: that its control has to be told within.
    """

    watched: float = 1800.0
    patience: float = 60.0


def run(
    trials: Mapping[str, Trial], pace: Pace, say: Callable[[str], None]
) -> dict[str, silence.Watched]:
    """Watch the trials' lanes and an idle one side by side, then put in the controls.

    say: is told what goes on.

    Raises:
        UsageError, StartError, RouterError: it cannot be run.
    """
    plans = {name: trial.plan for name, trial in trials.items()}
    plans[IDLE_LANE] = Plan(habits={"rate": 0.0})
    with (
        fleets(plans) as (lanes, stack),
        ThreadPoolExecutor(len(plans)) as pool,
        ExitStack() as ending,
    ):
        say(f"{len(lanes)} lanes, Prometheus at {stack.url}")
        until = time.monotonic() + pace.watched
        stopped = threading.Event()
        # Before the pool waits for its threads: whoever ends this waits for no roll-out to come.
        ending.callback(stopped.set)
        works = {
            name: pool.submit(_keep_busy, trial, lanes[name], until, stopped)
            for name, trial in trials.items()
        }
        times = {name: work.result() for name, work in works.items()}
        time.sleep(max(0.0, until - time.monotonic()))
        told = stack.told()
        counts = _Counts(Prometheus(stack.url.removeprefix("http://")), pace.watched)
        noise = [one.alert for name in told if name not in trials for one in told[name]]
        say("watched; the controls begin")
        began = time.monotonic()
        list(pool.map(lambda name: trials[name].inject(lanes[name]), trials))
        heard = {name: _heard(stack, name, trial, began, pace) for name, trial in trials.items()}
    return {
        name: silence.Watched(
            seconds=pace.watched,
            told=tuple(one.alert for one in told.get(name, ())),
            noise=tuple(noise),
            held=counts.firing(name),
            lookups=counts.lookups(name),
            unevaluated=counts.failures,
            times=times[name],
            heard=heard[name],
        )
        for name in trials
    }


def _keep_busy(trial: Trial, lane: Lane, until: float, stopped: threading.Event) -> int:
    """Do what the trial's lane is busy with, until then; how often it was done."""
    done = 0
    due = time.monotonic() + trial.every
    # The last one is over before the end: what it leaves behind is watched, too.
    while trial.busy is not None and due + trial.every / 2 <= until:
        if stopped.wait(max(0.0, due - time.monotonic())):
            break
        trial.busy(lane)
        done += 1
        due += trial.every
    return done


def _heard(stack: Stack, name: str, trial: Trial, began: float, pace: Pace) -> float | None:
    """Seconds from the control to its notification; None: it was not told in time."""
    while True:
        for one in stack.told().get(name, ()):
            if without_severity(one.alert) == trial.alert and one.fired >= began:
                return round(one.fired - began, 1)
        if time.monotonic() > began + pace.patience:
            return None
        time.sleep(0.5)


class _Counts:
    """What Prometheus saw of the watch, asked at its end."""

    def __init__(self, prometheus: Prometheus, seconds: float) -> None:
        span = f"[{int(seconds)}s]"
        self._lookups = prometheus.value(
            f"sum by (namespace) (increase(routecache_requests_total{span}))"
        )
        self._firing = prometheus.value(
            "count by (namespace, alertname) (count_over_time(ALERTS{"
            f'alertstate="firing", alertname!~"{_SILENT}"}}{span}))'
        )
        failures = prometheus.value("sum(prometheus_rule_evaluation_failures_total)")
        # No answer is no proof that all rules were evaluated.
        self.failures = int(sum(failures.values())) if failures else -1

    def lookups(self, lane: str) -> int:
        """Asked in the lane."""
        return round(self._lookups.get((lane,), 0.0))

    def firing(self, lane: str) -> tuple[str, ...]:
        """Alerts of the lane that fired, whether or not anybody was notified."""
        return tuple(
            sorted(
                next(label for label in labels if label != lane).removeprefix(PREFIX)
                for labels in self._firing
                if lane in labels
            )
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials, side by side. 1 if one was not quiet, or its control was not told."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults.quiet",
        description="Prove that nobody is told of nothing.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(TRIALS)}; all unless given"
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="that each is watched (30)")
    parser.add_argument("--write", action="store_true", help=f"write it to {silence.DATA}")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - TRIALS.keys():
        parser.error(f"no trial is called {', '.join(sorted(unknown))}")
    console = Console(highlight=False, soft_wrap=True)
    begun = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - begun:5.0f} s  {text}")

    chosen = {name: TRIALS[name] for name in options.names or TRIALS}
    seen = run(chosen, Pace(options.minutes * 60), say)
    for name, watched in seen.items():
        problems = silence.problems(watched)
        console.print(
            f"{name}: {watched.lookups} look-ups in {watched.seconds:.0f} s, notified: "
            f"{', '.join(watched.told) or 'nothing'}; the control: "
            f"{'not told' if watched.heard is None else f'told after {watched.heard:.0f} s'}"
        )
        for text in problems:
            console.print(f"{name}: {text}", style="bold red")
    if options.write:
        silence.merge(seen)
    return 1 if any(silence.problems(watched) for watched in seen.values()) else 0


if __name__ == "__main__":
    # Ended in order by whoever ends it, so that no process stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
