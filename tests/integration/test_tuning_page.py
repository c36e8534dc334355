"""Every command of docs/tuning.md runs, on the sample, and every panel that it names exists."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    # What is asked of the real log need not be had of the sample; then it says so, and fails.
    told = done.returncode == 0 or "no recommendation: no hit ratio reaches" in done.stdout
    assert told, done.stdout + done.stderr
    assert not done.stderr


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
