"""The committed dashboards: what all of them share, and how they hang together."""

import re
from pathlib import Path
from typing import Any

import pytest

from dashboards import build, colors
from routecache_exporters.pack.panels import OVERVIEW, PANELS
from tests.monitoring.sources import (
    DASHBOARD_FILES,
    DEPLOY,
    alerts,
    dashboards,
    load,
    panels,
)

TITLES = {
    "routecache-overview": "RouteCache / Overview and SLO",
    "routecache-cache": "RouteCache / Cache detail",
    "routecache-l1": "RouteCache / L1 capacity",
    "routecache-redis": "RouteCache / L2 and Redis",
    "routecache-coherence": "RouteCache / Coherence",
    "routecache-loaders": "RouteCache / Loaders",
    "routecache-exporter": "RouteCache / Exporter and runtime",
}
"""Bookmarks and alerts hold on to the uids: one never changes."""

VARIABLES = ["datasource", "cluster", "namespace", "job", "instance", "cache", "runbooks"]
OWN_VARIABLES = {"routecache-redis": ["redis"]}

every_dashboard = pytest.mark.parametrize("uid", TITLES)


def test_committed_files_are_what_the_code_says() -> None:
    """Nobody edits them by hand, or forgets to regenerate them."""
    assert build.differences() == []


def test_check_fails_with_a_diff_on_a_stale_a_missing_and_a_leftover_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check exits 1 and shows what differs; a write mends it."""
    monkeypatch.setattr(build, "OUTPUT", tmp_path / "json")
    monkeypatch.setattr(build, "TEMPLATES", tmp_path / "boards")
    assert build.main(["--check"]) == 1
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    capsys.readouterr()
    path = tmp_path / "json" / "routecache-overview.json"
    path.write_text(path.read_text().replace('"editable": false', '"editable": true'))
    (tmp_path / "boards" / "gone.json").write_text("{}\n")
    assert build.main(["--check"]) == 1
    shown = capsys.readouterr().out
    assert '-  "editable": true' in shown
    assert f"--- {tmp_path}/boards/gone.json" in shown
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0


def test_uids_and_titles_are_stable() -> None:
    """One file per dashboard, named as its uid."""
    assert {uid: board["title"] for uid, board in dashboards().items()} == TITLES
    assert {path.stem for path in DASHBOARD_FILES} == set(TITLES)


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
    (link,) = dashboard["links"]
    assert link["type"] == "dashboards"
    assert set(link["tags"]) <= set(dashboard["tags"])
    assert link["keepTime"]
    assert link["includeVars"]


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


def test_an_id_is_the_same_panel_on_every_dashboard() -> None:
    """A panel that is shown twice is made once."""
    titles: dict[int, str] = {}
    for dashboard in dashboards().values():
        for panel in panels(dashboard):
            assert titles.setdefault(panel["id"], panel["title"]) == panel["title"]


def test_the_first_row_of_the_overview_says_what_is_wrong() -> None:
    """Alerts, who answers, loads against yesterday, the worst processes, skew."""
    first = {
        panel["title"]
        for panel in panels(dashboards()[OVERVIEW])
        if panel["gridPos"]["y"] < 16  # the next row's title
    }
    assert {
        "Firing alerts",
        "Who answers now",
        "Loads against yesterday",
        "Worst five instances",
        "Skew",
    } <= first


def test_the_overview_leads_to_every_other_dashboard_and_keeps_time_and_variables() -> None:
    links = [link for panel in panels(dashboards()[OVERVIEW]) for link in panel.get("links", [])]
    assert {link["url"].partition("?")[0] for link in links} == {
        f"/d/{uid}" for uid in TITLES if uid != OVERVIEW
    }
    for link in links:
        assert link["url"].endswith("?${__url_time_range}&${__all_variables}")
        assert link["title"]


def test_alerts_lead_to_the_panel_that_shows_them() -> None:
    """dashboard_url, the table of firing alerts and the dashboards agree on a panel."""
    ids = {uid: {panel["id"] for panel in panels(board)} for uid, board in dashboards().items()}
    for name, panel in PANELS.items():
        assert panel.number in ids[panel.dashboard], name
    for alert in alerts():
        found = re.search(r"/d/([\w-]+)\?viewPanel=(\d+)", alert["annotations"]["dashboard_url"])
        assert found
        assert (found[1], int(found[2])) == PANELS[alert["alert"].removeprefix("RouteCache")]
    (table,) = [panel for panel in panels(dashboards()[OVERVIEW]) if panel["id"] == 1]
    (target,) = table["targets"]
    places = re.findall(r'"(number|dashboard)", "([^"]+)", "alertname", "([^"]+)"', target["expr"])
    shown = {(name, label): value for label, value, names in places for name in names.split("|")}
    for name, panel in PANELS.items():
        if name not in {"RecentCause", "Watchdog"}:
            assert shown[f"RouteCache{name}", "dashboard"] == panel.dashboard
            assert shown[f"RouteCache{name}", "number"] == str(panel.number)


def _colors(panel: dict[str, Any]) -> dict[str, str]:
    return {
        override["matcher"]["options"]: prop["value"]["fixedColor"]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if override["matcher"]["id"] == "byName" and prop["id"] == "color"
    }


def test_the_same_thing_has_the_same_colour_everywhere() -> None:
    """A series' name stands for one colour over all dashboards, and a metric's label value for the
    one in colors.py."""
    seen: dict[str, str] = {}
    for dashboard in dashboards().values():
        for panel in panels(dashboard):
            for name, color in _colors(panel).items():
                assert seen.setdefault(name, color) == color, f"{panel['title']}: {name}"
    groups = [getattr(colors, name) for name in dir(colors) if name.isupper()]
    for group in groups:
        for name, color in group.items() if isinstance(group, dict) else ():
            assert seen.get(name, color) == color, name


def test_every_dashboard_is_provisioned_in_a_folder_of_its_own() -> None:
    (provider,) = load(DEPLOY / "grafana/provisioning/dashboards/routecache.yaml")["providers"]
    assert provider["folder"] == "routecache"
    assert provider["allowUiUpdates"] is False
    mounted = load(DEPLOY / "compose.yaml")["services"]["grafana"]["volumes"]
    assert f"../dashboards/json:{provider['options']['path']}:ro" in mounted


def test_data_source_is_the_provisioned_kind() -> None:
    """Provisioning brings a Prometheus that knows its scrape interval."""
    (source,) = load(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    scrape = load(DEPLOY / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape
