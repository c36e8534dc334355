"""What counts as quiet, and that a trial which could not have failed does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.faults import overnight, silence
from bench.faults.night import BEGINS, CRAWL, USES, hour_of_day, rate
from bench.faults.overnight import Night, clock, watched
from bench.faults.silence import KINDS, Watched, problems, section
from bench.faults.table import FAULTS
from bench.faults.trials import TRIALS
from bench.faults.verdict import without_severity

QUIET = Watched(
    seconds=1800.0, told=(), noise=(), held=(), lookups=50_000, unevaluated=0, times=0, heard=11.0
)


def test_silence_with_a_control_that_was_told_is_quiet() -> None:
    assert problems(QUIET) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"told": ("L1Thrashing",)}, "L1Thrashing was told"),
        ({"noise": ("TargetDown",)}, "TargetDown was told beside it"),
        ({"held": ("StaleServing",)}, "StaleServing fired"),
        ({"lookups": 0}, "nothing was asked"),
        ({"unevaluated": 3}, "not every rule was evaluated"),
        ({"unevaluated": -1}, "not every rule was evaluated"),
        ({"heard": None}, "the control was not told, so the silence proves nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_breaks_the_silence_or_its_proof_is_found(
    change: dict[str, object], problem: str
) -> None:
    assert problems(replace(QUIET, **change)) == [problem]  # type: ignore[arg-type]


def test_an_alert_that_fired_and_was_told_is_one_problem() -> None:
    """Also where two alerts of one name are told apart by severity."""
    loud = replace(QUIET, told=("LatencyBudgetBurn (critical)",), held=("LatencyBudgetBurn",))
    assert problems(loud) == ["LatencyBudgetBurn (critical) was told"]


def test_a_control_is_told_by_an_alert_that_a_fault_proves() -> None:
    """Otherwise nobody would know that it can be told."""
    proved = {without_severity(alert) for fault in FAULTS.values() for alert in fault.alerts}
    assert {alert for _, _, alert in KINDS.values()} <= proved
    assert KINDS.keys() == TRIALS.keys() | {"night"}


def test_the_night_is_quiet_only_if_its_twin_is_told_during_the_crawl() -> None:
    """An alert that fired before the crawl tells nothing of it."""
    night = Night({}, 900_000)
    told = CRAWL.begins * 3600 + 1800
    assert problems(watched(night, (), {"MissRatioJumped": told})) == []
    assert watched(night, (), {"MissRatioJumped": told}).heard == 1800
    for control in ({}, {"LoaderOverload": told}, {"MissRatioJumped": 3600.0}):
        assert watched(night, (), control).heard is None
    assert problems(watched(night, ("Stampede",), {"MissRatioJumped": told})) == ["Stampede fired"]


def test_the_night_is_far_below_the_day_and_the_morning_leads_back() -> None:
    """One cache's night is above the floor of the rules, the other's below it."""
    busy, small = USES["busy"], USES["small"]
    assert rate(busy, 3) <= rate(busy, 12) / 8
    assert rate(small, 3) < 1 < rate(busy, 3)
    morning = [rate(busy, hour / 4) for hour in range(24, 37)]
    assert morning == sorted(morning)
    assert (morning[0], morning[-1]) == (busy.night, busy.day)
    assert (hour_of_day(0), clock(CRAWL.begins * 3600)) == (BEGINS, "02:00")


def test_what_is_kept_is_told_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial that was tried has its row, the others are named; a bad one says what was bad."""
    monkeypatch.setattr(silence, "DATA", tmp_path / "quiet.json")
    assert section() == []
    silence.merge({"healthy": QUIET})
    silence.merge({"rollout": replace(QUIET, held=("TargetDown",), times=29, heard=None)})
    rows = [line for line in section() if line.startswith("| `")]
    assert len(rows) == 2
    assert "| 30 min | 50,000 | 0 |" in rows[0]
    assert rows[0].endswith(": L2Down, 11 s |")
    assert "(29 times)" in rows[1]
    assert "**TargetDown fired**<br>**the control was not told" in rows[1]
    assert section()[-1] == "Not tried: `night`."


def test_promtools_answer_is_read_to_the_letter() -> None:
    """What it got instead of nothing are alerts; whatever else fails is no answer."""
    got = (
        '  FAILED:\n    expr: "min by (alertname) (x)", time: 1d6h,\n        exp: nil\n'
        '        got: {alertname="RouteCacheMissRatioJumped"} 7.74E+04\n'
    )
    assert overnight._told("  SUCCESS\n", 0) == {}
    assert overnight._told(got, 1) == {"MissRatioJumped": 77400.0}
    for output, code in (("  SUCCESS\n", 1), ("parse error", 1), (got + got, 1)):
        with pytest.raises(RuntimeError, match="promtool"):
            overnight._told(output, code)
