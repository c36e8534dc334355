"""Jsonnet, as the Go implementation evaluates it, which mixins are used with; and our mixin."""

import json
from pathlib import Path
from typing import Any

import _gojsonnet  # type: ignore[import-not-found]

from tests.monitoring.sources import ROOT

ALL = """{
  alerts: mixin.prometheusAlerts,
  rules: mixin.prometheusRules,
  dashboards: mixin.grafanaDashboards,
  folder: mixin.grafanaDashboardFolder,
}"""


def evaluated(snippet: str, *, path: Path, vendor: Path | None = None) -> Any:
    """What a snippet gives.

    Args:
        snippet: Jsonnet.
        path: where it would lie: imports are looked up beside it.
        vendor: where they are looked up next.

    Raises RuntimeError with Jsonnet's own message.
    """
    more = {"jpathdir": [str(vendor)]} if vendor else {}
    return json.loads(_gojsonnet.evaluate_snippet(str(path), snippet, **more))


def mixin(**config: Any) -> dict[str, Any]:
    """Everything that the mixin gives, with these keys of `_config.routecache`."""
    snippet = (
        "local mixin = (import 'mixin.libsonnet') + "
        f"{{ _config+:: {{ routecache+: {json.dumps(config)} }} }}; {ALL}"
    )
    found: dict[str, Any] = evaluated(snippet, path=ROOT / "test.jsonnet")
    return found


def given_alerts(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The alerts that the mixin gave."""
    return [rule for group in found["alerts"]["groups"] for rule in group["rules"]]


def given_rules(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The alerts and recording rules that the mixin gave."""
    recorded = [rule for group in found["rules"]["groups"] for rule in group["rules"]]
    return given_alerts(found) + recorded
