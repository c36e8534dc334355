"""Where alerts go, and which silence which."""

import re
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from routecache_exporters.pack.check import OBJECTIVES, PAGES
from routecache_exporters.pack.config import PREFIX, seconds
from routecache_exporters.pack.masks import MASKS
from tests.monitoring.sources import DEPLOY, PROMETHEUS, alerts, load

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


def sources() -> list[tuple[str, dict[str, str]]]:
    """What an inhibition can have as its source: an alert, or its memory; with the alert's name."""
    found = [(alert["alert"], labels_of(alert)) for alert in alerts()]
    memory = {"alertname": "RouteCacheRecentCause", "severity": "none"}
    remembered = [(name, {**memory, "cause": name}) for name in {name for name, _ in found}]
    return [*found, *remembered]


def silenced_pairs() -> set[tuple[str, str, str]]:
    """(cause, symptom, the symptom's severity) for all pairs that some inhibition names."""
    return {
        (cause, target["alertname"], target["severity"])
        for rule in load(CONFIG)["inhibit_rules"]
        for cause, source in sources()
        for target in map(labels_of, alerts())
        if matches(rule["source_matchers"], source) and matches(rule["target_matchers"], target)
    }


@pytest.mark.needs("amtool")
def test_configuration_is_valid() -> None:
    """Alertmanager's own check, of the example with real receivers and its templates, too."""
    for path in (CONFIG, CONFIG.with_name("receivers.example.yml")):
        amtool("check-config", str(path))


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


def test_a_cause_silences_what_the_table_explains_and_nothing_else() -> None:
    """Every pair, so that a wider matcher is noticed; of a page's own name only the ticket."""
    severities: dict[str, set[str]] = {}
    for alert in alerts():
        severities.setdefault(alert["alert"], set()).add(alert["labels"]["severity"])
    assert silenced_pairs() == {
        (f"{PREFIX}{cause}", f"{PREFIX}{symptom}", severity)
        for cause, mask in MASKS.items()
        for symptom in mask.explains
        for severity in severities[f"{PREFIX}{symptom}"]
        if symptom != cause or severity == "warning"
    }


def test_a_ticket_never_silences_a_page() -> None:
    """Whatever silences a page can itself page."""
    causes = {cause for cause, _, severity in silenced_pairs() if severity == "critical"}
    assert causes == {f"{PREFIX}L2Down", f"{PREFIX}InvalidationStalled"}
    assert causes <= {f"{PREFIX}{page}" for page in PAGES}


def test_a_page_about_now_is_held_back_only_while_its_cause_fires() -> None:
    """Not by the memory of a cause: an hour after an outage it is a fault of its own."""
    lasting = {f"{PREFIX}{name}" for name in PAGES if name not in OBJECTIVES}
    for rule in load(CONFIG)["inhibit_rules"]:
        remembers = 'alertname="RouteCacheRecentCause"' in rule["source_matchers"]
        hit = {
            alert["alert"]
            for alert in alerts()
            if matches(rule["target_matchers"], labels_of(alert))
        }
        assert not (remembers and hit & lasting)


def test_a_cause_fires_early_enough_to_hold_back_what_it_explains() -> None:
    """Its wait is shorter, or the first notification waits long enough for both."""
    waits: dict[str, float] = {}
    for alert in alerts():
        wait = seconds(alert["for"]) if "for" in alert else 0.0
        waits[alert["alert"]] = min(wait, waits.get(alert["alert"], wait))
    config = load(PROMETHEUS / "prometheus.yml")["global"]
    # The memory of a cause fires one evaluation after the cause.
    behind = seconds(config["evaluation_interval"])
    covered = seconds(load(CONFIG)["route"]["group_wait"])
    for cause, symptom, _ in silenced_pairs():
        assert waits[cause] + behind <= waits[symptom] + covered, (cause, symptom)


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
