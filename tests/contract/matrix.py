"""Which contract tests there are for each promise, driver and L2: the table of docs/promises.md.

    python -m tests.contract.matrix            write the table anew
    python -m tests.contract.matrix --check    fail if it is out of date or a hole has no reason

Counted from what pytest collects, so that no table can promise a test that does not exist. A cell
without a test, and a test that does not run in every cell, need a row in the docs' table of
reasons; a row that nothing needs is an error too.
"""

import contextlib
import io
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contract.kinds import DRIVERS, KINDS

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "promises.md"
BEGIN, END = "<!-- made by `make matrix` -->", "<!-- end -->"
COLUMNS = {
    "fake": "fake",
    "redis": "Redis 7.0",
    "valkey": "Valkey",
    "sentinel": "Sentinel",
    "cluster": "Cluster",
}
TITLES = {
    1: "TTL",
    2: "Misses are misses",
    3: "An outage costs a bounded delay",
    4: "Recovery",
    5: "Coherence",
    6: "No resurrection",
    7: "One load per key",
    8: "Bounded",
    9: "Safe by default",
    10: "Shared Redis",
    11: "The books balance",
    12: "Versions",
}
Cell = tuple[str, str]
CELLS: tuple[Cell, ...] = tuple((driver, kind) for driver in DRIVERS for kind in KINDS)


@dataclass
class Matrix:
    """Tests by promise and cell, and the cells of each test function."""

    counts: dict[int, Counter[Cell]] = field(default_factory=lambda: defaultdict(Counter))
    cells: dict[str, set[Cell]] = field(default_factory=lambda: defaultdict(set))
    unmarked: set[str] = field(default_factory=set)

    def add(self, name: str, promises: Iterable[object], cell: Cell) -> None:
        """Enter one collected test."""
        numbers = set(promises)
        if not numbers or not numbers <= set(TITLES):
            self.unmarked.add(name)
        for number in numbers & set(TITLES):
            assert isinstance(number, int)
            self.counts[number][cell] += 1
        self.cells[name].add(cell)


class _Collected:
    """A pytest plugin that takes all items, before any is left out for want of a program."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.items = list(items)


def collect() -> Matrix:
    """The matrix of the tests in tests/contract/test_promise_*.py."""
    collected, said = _Collected(), io.StringIO()
    folder = str(Path(__file__).parent)
    with contextlib.redirect_stdout(said):
        code = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), folder],
            plugins=[collected],
        )
    if code is not pytest.ExitCode.OK:
        sys.exit(said.getvalue())
    matrix = Matrix()
    for item in collected.items:
        if item.path.name.startswith("test_promise_") and isinstance(item, pytest.Function):
            numbers = {n for mark in item.iter_markers("promise") for n in mark.args}
            params = item.callspec.params if hasattr(item, "callspec") else {}
            cell = str(params.get("driver", "")), str(params.get("kind", ""))
            matrix.add(item.originalname, numbers, cell)
    return matrix


def table(matrix: Matrix) -> str:
    """The matrix in Markdown."""
    names = [f"{driver}: {COLUMNS[kind]}" for driver, kind in CELLS]
    lines = ["| promise | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for number, title in TITLES.items():
        counts = [str(matrix.counts[number][cell] or "none") for cell in CELLS]
        lines.append(f"| {number}. {title} | " + " | ".join(counts) + " |")
    return "\n".join(lines)


def narrow(matrix: Matrix) -> dict[str, str]:
    """What is not everywhere, and where it is: empty cells by promise, and tests."""
    found = {}
    for number in TITLES:
        empty = [cell for cell in CELLS if not matrix.counts[number][cell]]
        if empty:
            found[f"promise {number}"] = "all but " + _names(empty)
    for name, cells in matrix.cells.items():
        if cells != set(CELLS):
            found[name] = _names(cells)
    return found


def _names(cells: Iterable[Cell]) -> str:
    there = set(cells)
    kinds = [kind for kind in KINDS if any(kind == k for _, k in there)]
    drivers = [driver for driver in DRIVERS if any(driver == d for d, _ in there)]
    where = "all" if len(kinds) == len(KINDS) else ", ".join(COLUMNS[kind] for kind in kinds)
    return where if len(drivers) == len(DRIVERS) else f"{where}; {drivers[0]} only"


def reasons(text: str) -> dict[str, tuple[str, str]]:
    """The table of reasons: what, where it runs, why not elsewhere."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    return {what: (where.strip(), why.strip()) for what, where, why in rows}


def problems(matrix: Matrix, given: Mapping[str, tuple[str, str]]) -> list[str]:
    """What is wrong between the tests and the docs' reasons."""
    found = [
        f"{name}: mark it with @pytest.mark.promise(n), n from 1 to {len(TITLES)}"
        for name in sorted(matrix.unmarked)
    ]
    needed = narrow(matrix)
    for what, where in needed.items():
        if what not in given:
            found.append(f"{what} runs on {where}: give the reason in {DOC.name}")
        elif given[what][0] != where:
            found.append(f"{what} runs on {where}, and {DOC.name} says {given[what][0]}")
        elif not given[what][1]:
            found.append(f"{what}: the reason in {DOC.name} is empty")
    found += [
        f"{what}: {DOC.name} gives a reason for what needs none"
        for what in given
        if what not in needed
    ]
    return found


def with_table(text: str, made: str) -> str:
    """`text` with the generated table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write or check; 1 if something is wrong."""
    text, matrix = DOC.read_text(), collect()
    new = with_table(text, table(matrix))
    found = problems(matrix, reasons(text))
    if arguments == ["--check"]:
        if new != text:
            found.append(f"{DOC.name} is out of date: make matrix")
    else:
        DOC.write_text(new)
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
