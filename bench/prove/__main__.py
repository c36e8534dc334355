"""The command: runs proofs, shows their progress, and sums up.

python -m bench.prove [NAME ...] [--json FILE] [--check] [--seed N]
"""

import argparse
import contextlib
import json
import logging
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.prove import books, coherence, failover, health, outage, resurrection, stampede, storm
from bench.prove.findings import Figure, Findings

PROOFS: Final[dict[str, Callable[[Findings], None]]] = {
    "outage": outage.prove,
    "coherence": coherence.prove,
    "health": health.prove,
    "resurrection": resurrection.prove,
    "stampede": stampede.prove,
    "failover": failover.prove,
    "storm": storm.prove,
    "books": books.prove,
}
_STYLES: Final = {"kept": "green", "missed": "yellow", "BROKEN": "bold red"}


class Outcome(NamedTuple):
    """What one proof came to; `error` is the exception that ended it."""

    name: str
    seconds: float
    figures: Sequence[Figure]
    error: str

    @property
    def broken(self) -> bool:
        """Whether correctness is in question."""
        return bool(self.error) or any(figure.verdict == "BROKEN" for figure in self.figures)

    @property
    def missed(self) -> bool:
        """Whether a bound on time was missed."""
        return any(figure.verdict == "missed" for figure in self.figures)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proofs. 1 if a bound on correctness is broken, or with --check one on time."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.prove", description="Prove the engine's promises on real servers."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROOFS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--check", action="store_true", help="bounds on time fail the run, too")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    options = parser.parse_args(argv)
    names = options.names or list(PROOFS)
    if unknown := set(names) - PROOFS.keys():
        parser.error(
            f"no proof is called {', '.join(sorted(unknown))}: there are {', '.join(PROOFS)}"
        )
    console = Console(highlight=False)
    with _quiet():
        outcomes = [_run(console, name, options.seed) for name in names]
    console.print(_summary(outcomes))
    if options.json is not None:
        options.json.write_text(json.dumps(_plain(outcomes, options.seed), indent=1) + "\n")
    broken = any(outcome.broken for outcome in outcomes)
    missed = any(outcome.missed for outcome in outcomes)
    return int(broken or (options.check and missed))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No word of circuits, which open and close by the dozen."""
    logger = logging.getLogger("routecache")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _run(console: Console, name: str, seed: int) -> Outcome:
    proof = PROOFS[name]
    summary = (sys.modules[proof.__module__].__doc__ or "").partition("\n")[0]
    console.print(f"\n[bold]{name}[/]  {summary}")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    started, error = time.monotonic(), ""
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0)
        case = ""

        def show(figure: Figure) -> None:
            nonlocal case
            if figure.case != case:
                case = figure.case
                console.print(f"  [cyan]{case}[/]")
            bound = "" if figure.bound is None else f"  (bound {figure.bound})"
            style = _STYLES.get(figure.verdict, "dim")
            console.print(f"    {figure.what}: {figure}{bound}  [{style}]{figure.verdict}[/]")

        findings = Findings(
            seed, show, lambda share, what: progress.update(task, completed=share, description=what)
        )
        try:
            proof(findings)
        except Exception:
            error = traceback.format_exc()
            console.print(error, style="red", markup=False)
    return Outcome(name, time.monotonic() - started, findings.figures, error)


def _summary(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="\nFigures with a bound", title_justify="left", pad_edge=False, box=None)
    for heading in ("proof", "case", "figure", "seen", "bound", ""):
        table.add_column(heading, justify="right" if heading in {"seen", "bound"} else "left")
    for outcome in outcomes:
        for figure in outcome.figures:
            if figure.bound is not None:
                verdict = f"[{_STYLES[figure.verdict]}]{figure.verdict}[/]"
                row = (outcome.name, figure.case, figure.what, str(figure), str(figure.bound))
                table.add_row(*row, verdict)
        if outcome.error:
            table.add_row(outcome.name, "", "ended by an exception", "", "", "[bold red]BROKEN[/]")
    table.caption = " · ".join(f"{o.name} {o.seconds:.0f} s" for o in outcomes)
    table.caption_justify = "left"
    return table


def _plain(outcomes: Sequence[Outcome], seed: int) -> dict[str, object]:
    return {
        "seed": seed,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "proofs": [
            {
                "name": outcome.name,
                "seconds": round(outcome.seconds, 1),
                "error": outcome.error,
                "figures": [
                    {
                        "case": figure.case,
                        "what": figure.what,
                        "seen": figure.seen,
                        "unit": figure.unit,
                        "bound": None if figure.bound is None else str(figure.bound),
                        "timed": figure.bound is not None and figure.bound.timed,
                        "verdict": figure.verdict,
                    }
                    for figure in outcome.figures
                ],
            }
            for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    # Ended in order by whoever ends it, so that no server stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
