"""The demo's Prometheus and Alertmanager configuration against the deployed one."""

import shutil
from typing import Any

import pytest
import yaml

from routecache_exporters.demo import stack
from routecache_exporters.demo.deployed import deployed
from routecache_exporters.demo.stack import Addresses, alertmanager_config, prometheus_config
from routecache_exporters.usage import UsageError

ADDRESSES = Addresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "http://127.0.0.1:4/")


def read(*parts: str) -> dict[str, Any]:
    path = deployed(*parts)
    assert path is not None
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def test_prometheus_scrapes_what_the_demo_runs_and_nothing_else() -> None:
    config = prometheus_config(read("prometheus", "prometheus.yml"), ADDRESSES)
    targets = {
        job["job_name"]: [t for static in job["static_configs"] for t in static["targets"]]
        for job in config["scrape_configs"]
    }
    assert targets["routecache"] == ["127.0.0.1:1"]
    everywhere = {target for job in targets.values() for target in job}
    assert everywhere <= {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
    assert config["global"]["scrape_interval"] == config["global"]["evaluation_interval"] == "1s"
    alertmanagers = config["alerting"]["alertmanagers"]
    assert alertmanagers == [{"static_configs": [{"targets": ["127.0.0.1:3"]}]}]


def test_alertmanager_keeps_routes_and_inhibitions_and_notifies_the_inbox() -> None:
    was = read("alertmanager", "alertmanager.yml")
    config = alertmanager_config(was, ADDRESSES)
    assert config.get("inhibit_rules") == was.get("inhibit_rules")
    assert config["route"]["group_by"] == was["route"]["group_by"]
    assert [r["name"] for r in config["receivers"]] == [r["name"] for r in was["receivers"]]
    for old, new in zip(was["receivers"], config["receivers"], strict=True):
        silent = not any(key.endswith("_configs") for key in old)
        assert new.get("webhook_configs", []) == (
            [] if silent else [{"url": ADDRESSES.webhook, "send_resolved": True}]
        )
    assert "router:" not in yaml.safe_dump(config)


def test_waits_are_shortened_in_every_route() -> None:
    config: dict[str, Any] = {
        "route": {
            "group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h",
            "routes": [{"group_wait": "1m", "routes": [{"group_wait": "0s"}]}],
        },
        "receivers": [{"name": "a", "slack_configs": [{}], "email_configs": [{}]}],
    }  # fmt: skip
    derived = alertmanager_config(config, ADDRESSES)
    route = derived["route"]
    assert (route["group_wait"], route["group_interval"]) == ("8s", "2s")
    assert route["repeat_interval"] == "4h"
    assert route["routes"][0]["group_wait"] == "8s"
    assert route["routes"][0]["routes"][0]["group_wait"] == "0s"
    assert set(derived["receivers"][0]) == {"name", "webhook_configs"}
    assert config["route"]["group_wait"] == "30s"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="prometheus is not on PATH"):
        stack.find_binaries()
    monkeypatch.setattr(shutil, "which", lambda name: "x" if name == "prometheus" else None)
    with pytest.raises(UsageError, match="alertmanager is not on PATH"):
        stack.find_binaries()


def test_an_installation_without_the_configuration_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(stack, "deployed", lambda *parts: None)
    with pytest.raises(UsageError, match="deploy/"):
        stack.find_binaries()
