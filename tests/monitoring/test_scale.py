"""docs/scale.md and what it was measured with: configurations, families, and a short run."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from bench.scale.page import Line, Page, busy, take
from bench.scale.server import running
from dashboards import families, reference, typical
from routecache_exporters import RoutecacheCollector
from routecache_exporters.catalog import METRICS
from tests.helpers import eventually
from tests.monitoring.sources import PROMETHEUS, recordings, rules
from tests.pages_code import ROOT, Block, blocks

PAGE = ROOT / "docs/scale.md"
CONFIGS = blocks(PAGE, "yaml prometheus")


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_a_configuration_on_the_page_is_one_that_prometheus_takes(
    block: Block, tmp_path: Path
) -> None:
    shutil.copytree(PROMETHEUS / "rules", tmp_path / "rules")
    (tmp_path / "prometheus.yml").write_text(block.text)
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def selectors() -> list[str]:
    """What the page sends upwards, as patterns of names that Prometheus anchors."""
    found = []
    for block in CONFIGS:
        config = yaml.safe_load(block.text)
        for job in config["scrape_configs"]:
            for selector in job.get("params", {}).get("match[]", ()):
                found += re.findall(r'__name__=~"([^"]+)"', selector)
        for write in config.get("remote_write", ()):
            found += [r["regex"] for r in write.get("write_relabel_configs", ())]
    return found


def test_what_is_sent_upwards_is_every_recorded_series_and_no_router_s() -> None:
    assert len(selectors()) == 2
    for pattern in selectors():
        assert all(re.fullmatch(pattern, name) for name in recordings())
        assert not any(re.fullmatch(pattern, name) for m in METRICS for name in reference.names(m))


def exposed() -> dict[str, int]:
    """How many series of each name a working router's page has, as Prometheus reads it."""
    registry = CollectorRegistry()
    registry.register(RoutecacheCollector(typical.working))
    counts: dict[str, int] = {}
    for line in generate_latest(registry).decode().splitlines():
        if line and not line.startswith("#"):
            name = re.split(r"[{ ]", line)[0]
            counts[name] = counts.get(name, 0) + 1
    return counts


def relabelled(what: str) -> str:
    (config,) = (
        yaml.safe_load(block.text)["metric_relabel_configs"][0]
        for block in blocks(families.OUTPUT, "yaml")
        if f"action: {what}" in block.text
    )
    return str(config["regex"])


def test_what_the_pages_need_is_kept_and_as_large_as_the_page_says() -> None:
    """The regex keeps every series that an alert of severity critical reads, to the number."""
    pattern = relabelled("keep")
    kept = sum(n for name, n in exposed().items() if re.fullmatch(pattern, name))
    row = re.search(r"\| the alerts that page \| \d+ \| (\d+) \|", families.render())
    assert row is not None
    assert kept == int(row[1])
    needed: set[str] = set()
    for rule in rules():
        if rule.get("labels", {}).get("severity") == "critical":
            ahead = reference.used(rule["expr"])
            while ahead:
                needed |= ahead
                ahead = {
                    name
                    for record in ahead & recordings().keys()
                    for name in reference.used(recordings()[record]["expr"])
                } - needed
    ours = needed & exposed().keys()
    assert len(ours) >= 5
    assert all(re.fullmatch(pattern, name) for name in ours)


def test_what_may_be_dropped_first_is_what_no_alert_reads() -> None:
    pattern = relabelled("drop")
    dropped = {name for name in exposed() if re.fullmatch(pattern, name)}
    assert dropped
    assert not any(dropped & reference.used(rule["expr"]) for rule in rules())


def test_an_alert_that_a_family_keeps_silent_is_marked() -> None:
    """Without build_info each target would look as if its exporter were unmounted."""
    row = next(line for line in families.render().splitlines() if "`routecache_build_info`" in line)
    assert "ExporterUnmounted (fires instead)" in row


def test_counts_of_a_simulated_router_are_whole_and_never_fall() -> None:
    page = Page(
        (Line("routecache_hits_total", 5.0, 0.7, True), Line("seconds_sum", 0.5, 0.1, False)), 1
    )
    clock = busy(1, 100.0)
    seen = [dict(page.samples(clock.at(float(at)))) for at in range(0, 100, 5)]
    hits = [float(values["routecache_hits_total"]) for values in seen]
    assert hits == sorted(hits)
    assert all(value.is_integer() for value in hits)
    assert len({b - a for a, b in pairwise(hits)}) > 5  # it wanders
    assert 0.7 * 40 * 95 < hits[-1] - hits[0] < 0.7 * 170 * 95


def test_a_short_run_scrapes_every_router_and_evaluates_every_group() -> None:
    page = take()
    with running(page, 3, 100.0, "1s") as server:
        eventually(lambda: server.up() == 3, 60)
        first = server.read()
        eventually(lambda: server.read().samples > first.samples + 2 * 3 * len(page.lines), 60)
        eventually(
            lambda: len(server.read().rules) == len(list(PROMETHEUS.glob("rules/*.yml"))), 60
        )
        last = server.read()
    assert 3 * len(page.lines) < last.series < 3 * len(page.lines) + 1500
    assert last.wal > first.wal
    assert last.memory > 0
    assert page.idle < len(page.lines)
    assert sum(growing.growth > 0 for growing in page.lines) > 200
