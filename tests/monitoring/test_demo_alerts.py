"""From Redis stopped to an alert in the inbox, and back, with the deployed rules and routes."""

import re
from pathlib import Path

import pytest

from routecache_exporters.pack.config import PREFIX
from routecache_exporters.pack.masks import allowed
from tests.commands import pids_naming, run

THE_DEMOS_OWN = {
    # A machine that does much else answers slower than 5 ms, before the outage, too.
    "RouteCacheLatencyBudgetBurn",
    "RouteCacheL2LatencyHigh",
}
"""Tickets that are right without an outage; a page among them would fail the test."""


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_an_outage_reaches_the_inbox_and_resolves(tmp_path: Path) -> None:
    """One page, for L2, fires during the outage, and all that fired resolves before the end."""
    done = run(
        "demo", "--seconds", "120", "--outage",
        "--port", "0", "--prometheus-port", "0", "--alertmanager-port", "0",
        timeout=200, env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    (total,) = (i for i, line in enumerate(lines) if "exceptions raised by calls" in line)
    summary = lines[total:]
    assert "0 exceptions raised by calls, 0 wrong answers" in summary[0]
    events = [
        re.match(r"alert (\w+) ?(\w*) \((\w+), (\w+)\) (fired|resolved) ([\d.]+) s (.*)", line)
        for line in summary
        if line.startswith("alert ")
    ]
    found = [event.groups() for event in events if event]
    down = [event for event in found if event[0] == "RouteCacheL2Down"]
    assert [(event[2], event[4], event[6]) for event in down] == [
        ("critical", "fired", "after Redis was stopped"),
        ("critical", "resolved", "after Redis was started again"),
    ]
    assert float(down[0][5]) < 25
    assert float(down[1][5]) < 25
    # One page, and beside it only what the table of masks lets an outage bring along.
    assert [event[0] for event in found if event[2] == "critical"] == ["RouteCacheL2Down"] * 2
    others = [event for event in found if event[0] not in THE_DEMOS_OWN]
    assert {event[0] for event in others} <= {f"{PREFIX}{name}" for name in allowed("L2Down")}
    fired = sorted(event[:4] for event in others if event[4] == "fired")
    resolved = sorted(event[:4] for event in others if event[4] == "resolved")
    assert fired == resolved
    assert pids_naming(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
