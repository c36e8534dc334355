"""Where alerts go, and which silence which."""

import re
import subprocess
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest

from tests.monitoring.sources import DEPLOY, alerts, load

CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"
RECEIVERS = {"critical": "page", "warning": "ticket", "none": "null"}


def amtool(*arguments: str) -> str:
    """Run amtool and give what it prints."""
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def labels_of(alert: dict[str, Any]) -> dict[str, str]:
    """The labels by which an alert is routed and silenced."""
    return {"alertname": alert["alert"], **alert["labels"]}


def matches(matchers: list[str], labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy all matchers, of the forms that our configuration uses."""
    for matcher in matchers:
        found = re.fullmatch(r'(\w+)(=~|=)"([^"]*)"', matcher)
        assert found, f"a form that this test cannot read: {matcher}"
        label, operator, value = found.groups()
        actual = labels.get(label, "")
        if not (re.fullmatch(value, actual) if operator == "=~" else actual == value):
            return False
    return True


def silenced_pairs() -> set[tuple[str, str, str, str]]:
    """(source, its severity, target, its severity) for all pairs that some inhibition names."""
    return {
        (source["alertname"], source["severity"], target["alertname"], target["severity"])
        for rule in load(CONFIG)["inhibit_rules"]
        for source, target in permutations(map(labels_of, alerts()), 2)
        if matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(
            source.get(label, "") == target.get(label, "")
            for label in {"alertname", "severity"} & {*rule["equal"]}
        )
    }


@pytest.mark.needs("amtool")
def test_configuration_is_valid() -> None:
    """Alertmanager's own check."""
    amtool("check-config", str(CONFIG))


@pytest.mark.needs("amtool")
@pytest.mark.parametrize("alert", alerts(), ids=lambda a: f"{a['alert']}-{a['labels']['severity']}")
def test_alert_goes_where_its_severity_says(alert: dict[str, Any]) -> None:
    """critical pages, warning is a ticket (or the platform team's), none reaches nobody."""
    labels = labels_of(alert)
    expected = labels.get("team", RECEIVERS[labels["severity"]])
    arguments = [f"{name}={value}" for name, value in labels.items()]
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", *arguments) == expected


@pytest.mark.needs("amtool")
def test_unknown_severity_becomes_a_ticket() -> None:
    """An alert of somebody's own without our vocabulary is not lost."""
    found = amtool("config", "routes", "test", f"--config.file={CONFIG}", "alertname=Other")
    assert found == "ticket"


def test_a_cause_silences_what_it_explains_and_nothing_else() -> None:
    """The whole list, so that a wider matcher is noticed."""
    assert silenced_pairs() == {
        ("RouteCacheLookupBudgetBurn", "critical", "RouteCacheLookupBudgetBurn", "warning"),
        ("RouteCacheL2Down", "critical", "RouteCacheL2UnreachableFromSome", "warning"),
        ("RouteCacheL2Down", "critical", "RouteCacheL2ErrorRatioHigh", "warning"),
    }


def test_a_warning_never_silences_a_page() -> None:
    """Whatever is silenced is less urgent than what silences it."""
    assert all(source == "critical" != target for _, source, _, target in silenced_pairs())


def test_inhibitions_stay_within_one_job() -> None:
    """One fleet's outage says nothing about another's."""
    for rule in load(CONFIG)["inhibit_rules"]:
        assert {"cluster", "namespace", "job"} <= {*rule["equal"]}


def test_receivers_but_one_notify_and_tell_the_end() -> None:
    """Only the null receiver is silent; the others also say that it is over."""
    for receiver in load(CONFIG)["receivers"]:
        ways = [way for key in receiver if key.endswith("_configs") for way in receiver[key]]
        assert bool(ways) == (receiver["name"] != "null")
        assert all(way["send_resolved"] for way in ways)
