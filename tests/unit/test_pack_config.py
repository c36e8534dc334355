"""The monitoring pack's configuration: what a file changes, and what it is refused for."""

import dataclasses
from pathlib import Path

import pytest

from routecache.errors import ConfigurationError
from routecache_exporters.pack import masks
from routecache_exporters.pack.check import PAGES, check
from routecache_exporters.pack.config import LIMITS, Burn, Config, Duration, seconds
from routecache_exporters.pack.config_file import load, parse
from routecache_exporters.pack.masks import CAUSES, MASKS, Mask, allowed

FILE = Path("my.yaml")


def read(text: str) -> Config:
    return parse(FILE, text.encode())


def test_an_empty_file_changes_nothing() -> None:
    assert read("") == read("# nothing") == Config()


def test_the_shipped_configuration_can_work() -> None:
    check(Config())


def test_a_file_replaces_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        "jobs: {routers: llm-router}\n"
        "aggregation_labels: [cluster, env, job]\n"
        "redis_labels: [env]\n"
        "objectives:\n  latency: {target: 0.95, within: 0.01}\n"
        "alerts:\n  L2Down: {for: 5m}\n  L1Thrashing: {enabled: false}\n"
        "masks:\n  L1Thrashing: {explains: [MissRatioJumped], accompanies: []}\n"
        "memory: 3h\n"
    )
    config = load(path)
    assert config.jobs == dataclasses.replace(Config().jobs, routers="llm-router")
    assert config.by("cache") == "cluster, env, job, cache"
    assert config.recorded("x", "sum", "l2") == "cluster_env_job_l2:routecache_x:sum"
    assert config.objectives.latency.budget == 0.05
    assert config.objectives.lookup == Config().objectives.lookup
    assert config.alerts["L2Down"] == dataclasses.replace(LIMITS["L2Down"], wait=Duration("5m"))
    assert not config.alerts["L1Thrashing"].enabled
    assert config.alerts["L1Thrashing"].threshold == 0.1
    assert config.masks == {**MASKS, "L1Thrashing": Mask(explains=("MissRatioJumped",))}
    assert config.memory == "3h"


def test_burn_windows_are_pairs() -> None:
    text = "[{long: 2h, short: 10m, factor: 10}, {long: 6h, short: 30m, factor: 6}]"
    config = read(f"burns: {{page: {text}}}")
    assert config.burns.page == (
        Burn(Duration("2h"), Duration("10m"), 10),
        Burn(Duration("6h"), Duration("30m"), 6),
    )
    assert config.windows == ("10m", "30m", "2h", "6h", "1d", "3d")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("job: x", r"my.yaml, line 1: job: no such key; did you mean jobs\?"),
        ("alerts:\n  L2Dwn: {for: 1m}", r"line 2: alerts.L2Dwn: no such key; did you mean L2Down"),
        ("alerts: {L2Down: {wait: 1m}}", r"alerts.L2Down.wait: no such key"),
        ("alerts: {TargetDown: {floor: 1}}", r"alerts.TargetDown.floor: no such key"),
        ("alerts: {L2Down: {for: soon}}", r"alerts.L2Down.for: give a duration"),
        ("alerts: {L2Down: {threshold: much}}", r"alerts.L2Down.threshold: give a number"),
        ("alerts: {L2Down: {threshold: -1}}", r"my.yaml: alerts.L2Down.threshold: give 0 or more"),
        ("alerts: {L2Down: {enabled: perhaps}}", r"enabled: give true or false"),
        ("jobs: {routers: ''}", r"jobs.routers: give a job's name"),
        ("jobs: {routers: 'a\"b'}", r"jobs.routers: give a job's name, without quotes"),
        ('urls: {dashboards: "a\\nb"}', r"urls.dashboards: give text in one line"),
        ("aggregation_labels: cluster", r"aggregation_labels: give a list"),
        ("aggregation_labels: [cluster, namespace]", r"job must be among them"),
        ("aggregation_labels: [namespace, cluster, job, pod]", r"pod is a replica's"),
        ("aggregation_labels: [namespace, cluster, job, cache]", r"cache is one of the metrics'"),
        ("aggregation_labels: [namespace, cluster, job, a-b]", r"'a-b' is no label"),
        ("aggregation_labels: [job, namespace, cluster, job]", r"a label is there twice"),
        ("redis_labels: [zone]", r"redis_labels: name some of aggregation_labels"),
        ("objectives: {latency: {within: 0.004}}", r"a histogram can tell 0.0001, 0.00025"),
        ("objectives: {lookup: {target: 99.9}}", r"objectives.lookup.target: give a share"),
        ("objectives: {lookup: {floor: -1}}", r"objectives.lookup.floor: give 0 or more"),
        ("burns: {page: [{long: 1h}]}", r"burns.page: give a list of 2"),
        ("burns: {page: {long: 1h}}", r"burns.page: give a list"),
        ("burns: {page: [{long: 5m}, {}]}", r"short window 5m is not shorter than 5m"),
        ("burns: {ticket: [{factor: 0}, {}]}", r"burns.ticket: give a factor above 0"),
        ("burns: {budget_window: 2d}", r"burns.budget_window: shorter than the longest window"),
        ("scrape_interval: 2m", r"burns: 5m is shorter than 4 scrape intervals"),
        ("masks: {L1Thrashing: {explains: [L2Down]}}", r"must not hold back L2Down, a page"),
        ("masks: {L1Thrashing: {explains: [Thrash]}}", r"L1Thrashing: there is no alert Thrash"),
        ("masks: {MissRatio: {}}", r"masks.MissRatio: no such key"),
        ("masks: {L2Down: {accompanies: [Stampede]}}", r"either explained or accompanies"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*none\.yaml"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "length"), [("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("2w1d", 1296000)]
)
def test_durations_are_prometheus_own(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "5", "m", "5m1h", "1.5h", "5 m", "0s", "5min"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds(text)


def test_a_cause_may_bring_what_accompanies_it_and_what_that_brings_but_not_what_it_explains() -> (
    None
):
    table = {
        "A": Mask(explains=("X",), accompanies=("B",)),
        "B": Mask(accompanies=("X", "C")),
        "C": Mask(accompanies=("A",)),
    }
    assert allowed("A", table) == {"A", "B", "C"}
    assert allowed("B", table) == {"A", "B", "C", "X"}
    assert allowed("Z", table) == {"Z"}


def test_an_outage_pages_once() -> None:
    """What an outage of Redis may notify, with the shipped table, has one page in it."""
    assert allowed("L2Down") & set(PAGES) == {"L2Down"}


def test_the_shipped_tables_name_every_alert_that_tells_somebody_something() -> None:
    budgets = {"LookupBudgetBurn", "LatencyBudgetBurn", "FreshnessBudgetBurn"}
    assert set(CAUSES) == set(LIMITS) | budgets
    assert masks.mistakes(MASKS, PAGES, CAUSES) == []
