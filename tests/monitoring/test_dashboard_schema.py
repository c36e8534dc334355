"""The dashboards' files against the types of Grafana itself (schema/README.md)."""

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from tests.monitoring.sources import DEPLOY, dashboards, load

SCHEMA = Path(__file__).parent / "schema" / "classic-11.6.5.json"

every_dashboard = pytest.mark.parametrize("uid", dashboards())


@cache
def _checker(kind: str = "") -> Callable[[Any], Any]:
    """Checks a panel of one kind, or without one a whole dashboard."""
    schema = json.loads(SCHEMA.read_text())
    part = _of_kind(schema, kind) if kind else {"$ref": "#/definitions/Classic"}
    made: Callable[[Any], Any] = fastjsonschema.compile(
        {**part, "definitions": schema["definitions"]}
    )
    return made


def _of_kind(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """The type of one kind of panel: an alternative of them all would tell no more than no."""
    kinds = schema["definitions"]["Classic"]["properties"]["panels"]["items"]["anyOf"]
    named: list[dict[str, Any]] = [
        schema["definitions"][kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind
        for kind in kinds
    ]
    (found,) = [kind for kind in named if kind["properties"]["type"].get("const") == name]
    return found


def test_the_types_are_those_of_the_grafana_that_is_deployed() -> None:
    image = load(DEPLOY / "compose.yaml")["services"]["grafana"]["image"]
    assert image.rpartition(":")[2] == SCHEMA.stem.partition("-")[2]


@every_dashboard
def test_every_panel_is_of_its_type(uid: str) -> None:
    """No option that Grafana does not have, none of another kind of panel, no wrong value."""
    for panel in dashboards()[uid]["panels"]:
        _checker(panel["type"])(panel)


@every_dashboard
def test_the_whole_file_is_a_dashboard(uid: str) -> None:
    _checker()(dashboards()[uid])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("fieldConfig", "defaults", "custom", "lineWidht"), 1),
        (("fieldConfig", "defaults", "custom", "drawStyle"), "areas"),
        (("options", "legend", "placement"), "left"),
        (("targets", 0, "legend"), "x"),
        (("renderer",), "flot"),
    ],
    ids=str,
)
def test_a_mistake_is_found(place: tuple[str | int, ...], value: object) -> None:
    """A misspelt option, a value that does not exist, a field of the retired graph panel."""
    panels = dashboards()["routecache-overview"]["panels"]
    panel = copy.deepcopy(next(panel for panel in panels if panel["type"] == "timeseries"))
    inner = panel
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        _checker("timeseries")(panel)
