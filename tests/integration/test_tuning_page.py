"""Every command of docs/tuning.md runs, on the sample, and every panel that it names exists."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bench import tuning_page
from routecache_exporters import cli
from routecache_exporters.demo.sample import write_sample
from tests.commands import environment
from tests.pages_code import ROOT, blocks
from tests.topologies import One

PAGE = ROOT / "docs/tuning.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [
    line for block in blocks(PAGE, "sh") for line in block.text.splitlines() if line.strip()
]
LOOK_UPS = {"code": 8819, "conversation": 19366}
ROWS = 400  # ten seconds of the sample, and a sixth of one at 60 times its speed


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with One() as topology:
        yield f"redis://127.0.0.1:{topology.servers[0].port}/0"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, and the sample under the name and with the columns of the real log."""
    directory = tmp_path_factory.mktemp("tuning")
    text = io.StringIO()
    write_sample(text)
    rows = list(csv.DictReader(text.getvalue().splitlines()))[:ROWS]
    with (directory / "azure-llm-2023-code.csv").open("w") as stream:
        stream.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for row in rows:
            stream.write(f"{row['timestamp']},{row['context_tokens']},{row['generated_tokens']}\n")
    with (directory / "sample.csv").open("w") as stream:
        stream.writelines(text.getvalue().splitlines(keepends=True)[: ROWS + 1])
    return directory


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs_as_it_stands(command: str, directory: Path, redis_url: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=directory, env=environment({"PATH": path, "REDIS_URL": redis_url}),
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert not done.stderr
    # A hit ratio that is asked for need not be had of the sample; then it says so, and fails.
    unmet = "no recommendation: no hit ratio reaches" in done.stdout
    assert done.returncode == (1 if unmet else 0), done.stdout
    assert not unmet or "--min-hit-ratio" in command
    if " azure-llm-2023-code.csv " in command:
        assert re.search(rf"^\s*{ROWS} requests (in|of) ", done.stdout), done.stdout
    if "routecache tune" in command:
        assert "no recommendation" in done.stdout or "\nCheck it: " in done.stdout
    if "routecache replay" in command:
        assert "0 wrong answers, 0 exceptions" in done.stdout


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def figure(cell: str) -> float:
    found = re.match(r"[\d,.]+", cell)
    assert found, cell
    return float(found[0].replace(",", ""))


def of_logs(heading: str) -> dict[str, list[list[str]]]:
    """The rows of the table under `heading`, by the log that they are of."""
    lines = TEXT.split(heading)[1].split("\n\n")[0].splitlines()[2:]
    found: dict[str, list[list[str]]] = {}
    for row in map(cells, lines):
        name = row[0] or next(reversed(found))
        found.setdefault(name, []).append(row[1:])
    return found


def test_the_figures_of_the_grid_agree_with_each_other() -> None:
    """Whether they are right `bench.tuning_page` says, to whom has the logs."""
    logs = of_logs("| log | life time |")
    assert logs.keys() == LOOK_UPS.keys()
    for name, rows in logs.items():
        assert f"{LOOK_UPS[name]:,}" in TEXT
        figures = [[figure(cell) for cell in row] for row in rows]
        for ttl, *by_l1, hit_ratio, loads, saved, mean, oldest in figures:
            assert by_l1 == sorted(by_l1)
            assert by_l1[-1] <= hit_ratio
            assert loads == pytest.approx(1000 - 10 * hit_ratio, abs=1)
            assert saved == pytest.approx(LOOK_UPS[name] * hit_ratio / 100, rel=0.001)
            assert mean < oldest == ttl
        for one, longer in pairwise(figures):
            assert one[0] < longer[0]
            assert one[5] < longer[5]
            assert one[8] < longer[8]


def test_what_was_predicted_and_replayed_agree_with_each_other_and_with_the_grid() -> None:
    grid = {
        (name, figure(row[0])): figure(row[6])
        for name, rows in of_logs("| log | life time |").items()
        for row in rows
    }
    for name, rows in of_logs("| log | cache |").items():
        assert [row[0] for row in rows] == ["provider", "model", "fallback"]
        for cache, recommended, *told, predicted, replayed in rows:
            for cell in told:
                loads, hit_ratio = map(figure, cell.split(", "))
                assert hit_ratio == pytest.approx(100 * (1 - loads / LOOK_UPS[name]), abs=0.0051)
            for cell, hits in ((told[2], predicted), (told[3], replayed)):
                l1, l2 = map(figure, hits.split(" / "))
                assert l1 + l2 + figure(cell) == LOOK_UPS[name]
            assert told[0] == told[1], "the replay without Redis gives what was predicted"
            if cache == "model":
                loads = round(1000 * figure(told[2]) / LOOK_UPS[name])
                assert grid[name, figure(recommended)] == loads


def test_a_figure_that_the_logs_do_not_give_is_found(directory: Path) -> None:
    """The sample under the real log's name gives other rows than those of the page."""
    log = directory / "azure-llm-2023-code.csv"
    rows = [
        *tuning_page.grid_rows("code", tuning_page.tune(log)["caches"]["model"]["grid"]),
        *tuning_page.predictions("code", log),
    ]
    assert len(rows) == 6 + 2 * 3
    page = "\n".join(rows)
    assert tuning_page.missing(page, iter(rows)) == []
    assert tuning_page.missing(page.replace("180 s (default)", "18 s"), iter(rows)) == [rows[2]]
    assert tuning_page.missing(TEXT, iter(rows)) == rows


def test_there_are_commands_of_both_kinds() -> None:
    assert sum("routecache tune" in command for command in COMMANDS) >= 5
    assert sum("routecache replay" in command for command in COMMANDS) == 2


def test_every_panel_that_the_page_names_is_on_the_dashboard_that_it_names() -> None:
    panels = {
        (board["title"].removeprefix("RouteCache / "), panel["title"])
        for path in (ROOT / "dashboards/json").glob("*.json")
        for board in [json.loads(path.read_text())]
        for panel in board["panels"]
    }
    named = re.findall(r"\*\*([^*/]+) / ([^*]+)\*\*", TEXT)
    assert len(named) >= 10
    assert [pair for pair in named if pair not in panels] == []


def test_every_option_that_the_page_names_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for command in ("tune", "replay"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        known += capsys.readouterr().out
    named = set(re.findall(r"--[a-z][a-z0-9-]+", TEXT))
    assert {option for option in named if not re.search(rf"{option}\b", known)} == set()
