"""`make prove`: a proof that is broken, missed or ended by an exception is never taken for kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.prove import __main__ as command
from bench.prove.findings import Findings


def _kept(findings: Findings) -> None:
    findings.case = "a case"
    findings.saw("look-ups", 7)
    findings.must("violations", 0, "=", 0)
    findings.must("found", 2, "≥", 1)
    findings.timed("p99", 0.5, "≤", 1.0, "ms")


def _broken(findings: Findings) -> None:
    findings.must("violations", 1, "=", 0)


def _missed(findings: Findings) -> None:
    findings.timed("p99", 1.5, "≤", 1.0, "ms")


def _raises(findings: Findings) -> None:
    findings.must("violations", 0, "=", 0)
    raise RuntimeError("the server did not start")


@pytest.mark.parametrize(
    ("proof", "options", "code"),
    [
        (_kept, [], 0),
        (_kept, ["--check"], 0),
        (_broken, [], 1),
        (_missed, [], 0),
        (_missed, ["--check"], 1),
        (_raises, [], 1),
    ],
)
def test_the_exit_code_says_whether_the_bounds_were_kept(
    proof: Callable[[Findings], None],
    options: list[str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "PROOFS", {"one": proof})
    assert command.main([*options, "one"]) == code
    assert "one" in capsys.readouterr().out


def test_the_json_holds_each_figure_with_its_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "PROOFS", {"one": _kept, "two": _missed, "three": _raises})
    assert command.main(["--json", str(tmp_path / "all.json"), "--seed", "5"]) == 1
    told = json.loads((tmp_path / "all.json").read_text())
    assert told["seed"] == 5
    one, two, three = told["proofs"]
    assert [figure["verdict"] for figure in one["figures"]] == ["", "kept", "kept", "kept"]
    assert one["figures"][3] == {
        "case": "a case",
        "what": "p99",
        "seen": 0.5,
        "unit": "ms",
        "bound": "≤ 1",
        "timed": True,
        "verdict": "kept",
    }
    assert two["figures"][0]["verdict"] == "missed"
    assert "did not start" in three["error"]


def test_a_proof_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["nothing"])
    assert "there are outage" in capsys.readouterr().err
