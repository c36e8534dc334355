"""The command: puts faults into lanes and tells which alerts told of them.

python -m bench.faults [NAME ...] [--lanes N] [--seconds WELL ILL AFTER] [--write] [--list]
"""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.faults import page
from bench.faults.table import FAULTS, Fault
from bench.faults.verdict import Verdict
from bench.faults.wave import Phases, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the faults, in waves. 1 if an alert is not proved, or a lane without a fault told one."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults", description="Prove the alerts by their faults."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a fault; all unless given")
    parser.add_argument("--lanes", type=int, default=6, help="with a fault, side by side (6)")
    parser.add_argument(
        "--seconds", nargs=3, type=float, default=(110, 80, 110),
        metavar=("WELL", "ILL", "AFTER"),
        help="that a lane is well, ill, and at least watched afterwards (110 80 110)",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write what was seen to {page.DATA}")
    parser.add_argument("--list", action="store_true", help="list the faults")
    options = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    if options.list:
        console.print(_listed())
        return 0
    if unknown := set(options.names) - FAULTS.keys():
        parser.error(f"no fault is called {', '.join(sorted(unknown))}: see --list")
    chosen = {name: FAULTS[name] for name in options.names or FAULTS}
    begun = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - begun:5.0f} s  {text}")

    well, phases = True, Phases(*options.seconds)
    for wave in _waves(chosen, options.lanes):
        result = run(wave, phases, say)
        console.print(_summary(wave, result.verdicts))
        for name, verdict in result.verdicts.items():
            for text in verdict.problems:
                console.print(f"{name}: {text}", style="red")
        for text in result.noise:
            console.print(f"lane without a fault: {text}", style="bold red")
        well = well and not result.noise and all(v.proved for v in result.verdicts.values())
        if options.write:
            page.merge(result, phases)
    return 0 if well else 1


def _waves(faults: Mapping[str, Fault], lanes: int) -> Iterator[dict[str, Fault]]:
    together = [name for name, fault in faults.items() if not fault.alone]
    for start in range(0, len(together), lanes):
        yield {name: faults[name] for name in together[start : start + lanes]}
    for name, fault in faults.items():
        if fault.alone:
            yield {name: fault}


def _listed() -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("fault", "what happens", "alerts"):
        table.add_column(heading)
    for name, fault in FAULTS.items():
        table.add_row(name, fault.what, ", ".join(fault.alerts))
    return table


def _summary(faults: Mapping[str, Fault], verdicts: Mapping[str, Verdict]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("fault", "alert", "told after", "resolved after", ""):
        table.add_column(heading, justify="right" if "after" in heading else "left")
    for name, verdict in verdicts.items():
        fault = faults[name]
        mark = "[green]proved[/]" if verdict.proved else "[bold red]not proved[/]"
        for alert in [*fault.alerts, *(a for a in verdict.fired if a not in fault.alerts)]:
            fired, resolved = verdict.fired.get(alert), verdict.resolved.get(alert)
            own = alert in fault.alerts
            table.add_row(
                name if own else "",
                alert if own else f"[dim]{alert}[/]",
                "never" if fired is None else f"{fired:.0f} s",
                "never" if resolved is None else f"{resolved:.0f} s",
                mark if own else "",
            )
    return table


if __name__ == "__main__":
    # Ended in order by whoever ends it, so that no process stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
