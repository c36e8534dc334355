"""The mixin gives the committed rules and dashboards, wherever it is installed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.jsonnet import ALL, evaluated, given_alerts, given_rules, mixin
from tests.monitoring.sources import DASHBOARD_FILES, ROOT, RULE_FILES, alerts, load, rules

COMMITTED = {path.name: json.loads(path.read_text("utf-8")) for path in DASHBOARD_FILES}


def test_unchanged_it_gives_the_committed_rules() -> None:
    """Each rule, in its order; alerts and recordings apart."""
    found = mixin()
    assert given_alerts(found) == alerts(RULE_FILES)
    assert [rule for rule in given_rules(found) if "record" in rule] == [
        rule for rule in rules() if "record" in rule
    ]


def test_unchanged_it_gives_the_committed_dashboards() -> None:
    """Each file by its name, and the folder of the compose stack."""
    found = mixin()
    assert found["dashboards"] == COMMITTED
    (provider,) = load(ROOT / "deploy/grafana/provisioning/dashboards/routecache.yaml")["providers"]
    assert found["folder"] == provider["folder"]


def test_groups_keep_their_names_and_each_is_there_once() -> None:
    """Alerts and recordings may be put into one file, as kube-prometheus does."""
    found = mixin()
    names = [group["name"] for key in ("alerts", "rules") for group in found[key]["groups"]]
    assert len(set(names)) == len(names)
    committed = {group["name"] for path in RULE_FILES for group in load(path)["groups"]}
    assert committed == {name if name in committed else name[: -len("-alerts")] for name in names}


ALERT = {"alert": "A", "expr": 'up{job="redis"}', "labels": {}, "annotations": {}}
RECORDING = {"record": "a:b:c", "expr": "1"}


def mixin_of_a_group(folder: Path, *rules: dict[str, Any], config: str = "{}") -> Any:
    """What the mixin would give of one group with these rules: [recordings, alerts]."""
    for name in ("rules.libsonnet", "config.libsonnet"):
        (folder / name).write_text((ROOT / "deploy" / "mixin" / name).read_text("utf-8"))
    text = json.dumps({"groups": [{"name": "routecache-a", "rules": rules}]})
    (folder / "files.libsonnet").write_text(
        json.dumps({"rules": [text], "optional": [], "dashboards": {}})
    )
    snippet = (
        "local m = (import 'config.libsonnet') + (import 'rules.libsonnet') + "
        f"{{ _config+:: {{ routecache+: {config} }} }};"
        "[m.prometheusRules.groups, m.prometheusAlerts.groups]"
    )
    return evaluated(snippet, path=folder / "test.jsonnet")


def test_a_group_of_both_kinds_is_given_in_two_parts(tmp_path: Path) -> None:
    """The recordings under its name, the alerts under one that no other group has."""
    assert mixin_of_a_group(tmp_path, RECORDING, ALERT) == [
        [{"name": "routecache-a", "rules": [RECORDING]}],
        [{"name": "routecache-a-alerts", "rules": [ALERT]}],
    ]


def test_rules_select_redis_exporters_as_the_configuration_says(tmp_path: Path) -> None:
    """As they do routers."""
    config = "{ redisSelector: 'app=\"redis\"' }"
    _, ((group),) = mixin_of_a_group(tmp_path, ALERT, config=config)
    assert group["rules"] == [ALERT | {"expr": 'up{app="redis"}'}]


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("config", [{}, {"selector": 'job=~"a|b", region="x"'}], ids=["as", "job"])
def test_what_it_gives_passes_promtool(config: dict[str, Any], tmp_path: Path) -> None:
    """In one file, as it is shipped and for other jobs."""
    found = mixin(**config)
    path = tmp_path / "all.yml"
    path.write_text(json.dumps({"groups": found["alerts"]["groups"] + found["rules"]["groups"]}))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_jb_puts_the_repository_it_can_be_imported(tmp_path: Path) -> None:
    """`jb install` unpacks the whole repository, and links it under its last name."""
    assert json.loads((ROOT / "jsonnetfile.json").read_text("utf-8"))["dependencies"] == []
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "routecache").symlink_to(ROOT)
    snippet = f"local mixin = import 'routecache/mixin.libsonnet'; {ALL}"
    found = evaluated(snippet, path=tmp_path / "my.jsonnet", vendor=tmp_path / "vendor")
    assert found == mixin()


def examples(folder: Path) -> list[Any]:
    """What the README's pieces of Jsonnet give where the repository is vendored."""
    readme = (ROOT / "deploy" / "README.md").read_text("utf-8")
    (folder / "vendor").mkdir()
    (folder / "vendor" / "routecache").symlink_to(ROOT)
    return [
        evaluated(each, path=folder / "my.jsonnet", vendor=folder / "vendor")
        for each in re.findall(r"```jsonnet\n(.*?)```", readme, re.DOTALL)
    ]


def test_the_readmes_examples_give_files_and_objects(tmp_path: Path) -> None:
    """Files for Prometheus and Grafana, and objects of the Prometheus operator."""
    found, objects = examples(tmp_path)
    assert found.keys() == {"rules.json", "alerts.json", *COMMITTED}
    names = {rule["alert"] for group in found["alerts.json"]["groups"] for rule in group["rules"]}
    assert names == {rule["alert"] for rule in alerts(RULE_FILES)} - {"RouteCacheWatchdog"}

    assert {each["kind"] for each in objects} == {"PrometheusRule"}
    groups = [group for each in objects for group in each["spec"]["groups"]]
    assert [each["metadata"]["name"] for each in objects] == [group["name"] for group in groups]
    assert len({group["name"] for group in groups}) == len(groups)
    assert sum(len(group["rules"]) for group in groups) == len(rules())
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]
             if "alert" in rule]  # fmt: skip
    assert all(link.startswith("https://runbooks.example/routecache/") for link in links)


@pytest.mark.parametrize("name", ["README.md", "mixin/config.libsonnet"])
def test_groups_that_are_given_as_an_example_exist(name: str) -> None:
    """Whoever copies the line gets rules."""
    text = (ROOT / "deploy" / name).read_text("utf-8")
    (example,) = re.findall(r"\['routecache-[a-z0-9', -]+\]", text)
    given = mixin(groups=re.findall(r"'([^']+)'", example))
    assert given_rules(given)


def test_it_adds_to_other_mixins() -> None:
    """Groups, dashboards and configuration of another are still there."""
    snippet = """
        local other = {
          _config+:: { selector: 'theirs' },
          prometheusAlerts+:: { groups+: ['theirs'] },
          prometheusRules+:: { groups+: ['theirs'] },
          grafanaDashboards+:: { 'theirs.json': 1 },
        };
        local both(a, b) = a + b + {
          all: [
            std.member(super.prometheusAlerts.groups, 'theirs'),
            std.member(super.prometheusRules.groups, 'theirs'),
            std.objectHas(super.grafanaDashboards, 'theirs.json'),
            std.length(super.prometheusAlerts.groups) > 1,
            super._config.selector == 'theirs',
          ],
        };
        local mixin = import 'mixin.libsonnet';
        both(other, mixin).all + both(mixin, other).all
    """
    assert evaluated(snippet, path=ROOT / "test.jsonnet") == [True] * 10
