"""The rules that the monitoring pack writes, and the command that writes them."""

from pathlib import Path

import pytest
import yaml

from routecache_exporters.cli import main
from routecache_exporters.demo.shorten import RANGES, WAITS
from routecache_exporters.pack import build, inhibition
from routecache_exporters.pack.config import Config, seconds
from routecache_exporters.pack.config_file import parse
from routecache_exporters.pack.groups import files, groups
from routecache_exporters.pack.masks import CAUSES
from routecache_exporters.pack.panels import PANELS
from routecache_exporters.pack.rules import Recording

FILE = Path("my.yaml")


def test_committed_files_are_what_the_code_says() -> None:
    assert build.differences(build.ROOT) == []


def test_check_fails_on_a_stale_and_a_left_over_file_and_a_write_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in build.render(build.ROOT):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((build.ROOT / name).read_text())
    assert build.main(["--check"], tmp_path) == 0
    stale = tmp_path / "deploy/prometheus/rules/routecache-l2.yml"
    stale.write_text(stale.read_text().replace(">= 0.5", ">= 0.6"))
    (tmp_path / "deploy/prometheus/rules/gone.yml").write_text("groups: []\n")
    assert build.main(["--check"], tmp_path) == 1
    shown = capsys.readouterr().out
    assert "routecache_l2_circuits_open:ratio >= 0.6" in shown
    assert "--- deploy/prometheus/rules/gone.yml" in shown
    assert build.main([], tmp_path) == 0
    assert build.main(["--check"], tmp_path) == 0


def test_every_alert_has_a_panel_and_is_in_the_table_of_causes_or_silent() -> None:
    named = {alert.name for group in groups(Config()) for alert in group.alerts}
    assert named == set(PANELS) == {*CAUSES, "RecentCause", "Watchdog"}


def test_a_group_comes_after_those_that_record_what_it_reads() -> None:
    config, recorded = Config(), dict[str, str]()
    for group in groups(config):
        for rule in group.rules:
            for record, owner in recorded.items():
                if record in rule.expr and owner != group.name:
                    assert owner in group.needs, f"{group.name} reads {record} of {owner}"
            if isinstance(rule, Recording):
                assert rule.record not in recorded, "recorded twice"
                recorded[rule.record] = group.name


def test_what_one_configures_is_in_the_rules() -> None:
    text = (
        "jobs: {routers: llm, redis: valkey}\naggregation_labels: [env, job]\nredis_labels: [env]\n"
        "urls: {runbooks: 'https://wiki/x', runbook_suffix: '', dashboards: 'https://g/d'}\n"
        "objectives: {latency: {target: 0.95, within: 0.01}, lookup: {floor: 7}}\n"
        "alerts: {L2Down: {for: 3m, threshold: 0.4}, L1Thrashing: {enabled: false}}\nmemory: 2h\n"
    )
    made = files(parse(FILE, text.encode()), optional=True)
    whole = "\n".join(made.values())
    assert 'absent(up{job="llm"})' in whole
    assert 'redis_evicted_keys_total{job="valkey"}' in whole
    assert "and on (env)\nsum by (env)" in made["routecache-redis.yml"].replace("          ", "")
    assert "env_job_cache:routecache_requests:rate5m" in whole
    assert "cluster" not in whole
    assert 'le="0.01"' in whole
    assert "> 14.4 * 0.05" in whole
    assert "env_job_cache:routecache_requests:rate1h > 7" in whole
    assert 'https://wiki/x/RouteCacheL2Down"' in whole
    assert "https://g/d/routecache-overview" in whole
    assert "for: 3m" in made["routecache-l2.yml"]
    assert "ratio >= 0.4" in made["routecache-l2.yml"]
    assert "L1Thrashing" not in whole
    assert "[2h]" in made["routecache-silent.yml"]


def test_inhibitions_follow_the_labels_of_the_fleet() -> None:
    config = parse(FILE, b"aggregation_labels: [env, job]\nredis_labels: [env]")
    for rule in inhibition.inhibit_rules(config):
        assert rule["equal"][:2] == ["env", "job"]
    assert yaml.safe_load(inhibition.text(config)) == {
        "inhibit_rules": inhibition.inhibit_rules(config)
    }


def test_the_demos_map_has_every_duration_of_the_shipped_configuration() -> None:
    """So that none is interpolated, and their order is kept."""
    config = Config()
    jump = config.miss_ratio
    ranges = (*config.windows, config.window, jump.window, jump.baseline, jump.offset,
              jump.settled, config.memory)  # fmt: skip
    assert {seconds(window) for window in ranges} <= RANGES.keys()
    waits = {limit.wait for limit in config.alerts.values()}
    waits |= {config.burns.page_for, config.burns.ticket_for}
    assert {seconds(wait) for wait in waits} <= WAITS.keys()


def test_the_command_prints_or_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("jobs: {routers: llm}\n")
    assert main(["rules", "--config", str(config)]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    names = {group["name"] for document in printed for group in document["groups"]}
    assert names == {f"routecache-{group.name}" for group in groups(Config(), optional=False)}
    target = tmp_path / "rules"
    assert main(["rules", "--config", str(config), "--optional", "--write", str(target)]) == 0
    written = {path.name: path.read_text() for path in target.iterdir()}
    assert written == files(parse(FILE, config.read_bytes()), optional=True)
    assert "wrote 12 rule files" in capsys.readouterr().out
    assert main(["rules", "--inhibitions"]) == 0
    assert capsys.readouterr().out == inhibition.text(Config())


def test_the_configuration_in_force_reads_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("alerts: {L2Down: {for: 3m}}\nmasks: {Stampede: {accompanies: []}}\n")
    assert main(["rules", "--config", str(config), "--show-config"]) == 0
    shown = capsys.readouterr().out
    assert parse(FILE, shown.encode()) == parse(FILE, config.read_bytes())


def test_a_mistake_is_one_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("alert: {}\n")
    assert main(["rules", "--config", str(config)]) == 2
    assert "line 1: alert: no such key; did you mean alerts?" in capsys.readouterr().err
    assert main(["rules", "--write", f"{config}/x"]) == 2
    assert "cannot write" in capsys.readouterr().err
