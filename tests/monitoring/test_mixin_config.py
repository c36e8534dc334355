"""Each choice of the mixin's configuration does what it says, and no name is passed over."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.monitoring.jsonnet import evaluated, given_alerts, given_rules, mixin
from tests.monitoring.sources import ROOT, RULE_FILES, alerts


def test_no_rule_selects_a_job_that_cannot_be_changed() -> None:
    """With other selectors no expression names a job any more."""
    found = mixin(selector='app="router"', redisSelector='app="redis"')
    expressions = [rule["expr"] for rule in given_rules(found)]
    assert any('up{app="router"}' in expr for expr in expressions)
    assert not [expr for expr in expressions if re.search(r"\bjob\s*(=|!)", expr)]
    unchanged = [rule["expr"] for rule in given_rules(mixin())]
    back = [
        expr.replace('app="router"', 'job="routecache"').replace('app="redis"', 'job="redis"')
        for expr in expressions
    ]
    assert back == unchanged


def _every(found: dict[str, Any], *path: str) -> list[Any]:
    """What every alert or dashboard has there; of dashboards if the path begins with a slash."""
    of_dashboards = path[0] == "/"
    values: list[Any] = list(found["dashboards"].values()) if of_dashboards else given_alerts(found)
    for key in path[1:] if of_dashboards else path:
        values = [value[key] for value in values]
    return values


def _variables(found: dict[str, Any], key: str, value: str) -> list[dict[str, Any]]:
    lists = _every(found, "/", "templating", "list")
    return [each for list_ in lists for each in list_ if each[key] == value]


CHANGES: dict[str, tuple[Any, Callable[[dict[str, Any]], bool]]] = {
    "selector": (
        'job="mine"',
        lambda found: 'absent(up{job="mine"})' in [rule["expr"] for rule in given_alerts(found)],
    ),
    "groups": (
        ["routecache-requests"],
        lambda found: (
            [group["name"] for group in found["rules"]["groups"]] == ["routecache-requests"]
            and found["alerts"]["groups"] == []
        ),
    ),
    "optionalGroups": (
        ["routecache-providers"],
        lambda found: (
            set(_every(found, "alert")) - {rule["alert"] for rule in alerts(RULE_FILES)}
            == {"RouteCacheProviderUnhealthy"}
        ),
    ),
    "disabledAlerts": (
        ["RouteCacheLookupBudgetBurn", "RouteCacheL2Down"],
        lambda found: (
            {rule["alert"] for rule in alerts(RULE_FILES)} - set(_every(found, "alert"))
            == {"RouteCacheLookupBudgetBurn", "RouteCacheL2Down"}
        ),
    ),
    "alertLabels": (
        {"team": "routing", "severity": "never"},
        lambda found: (
            {labels.get("team") for labels in _every(found, "labels")} == {"routing", "platform"}
            and "never" not in {labels["severity"] for labels in _every(found, "labels")}
        ),
    ),
    "alertFor": (
        {"RouteCacheL2Down": "7m"},
        lambda found: (
            [rule["alert"] for rule in given_alerts(found) if rule.get("for") == "7m"]
            == ["RouteCacheL2Down"]
        ),
    ),
    "runbooksUrl": (
        "https://runbooks.example/cache",
        lambda found: (
            _every(found, "annotations", "runbook_url")
            == [f"https://runbooks.example/cache/{name}.md" for name in _every(found, "alert")]
            and {each["query"] for each in _variables(found, "name", "runbooks")}
            == {"https://runbooks.example/cache"}
        ),
    ),
    "grafanaUrl": (
        "https://grafana.example",
        lambda found: all(
            url.startswith("https://grafana.example/d/routecache-")
            for url in _every(found, "annotations", "dashboard_url")
        ),
    ),
    "dashboardFolder": ("Caches", lambda found: found["folder"] == "Caches"),
    "dashboardTitlePrefix": (
        "Cache: ",
        lambda found: all(title.startswith("Cache: ") for title in _every(found, "/", "title")),
    ),
    "dashboardTags": (
        ["a", "b"],
        lambda found: (
            all(tags == ["a", "b"] for tags in _every(found, "/", "tags"))
            and all(links[0]["tags"] == ["a", "b"] for links in _every(found, "/", "links"))
        ),
    ),
    "dashboardRefresh": ("1m", lambda found: set(_every(found, "/", "refresh")) == {"1m"}),
    "dashboardTimezone": ("utc", lambda found: set(_every(found, "/", "timezone")) == {"utc"}),
    "datasource": (
        "Mimir",
        lambda found: all(
            each.get("current") == {"text": "Mimir", "value": "Mimir"}
            for each in _variables(found, "type", "datasource")
        ),
    ),
    "datasourceRegex": (
        "/^prod/",
        lambda found: all(
            each.get("regex") == "/^prod/" for each in _variables(found, "type", "datasource")
        ),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_choice_does_what_it_says(name: str) -> None:
    """And a default is not yet what it is changed to here."""
    value, changed = CHANGES[name]
    assert changed(mixin(**{name: value}))
    assert not changed(mixin())


def test_every_choice_is_tested() -> None:
    """Whoever adds one adds its test."""
    snippet = "(import 'mixin.libsonnet')._config.routecache"
    assert set(evaluated(snippet, path=ROOT / "test.jsonnet")) == {*CHANGES, "redisSelector"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"selektor": "x"}, "selektor"),
        ({"groups": ["routecache-requets"]}, "groups: unknown: routecache-requets"),
        ({"optionalGroups": ["routecache-l2"]}, "optionalGroups: unknown: routecache-l2"),
        ({"disabledAlerts": ["L2Down"]}, "disabledAlerts: unknown: L2Down"),
        ({"alertFor": {"RouteCacheL2Dwon": "5m"}}, "alertFor: unknown: RouteCacheL2Dwon"),
    ],
)
def test_a_misspelt_name_is_refused(config: dict[str, Any], message: str) -> None:
    """It would be passed over in silence otherwise."""
    with pytest.raises(RuntimeError, match=message):
        mixin(**config)
