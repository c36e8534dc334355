"""Recording rules, alerts and their runbooks."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from routecache_exporters.demo.shorten import RANGES, WAITS
from tests.monitoring import promql
from tests.monitoring.sources import (
    ALL_RULE_FILES,
    PROMETHEUS,
    ROOT,
    RULE_TESTS,
    RUNBOOKS,
    alerts,
    dashboards,
    load,
    queries,
    recordings,
    rules,
    runbook_queries,
)

SEVERITIES = {"critical", "warning", "none"}
SILENT = {"RouteCacheWatchdog", "RouteCacheRecentCause"}
SECONDS = {"m": 60, "h": 3600, "d": 86400}
OFFERED = {
    # For dashboards of one's own over many replicas; ours use raw series, to follow $instance.
    "cluster_namespace_job_cache_tier:routecache_hits:rate5m",
    "cluster_namespace_job_cache:routecache_misses_per_requests:ratio_rate5m",
}


def name_of(rule: dict[str, Any]) -> str:
    """An id for a rule in test output."""
    return str(rule.get("record") or f"{rule['alert']}-{rule['labels']['severity']}")


every_rule = pytest.mark.parametrize("rule", rules(ALL_RULE_FILES), ids=name_of)
every_alert = pytest.mark.parametrize("alert", alerts(), ids=name_of)


def promtool(*arguments: str | Path) -> None:
    """Run promtool and show what it says if it fails."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_rules_pass_promtools_lint() -> None:
    """Syntax, and no rule twice."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", *ALL_RULE_FILES)


@pytest.mark.needs("promtool")
def test_scrape_configuration_is_valid() -> None:
    """prometheus.yml loads, with the rule files that it names."""
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_unit_tests_say(path: Path) -> None:
    """The promtool unit tests: firing, healthy, idle, reset, absent."""
    promtool("test", "rules", path)


@every_rule
def test_rule_uses_what_exists(rule: dict[str, Any]) -> None:
    """Every series, label and label value is in the metrics' catalogue, or recorded."""
    assert list(promql.mistakes(rule["expr"], set(recordings()))) == []


@every_rule
def test_durations_are_those_that_the_demo_shortens(rule: dict[str, Any]) -> None:
    """Ranges and waits are points of the demo's map, so that their order survives it."""
    ranges = [_seconds(text) for text in promql.durations(rule["expr"])]
    assert set(ranges) <= set(RANGES)
    if "for" in rule:
        assert _seconds(rule["for"]) in WAITS


def test_rules_have_no_other_durations() -> None:
    """Groups follow the global interval: nothing else is to be shortened."""
    for path in ALL_RULE_FILES:
        for group in load(path)["groups"]:
            assert group.keys() == {"name", "rules"}


@pytest.mark.parametrize("rule", recordings().values(), ids=name_of)
def test_recorded_name_says_level_metric_and_operation(rule: dict[str, Any]) -> None:
    """level:metric:operation, where the level is what the sums are grouped by and is no replica."""
    level, metric, operation = rule["record"].split(":")
    assert {"instance", "pod"}.isdisjoint(level.split("_"))
    assert "without" not in rule["expr"]
    grouped = promql.grouping_labels(rule["expr"])
    assert not grouped or grouped == promql.level(rule["record"])
    if operation.startswith("ratio"):
        assert " / (" in re.sub(r"\s+", " ", rule["expr"])
        assert rule["expr"].endswith(" > 0)")
    ranges = set(promql.durations(rule["expr"]))
    assert not ranges or ranges == {operation.removeprefix("rate")}
    assert metric.startswith("routecache_")


@every_alert
def test_alert_says_what_a_person_needs(alert: dict[str, Any]) -> None:
    """Name, severity, waiting time, and all annotations, each in its place."""
    assert re.fullmatch(r"RouteCache[A-Z]\w+", alert["alert"])
    assert alert["labels"]["severity"] in SEVERITIES
    assert ("for" in alert) == (alert["alert"] not in SILENT)
    notes = alert["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert notes["runbook_url"] == f"{{{{ $externalURL }}}}/user/{alert['alert']}.md"
    assert re.match(
        r"http://localhost:3000/d/routecache-[a-z0-9]+\?viewPanel=\d+", notes["dashboard_url"]
    )
    assert len(notes["summary"]) < 90


def test_alerts_and_runbooks_belong_together() -> None:
    """No alert without a runbook, no runbook without an alert."""
    assert set(RUNBOOKS) == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("name", RUNBOOKS)
def test_runbook_has_its_parts(name: str) -> None:
    """Title, severity, the four parts, and something to copy."""
    text = RUNBOOKS[name].read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    for part in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert re.search(rf"^(## {part}|\*\*{part}\.\*\*)", text, re.MULTILINE), part
    severities = {alert["labels"]["severity"] for alert in alerts() if alert["alert"] == name}
    stated = re.search(r"^\*\*Severity: (.*?)\*\*", text, re.MULTILINE)
    assert stated
    assert severities == {word for word in SEVERITIES if word in stated[1]}
    assert list(runbook_queries(RUNBOOKS[name]))
    assert "```sh" in text


@pytest.mark.parametrize("name", RUNBOOKS)
def test_runbook_queries_use_what_exists(name: str) -> None:
    """What a tired person pastes at night selects series that exist."""
    for query in runbook_queries(RUNBOOKS[name]):
        assert list(promql.mistakes(query, set(recordings()))) == [], query


@pytest.mark.needs("promtool")
def test_runbook_queries_parse(tmp_path: Path) -> None:
    """The same, read by Prometheus' own parser."""
    found = [query for path in RUNBOOKS.values() for query in runbook_queries(path)]
    written = [{"record": f"runbook:query:{n}", "expr": query} for n, query in enumerate(found)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "runbooks", "rules": written}]}))
    promtool("check", "rules", path)


def test_every_group_has_a_unit_test_file_of_its_name() -> None:
    """A second one, with a suffix, where a group wants another interval."""
    groups = {path.stem.removeprefix("routecache-") for path in ALL_RULE_FILES}
    assert groups <= {path.stem for path in RULE_TESTS}


def test_every_alert_fires_in_a_unit_test() -> None:
    """Every alert, at each severity, is expected to fire somewhere, with all its annotations."""
    fired = {
        (check["alertname"], expected["exp_labels"]["severity"])
        for path in RULE_TESTS
        for test in load(path)["tests"]
        for check in test.get("alert_rule_test", ())
        for expected in check["exp_alerts"]
    }
    assert fired == {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()}


def test_no_recording_is_left_unused() -> None:
    """Every recorded series is used by a rule, a dashboard or a runbook, or is offered as such."""
    expressions = [rule["expr"] for rule in rules()]
    expressions += [expr for board in dashboards().values() for _, expr in queries(board)]
    expressions += [query for path in RUNBOOKS.values() for query in runbook_queries(path)]
    used = {selector.name for expr in expressions for selector in promql.selectors(expr)}
    assert set(recordings()) - used == OFFERED


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * SECONDS[duration[-1]]
