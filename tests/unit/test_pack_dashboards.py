"""The dashboards for a configuration of one's own."""

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from routecache_exporters.cli import main
from routecache_exporters.pack.config import LIMITS, Config, Objectives, Urls
from routecache_exporters.pack.dashboards import dumps, fill, marks, number, templates
from tests.monitoring.sources import DASHBOARD_FILES, panels, queries

CONFIG = Config(
    aggregation_labels=("region", "job"),
    redis_labels=("region",),
    urls=Urls(runbooks="https://wiki.example/cache", runbook_suffix=""),
    objectives=Objectives(lookup=replace(Objectives().lookup, target=0.995)),
    alerts=MappingProxyType({**LIMITS, "Stampede": replace(LIMITS["Stampede"], threshold=0.25)}),
)


def _panel(dashboard: dict[str, Any], number: int) -> dict[str, Any]:
    (found,) = [panel for panel in panels(dashboard) if panel["id"] == number]
    return found


def _own() -> dict[str, Any]:
    return {uid: fill(template, CONFIG) for uid, template in templates().items()}


def test_the_shipped_configuration_gives_the_committed_files() -> None:
    """What the command writes without --config is what Grafana is provisioned with."""
    made = {uid: dumps(fill(template, Config())) for uid, template in templates().items()}
    assert made == {path.stem: path.read_text(encoding="utf-8") for path in DASHBOARD_FILES}


def test_ones_own_threshold_is_in_the_panel_and_in_what_it_says() -> None:
    panel = _panel(_own()["routecache-loaders"], 606)
    assert [s["value"] for s in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]][1] == 0.25
    assert "Above 25%" in panel["description"]


def test_ones_own_objective_is_in_queries_titles_and_thresholds() -> None:
    own = _own()["routecache-overview"]
    assert _panel(own, 11)["title"] == "Look-up budget by cache (SLO 99.5%, 14d)"
    assert all(target["expr"].endswith("/ 0.005") for target in _panel(own, 12)["targets"])
    steps = _panel(own, 4)["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 0.005, 0.072]


def test_ones_own_labels_take_the_place_of_ours_everywhere() -> None:
    """In variables, matchers, groupings, recorded names and columns."""
    for uid, dashboard in _own().items():
        names = [variable["name"] for variable in dashboard["templating"]["list"]]
        assert names[:4] == ["datasource", "region", "job", "instance"], uid
        text = dumps(dashboard)
        assert "namespace" not in text
        assert "cluster" not in text
        for where, expr in queries(dashboard):
            assert "region" in expr, where
    budget = _panel(_own()["routecache-overview"], 11)
    assert "region_job_cache:routecache_requests:rate1h" in budget["targets"][0]["expr"]
    (organize,) = [t for t in budget["transformations"] if t["id"] == "organize"]
    assert organize["options"]["renameByName"]["region"] == "Region"


def test_each_variable_of_a_label_is_narrowed_by_those_before_it() -> None:
    variables = fill(templates()["routecache-cache"], Config())["templating"]["list"]
    asked = {v["name"]: v["query"]["query"] for v in variables if v["type"] == "query"}
    assert asked["cluster"] == "label_values(routecache_build_info{}, cluster)"
    assert asked["namespace"] == (
        'label_values(routecache_build_info{cluster=~"$cluster"}, namespace)'
    )


def test_without_labels_but_the_job_nothing_is_left_behind() -> None:
    bare = replace(CONFIG, aggregation_labels=("job",), redis_labels=())
    for template in templates().values():
        dashboard = fill(template, bare)
        assert list(marks(dashboard)) == []
        for where, expr in queries(dashboard):
            assert "{," not in expr.replace(" ", ""), where


def test_ones_own_runbooks_are_linked() -> None:
    own = _own()["routecache-overview"]
    (runbooks,) = [v for v in own["templating"]["list"] if v["name"] == "runbooks"]
    assert runbooks["query"] == "https://wiki.example/cache"
    assert "{__value.raw}.md" not in dumps(own)


def test_a_number_that_is_not_there_is_an_error() -> None:
    """A renamed field of the configuration cannot leave a hole in a dashboard."""
    assert number(Config(), "burns.page.0.factor*objectives.lookup.budget") == pytest.approx(0.0144)
    for path in ("alerts.Nothing.threshold", "objectives.lookup.nothing", "nothing"):
        with pytest.raises(KeyError):
            number(Config(), path)


def test_the_command_lists_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboards"]) == 0
    assert "routecache-l1  RouteCache / L1 capacity" in capsys.readouterr().out.splitlines()
    config = tmp_path / "my.yaml"
    config.write_text("alerts:\n  L1Thrashing:\n    threshold: 0.3\n")
    command = ["dashboards", "--config", str(config), "--write", str(tmp_path / "out")]
    assert main([*command, "--folder", "router"]) == 0
    written = sorted((tmp_path / "out" / "router").glob("*.json"))
    assert [path.stem for path in written] == sorted(templates())
    l1 = json.loads((tmp_path / "out" / "router" / "routecache-l1.json").read_text())
    assert "Above 30%" in _panel(l1, 309)["description"]


def test_mistakes_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("alerts:\n  Nothing:\n    threshold: 0.3\n")
    blocked = tmp_path / "file"
    blocked.write_text("")
    for arguments in (
        ["--folder", "x"],
        ["--write", str(tmp_path), "--folder", "../x"],
        ["--write", str(blocked / "x")],
        ["--config", str(wrong)],
        ["--config", str(tmp_path / "none.yaml")],
    ):
        assert main(["dashboards", *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
