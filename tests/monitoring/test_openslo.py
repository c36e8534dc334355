"""The objectives as OpenSLO documents."""

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from routecache.errors import ConfigurationError
from routecache_exporters.catalog import METRICS
from routecache_exporters.pack import openslo
from routecache_exporters.pack.config import Burns, Config, Duration, Jobs, Objective, Objectives
from tests.monitoring import promql
from tests.monitoring.openslo_v1 import DOCUMENT, Slo
from tests.monitoring.sources import DEPLOY, load

COMMITTED: list[dict[str, Any]] = list(
    yaml.safe_load_all((DEPLOY / "openslo" / "routecache.yaml").read_text("utf-8"))
)
SLOS = {each["metadata"]["name"]: each for each in COMMITTED if each["kind"] == "SLO"}
NAMES = ["routecache-lookup", "routecache-latency", "routecache-freshness"]

every_slo = pytest.mark.parametrize("name", NAMES)


def slo(config: Config, name: str) -> Slo:
    """One objective of a configuration, checked against OpenSLO v1."""
    found = {each["metadata"]["name"]: each for each in openslo.documents(config)}[name]
    checked = DOCUMENT.validate_python(found)
    assert isinstance(checked, Slo)
    return checked


def queries(document: Slo) -> tuple[str, str]:
    """What is counted, and the total."""
    ratio = document.spec.indicator.spec.ratioMetric
    counted = ratio.good or ratio.bad
    assert counted
    found = [metric.metricSource.spec["query"] for metric in (counted, ratio.total)]
    return found[0], found[1]


def test_committed_documents_are_openslo_v1() -> None:
    """A service and the three objectives of the configuration, in the specification's terms."""
    for document in COMMITTED:
        DOCUMENT.validate_python(document)
    assert COMMITTED[0]["kind"] == "Service"
    assert list(SLOS) == NAMES
    assert {each["spec"]["service"] for each in SLOS.values()} == {COMMITTED[0]["metadata"]["name"]}
    assert openslo.documents(Config()) == COMMITTED


def test_who_is_told_is_a_receiver_of_alertmanager() -> None:
    """Under the same name; every policy names one, by its severity."""
    told = {
        each["metadata"]["name"] for each in COMMITTED if each["kind"] == "AlertNotificationTarget"
    }
    receivers = load(DEPLOY / "alertmanager" / "alertmanager.yml")["receivers"]
    assert told <= {receiver["name"] for receiver in receivers}
    policies = [policy for name in NAMES for policy in slo(Config(), name).spec.alertPolicies]
    for policy in policies:
        (target,) = policy.spec.notificationTargets
        assert target.targetRef == policy.spec.conditions[0].spec.severity
    assert {policy.spec.notificationTargets[0].targetRef for policy in policies} == told


BREAK: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a field that is not known": lambda it: it["spec"].update(indicatr={}),
    "no service": lambda it: it["spec"].pop("service"),
    "a name with capitals": lambda it: it["metadata"].update(name="Lookup"),
    "a target of 1": lambda it: it["spec"]["objectives"][0].update(target=1.0),
    "a duration in seconds": lambda it: it["spec"]["timeWindow"][0].update(duration="90s"),
    "two windows": lambda it: it["spec"]["timeWindow"].append(it["spec"]["timeWindow"][0]),
    "good and bad": lambda it: it["spec"]["indicator"]["spec"]["ratioMetric"].update(
        good=it["spec"]["indicator"]["spec"]["ratioMetric"]["total"]
    ),
    "no query": lambda it: it["spec"]["indicator"]["spec"]["ratioMetric"]["total"][
        "metricSource"
    ].update(spec={}),
    "nobody to tell": lambda it: it["spec"]["alertPolicies"][0]["spec"].pop("notificationTargets"),
    "two conditions": lambda it: it["spec"]["alertPolicies"][0]["spec"]["conditions"].append(
        it["spec"]["alertPolicies"][0]["spec"]["conditions"][0]
    ),
}


@pytest.mark.parametrize("mistake", BREAK)
def test_what_the_specification_forbids_is_seen(mistake: str) -> None:
    """The check can fail."""
    document = copy.deepcopy(SLOS["routecache-lookup"])
    BREAK[mistake](document)
    with pytest.raises(ValidationError):
        DOCUMENT.validate_python(document)


@every_slo
def test_targets_and_windows_are_those_of_the_configuration(name: str) -> None:
    """So are the burn rates, with their long windows."""
    config = Config()
    objective: Objective = getattr(config.objectives, name.removeprefix("routecache-"))
    spec = slo(config, name).spec
    assert [each.target for each in spec.objectives] == [objective.target]
    assert [each.duration for each in spec.timeWindow] == [config.burns.budget_window]
    conditions = [policy.spec.conditions[0].spec for policy in spec.alertPolicies]
    assert [
        (each.severity, each.condition.threshold, each.condition.lookbackWindow)
        for each in conditions
    ] == [
        *(("page", burn.factor, burn.long) for burn in config.burns.page),
        *(("ticket", burn.factor, burn.long) for burn in config.burns.ticket),
    ]
    assert {each.condition.alertAfter for each in conditions} == {
        config.burns.page_for, config.burns.ticket_for
    }  # fmt: skip


@every_slo
def test_queries_count_what_exists(name: str) -> None:
    """Metrics, labels and values of the catalogue; a bound is one of the histogram's."""
    for query in queries(slo(Config(), name)):
        assert list(promql.mistakes(query, set())) == []
        for metric, bound in re.findall(r'(\w+)_bucket\{.*le="([\d.]+)"', query):
            (histogram,) = [each for each in METRICS if each.name == metric]
            assert float(bound) in (histogram.buckets or ())


def test_a_configuration_of_ones_own_is_followed() -> None:
    """Job, target, bound and windows."""
    config = Config(
        jobs=Jobs(routers="llm"),
        objectives=Objectives(latency=Objective(0.95, within=0.01)),
        burns=Burns(budget_window=Duration("28d"), page_for=Duration("1h30m")),
    )
    document = slo(config, "routecache-latency")
    assert document.spec.objectives[0].target == 0.95
    assert document.spec.timeWindow[0].duration == "28d"
    condition = document.spec.alertPolicies[0].spec.conditions[0].spec.condition
    assert condition.alertAfter == "90m"
    counted, total = queries(document)
    assert 'le="0.01"' in counted
    assert all('job="llm"' in query for query in (counted, total))


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("14d", "14d"), ("2w", "14d"), ("36h", "36h"), ("1h30m", "90m"), ("300s", "5m")],
)
def test_durations_have_one_unit(duration: str, expected: str) -> None:
    """The longest in which they are whole."""
    assert openslo.shorthand(Duration(duration)) == expected


def test_a_duration_that_openslo_cannot_say_is_refused() -> None:
    """Rather than rounded."""
    burns = dataclasses.replace(Burns(), page_for=Duration("90s"))
    with pytest.raises(ConfigurationError, match="not 90s"):
        openslo.documents(Config(burns=burns))
