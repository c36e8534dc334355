"""A game day: a fault that nobody is told of, to be found from the dashboards.

python -m bench.faults.blind [--seed N] [--minutes N]
"""

import argparse
import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console

from bench.faults.lane import Plan
from bench.faults.stack import fleets
from bench.faults.table import FAULTS, Fault
from bench.faults.verdict import Told

ILL, WELL = "prod", "staging"
_HEALTHY = 60.0  # seconds before the fault


def chosen(seed: int | None) -> str:
    """One of the faults that concern a single fleet, at random; the same for the same `seed`."""
    names = sorted(name for name, fault in FAULTS.items() if not fault.alone)
    return random.Random(seed).choice(names)


def unseen(told: Mapping[str, Sequence[Told]], seen: set[tuple[str, str]]) -> Iterator[str]:
    """A line for each alert of each fleet that was not in `seen`, where it is from now on."""
    for fleet, alerts in told.items():
        for one in alerts:
            if (fleet, one.alert) not in seen:
                seen.add((fleet, one.alert))
                yield f"notified: {one.alert} of {fleet or 'no fleet'}"


def run(fault: Fault, seconds: float, ended: threading.Event, say: Callable[[str], None]) -> None:
    """Have one of two fleets ill for `seconds`, or until `ended`.

    say: is told what anybody would see.

    Raises:
        UsageError, StartError, RouterError: it cannot be run.
    """
    with fleets({ILL: fault.plan, WELL: Plan()}) as (lanes, stack):
        say(f"Prometheus at {stack.url}; in a minute or so {ILL} or {WELL} may fall ill")
        if ended.wait(_HEALTHY):
            return
        fault.inject(lanes[ILL])
        until, seen = time.monotonic() + seconds, set[tuple[str, str]]()
        while time.monotonic() < until and not ended.wait(0.2):
            for line in unseen(stack.told(), seen):
                say(line)
        fault.end(lanes[ILL])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a game day until its time is up or Ctrl-C, and say then which fault it was."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults.blind", description="A fault to be found from the dashboards."
    )
    parser.add_argument("--seed", type=int, help="which fault (another one each time)")
    parser.add_argument("--minutes", type=float, default=5.0, help="that it lasts (5)")
    options = parser.parse_args(argv)
    console, ended = Console(highlight=False, soft_wrap=True), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    name = chosen(options.seed)

    def say(text: str) -> None:
        console.print(f"{time.strftime('%H:%M:%S')}  {text}")

    run(FAULTS[name], options.minutes * 60, ended, say)
    say(f"it was {name}: {FAULTS[name].what}")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
