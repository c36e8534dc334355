"""The monitoring's files, loaded."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULE_FILES = sorted(PROMETHEUS.glob("rules/*.yml"))
ALL_RULE_FILES = [*RULE_FILES, *sorted(PROMETHEUS.glob("optional/*.yml"))]
RULE_TESTS = sorted(PROMETHEUS.glob("tests/*.yml"))
RUNBOOKS = {path.stem: path for path in sorted(DEPLOY.glob("runbooks/*.md"))}
DASHBOARD_FILES = sorted((ROOT / "dashboards" / "json").glob("*.json"))


def load(path: Path) -> Any:
    """A YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules(files: Sequence[Path] = RULE_FILES) -> list[dict[str, Any]]:
    """Every rule of every group of these files. Nobody changes them."""
    return [
        rule for path in files for group in _read_once(path)["groups"] for rule in group["rules"]
    ]


@cache
def _read_once(path: Path) -> Any:
    return load(path)  # tests ask thousands of times


@cache
def recordings() -> dict[str, dict[str, Any]]:
    """Recording rules by name."""
    return {rule["record"]: rule for rule in rules() if "record" in rule}


def alerts(files: Sequence[Path] = ALL_RULE_FILES) -> list[dict[str, Any]]:
    """Alerting rules, optional ones too; an alert with two severities is there twice."""
    return [rule for rule in rules(files) if "alert" in rule]


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """The committed dashboards, by uid. Read once: nobody changes what this returns."""
    loaded = [json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARD_FILES]
    return {dashboard["uid"]: dashboard for dashboard in loaded}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Its panels, without the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a PromQL expression stands in a dashboard, and the expression."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield f"{panel['title']}, {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def runbook_queries(path: Path) -> Iterator[str]:
    """The PromQL expressions of a runbook: one per line that is not indented, without comments."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        without_comments = re.sub(r"^#.*\n", "", block, flags=re.MULTILINE)
        yield from re.split(r"\n(?=\S)", without_comments.strip())
