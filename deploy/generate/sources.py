"""The committed rules and dashboards that everything here is written from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
RULES: Final = DEPLOY / "prometheus" / "rules"
OPTIONAL: Final = DEPLOY / "prometheus" / "optional"
DASHBOARDS: Final = ROOT / "dashboards" / "json"

NOTICE: Final = "Written by `make manifests`: change what it is written from, and run it again."


def rule_files(folder: Path = RULES) -> list[Path]:
    """The files of rules, in order; those of `OPTIONAL` are for who asks for them."""
    return sorted(folder.glob("*.yml"))


def dashboard_files() -> list[Path]:
    """The files of dashboards, in order."""
    return sorted(DASHBOARDS.glob("*.json"))


def groups(folder: Path = RULES) -> Iterator[Mapping[str, Any]]:
    """Every group of rules in a folder."""
    for path in rule_files(folder):
        yield from yaml.safe_load(path.read_text("utf-8"))["groups"]
