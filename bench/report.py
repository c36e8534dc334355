"""What every benchmark prints: tables, goals and failures, for people or as JSON."""

import argparse
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from bench.interleave import Result

Cell: TypeAlias = str | int | float
Row: TypeAlias = Sequence[Cell]


class Column(NamedTuple):
    """A column's heading and the format of its cells."""

    name: str
    spec: str = ""


class Table(NamedTuple):
    """A titled table; a row has one cell for each column."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]


class Goal(NamedTuple):
    """A figure that has to stay on one side of a limit."""

    text: str
    measured: float
    limit: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it did."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "MISSED"
        return f"goal: {self.text} {sign} {self.limit:g}: measured {self.measured:.3g}, {verdict}"


class _Machine:
    """What processes other than this one take of the machine's CPUs, where Linux tells."""

    def __init__(self) -> None:
        self._start = self._read()

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        try:
            cpu = Path("/proc/stat").read_text().splitlines()[0].split()
        except OSError:
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, cpu[1:9])
        busy = user + nice + system + irq + softirq + steal
        mine = sum(os.times()[:2]) * os.sysconf("SC_CLK_TCK")
        return busy, busy + idle + iowait, mine

    def others(self) -> float | None:
        """Their share of all CPUs since this object was made; None if it cannot be known."""
        now = self._read()
        if self._start is None or now is None:
            return None
        busy, total, mine = (b - a for a, b in zip(self._start, now, strict=True))
        return max(0.0, busy - mine) / total if total else None


class Options(argparse.Namespace):
    """The options that every benchmark has."""

    quick: bool
    json: bool
    check: bool
    collect: bool

    def seconds(self, share: float) -> float:
        """How long a part may take that takes `share` seconds of a whole run."""
        return share / 15 if self.quick else share


def parse(description: str | None, argv: Sequence[str] | None) -> Options:
    """Read the command line; `description` is the benchmark's docstring."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a rough run of a few seconds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument(
        "--collect", action="store_true", help="leave the garbage collector on while timing"
    )
    return parser.parse_args(argv, Options())


class Report:
    """Collects what a benchmark found out and prints it at the end."""

    def __init__(self, benchmark: str, options: Options) -> None:
        self._benchmark = benchmark
        self._options = options
        self._tables: list[Table] = []
        self._goals: list[Goal] = []
        self._notes: list[str] = []
        self._failures: list[str] = []
        self._machine = _Machine()

    def table(self, title: str, columns: Sequence[Column], rows: Iterable[Row]) -> None:
        """Add a table."""
        self._tables.append(Table(title, columns, list(rows)))

    def results(self, title: str, results: Sequence[Result], unit: str = "ns") -> None:
        """Add a table of what `interleave.compete` measured; `unit` is ns or µs."""
        scale = {"ns": 1e9, "µs": 1e6}[unit]
        columns = [
            Column("contestant"),
            *(Column(f"{unit} {part}", ".1f") for part in ("p10", "median", "p90")),
            *(Column(f"ratio {part}", ".3g") for part in ("p10", "median", "p90")),
        ]
        rows: list[Row] = [(r.name, *(s * scale for s in r.seconds), *r.ratio) for r in results]
        self.table(f"{title} ({results[0].rounds} rounds)", columns, rows)

    def goal(self, text: str, measured: float, limit: float, *, at_least: bool = False) -> None:
        """Add a goal; without `at_least` the figure must not exceed `limit`."""
        self._goals.append(Goal(text, measured, limit, at_least))

    def note(self, text: str) -> None:
        """Add a line for the reader; an empty one is left out."""
        if text:
            self._notes.append(text)

    def must(self, holds: bool, otherwise: str) -> None:
        """Fail the run, and say `otherwise`, unless what must hold does."""
        if not holds:
            self._failures.append(otherwise)

    def finish(self) -> int:
        """Print everything; the exit code is 1 for a failure, with `--check` for a missed goal."""
        others = self._machine.others()
        if others is not None:
            self.note(f"other processes used {others:.0%} of the machine's CPUs meanwhile")
        if self._options.json:
            self._print_json()
        else:
            for table in self._tables:
                _print_table(table)
            for line in [*self._notes, *map(str, self._goals)]:
                print(line)
        for failure in self._failures:
            print(f"FAILED: {failure}", file=sys.stderr)
        missed = self._options.check and not all(goal.met for goal in self._goals)
        return 1 if self._failures or missed else 0

    def _print_json(self) -> None:
        document = {
            "benchmark": self._benchmark,
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "cpus": os.cpu_count(),
            "quick": self._options.quick,
            "tables": [
                {
                    "title": table.title,
                    "rows": [
                        dict(zip((column.name for column in table.columns), row, strict=True))
                        for row in table.rows
                    ],
                }
                for table in self._tables
            ],
            "goals": [goal._asdict() | {"met": goal.met} for goal in self._goals],
            "notes": self._notes,
            "failures": self._failures,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))


def _print_table(table: Table) -> None:
    heads = [column.name for column in table.columns]
    rows = [
        [format(cell, column.spec) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    left = [
        not any(isinstance(row[i], int | float) for row in table.rows) for i in range(len(heads))
    ]
    if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
        _print_rich(table.title, heads, rows, left)
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    print(table.title)
    for row in [heads, *rows]:
        cells = [
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        ]
        print("  " + "  ".join(cells).rstrip())
    print()


def _print_rich(title: str, heads: list[str], rows: list[list[str]], left: list[bool]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    table = RichTable(title=title, title_justify="left")
    for head, is_left in zip(heads, left, strict=True):
        table.add_column(head, justify="left" if is_left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
