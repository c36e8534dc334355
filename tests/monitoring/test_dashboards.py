"""The committed dashboards."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dashboards import build
from dashboards.parts.alerts import ALERT_PANELS
from routecache_exporters.pack.panels import OVERVIEW
from tests.monitoring import promql
from tests.monitoring.sources import (
    DASHBOARD_FILES,
    DEPLOY,
    alerts,
    dashboards,
    load,
    panels,
    queries,
    recordings,
)

UIDS = {
    "routecache-overview": "RouteCache / Overview",
    "routecache-redis": "RouteCache / L2 and Redis",
}
"""Bookmarks and alerts hold on to these: a uid never changes."""

VARIABLES = ["datasource", "cluster", "namespace", "job", "instance", "cache", "runbooks"]
OWN_VARIABLES = {"routecache-redis": ["redis"]}

every_dashboard = pytest.mark.parametrize("uid", UIDS)
every_panel = pytest.mark.parametrize(
    ("uid", "panel"),
    [
        pytest.param(uid, panel, id=f"{uid}-{panel['id']}")
        for uid, dashboard in dashboards().items()
        for panel in panels(dashboard)
    ],
)


def test_committed_json_is_what_the_code_says() -> None:
    """Nobody edits dashboards/json by hand, or forgets to regenerate it."""
    assert build.differences(build.OUTPUT) == []


def test_check_fails_with_a_diff_on_a_stale_a_missing_and_a_leftover_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check exits 1 and shows what differs; a write mends it."""
    monkeypatch.setattr(build, "OUTPUT", tmp_path)
    assert build.main(["--check"]) == 1
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    capsys.readouterr()
    path = tmp_path / "routecache-overview.json"
    path.write_text(path.read_text().replace('"editable": false', '"editable": true'))
    (tmp_path / "gone.json").write_text("{}\n")
    assert build.main(["--check"]) == 1
    shown = capsys.readouterr().out
    assert '-  "editable": true' in shown
    assert "--- json/gone.json" in shown
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0


def test_uids_and_titles_are_stable() -> None:
    """One file per dashboard, named as its uid."""
    assert {uid: board["title"] for uid, board in dashboards().items()} == UIDS
    assert {path.stem for path in DASHBOARD_FILES} == set(UIDS)


@every_dashboard
def test_dashboard_has_the_shared_parts(uid: str) -> None:
    """Read-only, crosshair, variables, annotations, links that keep time and variables."""
    dashboard = dashboards()[uid]
    assert dashboard["editable"] is False
    assert dashboard["graphTooltip"] == 1
    assert dashboard["description"]
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == [
        *VARIABLES,
        *OWN_VARIABLES.get(uid, []),
    ]
    by_name = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    for name in ("cluster", "namespace", "instance", "cache"):
        assert by_name[name]["allValue"] == ".*"
    assert [a["name"] for a in dashboard["annotations"]["list"]] == [
        "Firing alerts",
        "Deploys and restarts",
    ]
    assert all(link["keepTime"] and link["includeVars"] for link in dashboard["links"])


@every_dashboard
def test_panels_have_their_own_place_and_id(uid: str) -> None:
    """Ids are unique, and no two panels overlap or leave the grid."""
    dashboard = dashboards()[uid]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@every_panel
def test_panel_explains_itself(uid: str, panel: dict[str, Any]) -> None:
    """Title, description, unit (tables have one per column), data source, legends."""
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert panel["datasource"]["uid"] == "${datasource}"
    if panel["type"] != "table":
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])
    assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@every_panel
def test_table_columns_with_numbers_have_units(uid: str, panel: dict[str, Any]) -> None:
    """A value column says what it counts: by a unit, by text for its values, or as a count."""
    if panel["type"] != "table":
        return
    (organize,) = [t for t in panel["transformations"] if t["id"] == "organize"]
    renamed = organize["options"]["renameByName"]
    headers = {header for name, header in renamed.items() if name.startswith("Value")}
    described = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if {"unit", "mappings"} & {prop["id"] for prop in override["properties"]}
    }
    assert headers - described <= {"Processes", "Variants", "Circuits open"}


@every_dashboard
def test_queries_use_what_exists(uid: str) -> None:
    """Every series, label and label value is in the metrics' catalogue, or recorded."""
    for where, expr in queries(dashboards()[uid]):
        assert list(promql.mistakes(expr, set(recordings()))) == [], where


@every_dashboard
def test_queries_follow_the_variables(uid: str) -> None:
    """Every selection is narrowed by cluster, namespace and job, and by what else it has."""
    for where, expr in queries(dashboards()[uid]):
        for name, matchers in promql.selectors(expr):
            if not matchers:
                # Only in a join with a series that is narrowed.
                assert "on (cluster, namespace, job, instance)" in expr, where
                continue
            matched = {label: value for label, operator, value in matchers if operator == "=~"}
            labels = promql.labels_of(name, set(recordings()))
            assert labels is not None
            if name.startswith("redis_"):
                # Redis' own metrics come from jobs that the routers' variables do not know.
                assert matched.get("instance") == "$redis", where
                assert {matched.get(label) for label in ("cluster", "namespace")} == {
                    "$cluster",
                    "$namespace",
                }, where
                continue
            optional = {"instance", "cache"} & labels
            if name.startswith("ALERTS"):
                optional = set()  # alerts of a job concern all its processes and caches
            for label in {"cluster", "namespace", "job"} | optional:
                assert matched.get(label) == f"${label}", f"{where}: {name} by {label}"


@every_dashboard
def test_ranges_follow_the_scrape_interval(uid: str) -> None:
    """Raw rates use $__rate_interval; only the budget looks back over its own window."""
    for where, expr in queries(dashboards()[uid]):
        assert set(promql.durations(expr)) <= {"$__rate_interval", "14d", "1d"}, where


@pytest.mark.needs("promtool")
@every_dashboard
def test_queries_parse(uid: str, tmp_path: Path) -> None:
    """Prometheus' own parser reads them, the variables once replaced."""
    found = [expr for _, expr in queries(dashboards()[uid])]
    plain = [re.sub(r"\$\w+", "x", expr.replace("$__rate_interval", "1m")) for expr in found]
    written = [{"record": f"dashboard:query:{n}", "expr": expr} for n, expr in enumerate(plain)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": written}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_lead_to_the_panel_that_shows_them() -> None:
    """dashboard_url, the table of firing alerts and the dashboard agree on a panel."""
    ids = {panel["id"] for panel in panels(dashboards()[OVERVIEW])}
    for alert in alerts():
        found = re.search(r"viewPanel=(\d+)", alert["annotations"]["dashboard_url"])
        assert found
        if alert["labels"]["severity"] != "none":
            assert ALERT_PANELS[alert["alert"]] == int(found[1])
        assert int(found[1]) in ids


def test_data_source_is_the_provisioned_kind() -> None:
    """Provisioning brings a Prometheus that knows its scrape interval."""
    (source,) = load(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    scrape = load(DEPLOY / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape
