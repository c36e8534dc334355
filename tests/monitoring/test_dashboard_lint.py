"""Every panel and query, judged as dashboard-linter and pint would.

Theirs are Go programs; these are their rules that apply, on our own reading of PromQL (promql.py).
dashboard-linter: template-*-rule, panel-*-rule, target-*-rule (uneditable-dashboard is in
test_dashboards.py). pint: promql/syntax, promql/rate, promql/regexp, promql/series (here: of the
catalogue; test_live_dashboards.py asks a Prometheus).
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from routecache_exporters.pack.dashboards import marks
from tests.monitoring import promql
from tests.monitoring.sources import dashboards, panels, queries, recordings

every_dashboard = pytest.mark.parametrize("uid", dashboards())
every_panel = pytest.mark.parametrize(
    "panel",
    [
        pytest.param(panel, id=f"{uid}-{panel['id']}")
        for uid, dashboard in dashboards().items()
        for panel in panels(dashboard)
    ],
)

# The retired ones, such as graph and singlestat, are none of them.
KINDS = {"timeseries", "stat", "table", "bargauge", "heatmap", "state-timeline"}
COUNTS = {"Processes", "Variants", "Open", "Panel", "Not completed"}
"""Columns of tables that hold plain numbers."""

CUMULATIVE = ("_total", "_bucket", "_sum", "_count")
GROWING = {"redis_slowlog_last_id"}
"""Named like gauges, but only ever growing."""
BARE = {"routecache_label_overflow_total", "redis_key_group_count"}
"""Told as they are: an overflow is never over while the process lives, and a count of keys is none
of a histogram."""
FUNCTIONS_OF_COUNTERS = r"\b(?:rate|irate|increase|resets)\s*\(\s*"


def test_dashboards_share_one_template_for_data_source_job_and_instance() -> None:
    """template-datasource-rule, template-job-rule, template-instance-rule."""
    for dashboard in dashboards().values():
        by_name = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
        assert by_name["datasource"]["type"] == "datasource"
        assert by_name["datasource"]["query"] == "prometheus"
        for name in ("job", "instance"):
            assert by_name[name]["datasource"]["uid"] == "${datasource}"
            assert by_name[name]["multi"]
            assert by_name[name]["includeAll"]
        for variable in dashboard["templating"]["list"]:
            assert variable.get("label"), variable["name"]
            # template-on-time-change-reload-rule: a process that came meanwhile is there to choose.
            assert variable["type"] != "query" or variable["refresh"] == 2, variable["name"]


@every_panel
def test_panel_explains_itself(panel: dict[str, Any]) -> None:
    """panel-title-description-rule, panel-datasource-rule, and no kind that Grafana retired."""
    assert panel["type"] in KINDS
    assert panel["title"]
    assert len(panel["description"]) > 80
    assert panel["description"].rstrip().endswith(".")
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert "⟦" not in json.dumps(panel, ensure_ascii=False)


@every_panel
def test_panel_has_a_unit_and_legends(panel: dict[str, Any]) -> None:
    """panel-units-rule; a table has a unit for each column of numbers, by unit or by text."""
    if panel["type"] != "table":
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])
        return
    (organize,) = [t for t in panel["transformations"] if t["id"] == "organize"]
    renamed = organize["options"]["renameByName"]
    headers = {header for name, header in renamed.items() if name.startswith("Value")}
    described = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if {"unit", "mappings"} & {prop["id"] for prop in override["properties"]}
    }
    assert headers - described <= COUNTS
    matchers = [override["matcher"] for override in panel["fieldConfig"]["overrides"]]
    named = {matcher["options"] for matcher in matchers if matcher["id"] == "byName"}
    assert named <= set(renamed.values()), "an override of a column that is not there"


@every_panel
def test_legends_name_labels_that_the_series_have(panel: dict[str, Any]) -> None:
    """panel-legend: `{{label}}` is a label that the query keeps or makes."""
    for target in panel["targets"]:
        for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
            expr = target["expr"]
            kept = promql.grouping_labels(expr) | set(promql.made_labels(expr))
            aggregated = re.search(r"\b(?:sum|max|min|count|topk)\b", expr)
            assert label in kept or not aggregated, f"{panel['title']}: {label}"


@every_panel
def test_thresholds_rise(panel: dict[str, Any]) -> None:
    """Steps in order, the first from the lowest value on."""
    found = [panel["fieldConfig"]["defaults"].get("thresholds")] + [
        prop["value"]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "thresholds"
    ]
    for thresholds in filter(None, found):
        first, *steps = [step["value"] for step in thresholds["steps"]]
        assert first is None
        assert all(isinstance(step, int | float) for step in steps)
        assert steps == sorted(set(steps))


@every_dashboard
def test_queries_use_what_exists(uid: str) -> None:
    """Every series, label and label value is in the metrics' catalogue, or recorded."""
    for where, expr in queries(dashboards()[uid]):
        assert list(promql.mistakes(expr, set(recordings()))) == [], where


@every_dashboard
def test_rates_are_of_counters_and_counters_are_in_rates(uid: str) -> None:
    """target-rate-interval-rule, target-counter-agg-rule; pint's promql/rate."""
    for where, expr in queries(dashboards()[uid]):
        rated = {m[1] for m in re.finditer(rf"{FUNCTIONS_OF_COUNTERS}([\w:]+)", expr)}
        for name in rated:
            assert name.endswith(CUMULATIVE) or name in GROWING, f"{where}: rate of {name}"
        for name, _ in promql.selectors(expr):
            recorded = ":" in name
            if name.endswith(CUMULATIVE) and not recorded and name not in rated:
                assert name in BARE, f"{where}: bare {name}"


@every_dashboard
def test_rates_are_taken_before_sums(uid: str) -> None:
    """pint's promql/rate: a sum of counters falls when one of them is reset."""
    for where, expr in queries(dashboards()[uid]):
        assert not re.search(rf"{FUNCTIONS_OF_COUNTERS}(?:sum|max|min|avg)\b", expr), where


@every_dashboard
def test_queries_follow_the_variables(uid: str) -> None:
    """target-job-rule, target-instance-rule: every selection is narrowed by cluster, namespace and
    job, and by what else it has; with =~, since several may be chosen."""
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
def test_regular_expressions_are_needed(uid: str) -> None:
    """pint's promql/regexp: =~ without anything to match is a slow =."""
    for where, expr in queries(dashboards()[uid]):
        for name, matchers in promql.selectors(expr):
            for label, operator, value in matchers:
                if "~" in operator and "$" not in value:
                    assert re.search(r"[|.*+?\[\]()]", value), f"{where}: {name}, {label}"


@every_dashboard
def test_ranges_follow_the_scrape_interval(uid: str) -> None:
    """Raw rates use $__rate_interval. Other ranges: the whole of the dashboard's time, the budget's
    window, a day before, and the window of what is sampled."""
    allowed = {"$__rate_interval", "$__range", "14d", "1d"}
    for where, expr in queries(dashboards()[uid]):
        sampled = {"5m"} if re.search("What-if|Prediction", where) else set()
        assert set(promql.durations(expr)) <= allowed | sampled, where


@every_dashboard
def test_divisors_are_never_zero(uid: str) -> None:
    """An idle cache has no ratio, rather than NaN."""
    for where, expr in queries(dashboards()[uid]):
        for divisor in re.findall(r"(?<![:\"\w])/\s*(.{0,20})", expr):
            constant = re.match(r"[\d.]+|scalar\(|process_max_fds|count\(up", divisor)
            assert constant or divisor.startswith("("), f"{where}: / {divisor}"


@pytest.mark.needs("promtool")
@every_dashboard
def test_queries_parse(uid: str, tmp_path: Path) -> None:
    """Prometheus' own parser reads them, the variables once replaced."""
    found = [expr for _, expr in queries(dashboards()[uid])]
    plain = [re.sub(r"\$\w+", "x", re.sub(r"\$__\w+", "1m", expr)) for expr in found]
    written = [{"record": f"dashboard:query:{n}", "expr": expr} for n, expr in enumerate(plain)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": written}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@every_dashboard
def test_nothing_is_left_open(uid: str) -> None:
    assert list(marks(dashboards()[uid])) == []
