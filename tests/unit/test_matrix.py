"""The contract suite's matrix: holes are found, reasons asked for, and the table is current."""

import subprocess
import sys

import pytest

from tests.contract import matrix
from tests.contract.matrix import CELLS, TITLES, Matrix


def full() -> Matrix:
    """Every promise has one test that runs everywhere."""
    made = Matrix()
    for number in TITLES:
        for cell in CELLS:
            made.add(f"test_{number}", {number}, cell)
    return made


def test_the_table_in_the_docs_is_current_and_every_hole_has_its_reason() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.matrix", "--check"],
        cwd=matrix.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_holes_nothing_is_wrong() -> None:
    assert matrix.problems(full(), {}) == []


@pytest.mark.parametrize("cell", CELLS)
def test_an_empty_cell_without_a_reason_is_found(cell: tuple[str, str]) -> None:
    made = full()
    made.counts[4][cell] = 0
    (said,) = matrix.problems(made, {})
    assert said.startswith("promise 4 runs on all but ")
    where = matrix.narrow(made)["promise 4"]
    assert matrix.problems(made, {"promise 4": (where, "because")}) == []
    assert len(matrix.problems(made, {"promise 4": (where, "")})) == 1


def test_a_test_that_runs_in_fewer_cells_needs_a_reason_that_names_them() -> None:
    made = full()
    made.add("test_narrow", {1}, ("sync", "fake"))
    assert matrix.narrow(made) == {"test_narrow": "fake; sync only"}
    assert len(matrix.problems(made, {})) == 1
    assert len(matrix.problems(made, {"test_narrow": ("Redis 7.0", "because")})) == 1
    assert matrix.problems(made, {"test_narrow": ("fake; sync only", "because")}) == []


def test_a_reason_that_nothing_needs_and_a_test_without_a_promise_are_found() -> None:
    made = full()
    made.add("test_unmarked", set(), ("sync", "fake"))
    made.add("test_misnumbered", {13}, ("sync", "fake"))
    for name in ("test_unmarked", "test_misnumbered"):
        made.cells[name].update(CELLS)
    said = matrix.problems(made, {"test_gone": ("fake", "because")})
    assert [line.split(":")[0] for line in said] == [
        "test_misnumbered",
        "test_unmarked",
        "test_gone",
    ]


def test_the_table_has_a_row_for_each_promise_and_a_column_for_each_cell() -> None:
    made = full()
    made.counts[4]["async", "cluster"] = 0
    lines = matrix.table(made).splitlines()
    assert len(lines) == 2 + len(TITLES)
    assert all(line.count("|") == len(CELLS) + 2 for line in lines)
    assert "| none |" in lines[1 + 4]
    assert sum("none" in line for line in lines) == 1


def test_the_reasons_are_read_from_the_docs_and_the_table_put_into_its_place() -> None:
    text = f"a\n{matrix.BEGIN}\nold\n{matrix.END}\n| `test_x` | fake | it is so |\n"
    assert matrix.reasons(text) == {"test_x": ("fake", "it is so")}
    assert matrix.with_table(text, "new") == text.replace("old", "new")
