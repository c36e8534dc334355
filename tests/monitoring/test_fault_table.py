"""Every alert has a fault that it is proved by, or a reason why it needs none."""

from pathlib import Path

import yaml

from bench.faults.table import FAULTS, NOT_TOLD
from bench.faults.verdict import alert_name, without_severity
from routecache_exporters.pack.config import PREFIX
from routecache_exporters.pack.masks import CAUSES

ROOT = Path(__file__).resolve().parents[2]


def deployed_alerts() -> set[str]:
    """All alerts of the rule files, the optional ones included, named as the faults name them."""
    found = set()
    for path in (ROOT / "deploy" / "prometheus").glob("[ro]*/*.yml"):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    name = rule["alert"].removeprefix(PREFIX)
                    found.add(alert_name(name, rule["labels"]["severity"]))
    return found


def test_every_alert_has_a_fault_or_a_reason() -> None:
    """And no fault is for an alert that is not there."""
    faulty = {alert for fault in FAULTS.values() for alert in fault.alerts}
    assert deployed_alerts() <= faulty | NOT_TOLD.keys()
    assert not faulty & NOT_TOLD.keys()
    assert {without_severity(alert) for alert in faulty} == set(CAUSES)
