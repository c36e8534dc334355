"""How a panel's series, columns and values look: thresholds, colours, axes, mappings."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard
from grafana_foundation_sdk.builders import timeseries as series
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

from dashboards.colors import REFERENCE
from dashboards.limits import Limit

Steps: TypeAlias = Sequence[tuple[float | Limit | None, str]]
"""Thresholds: from this value on (None: from the lowest) this colour."""


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Absolute thresholds."""
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([_threshold(value, color) for value, color in steps])
    )


def _threshold(value: Any, color: str) -> model.Threshold:
    # A limit is a mark until the template is filled in; the SDK wants a number.
    return model.Threshold(value=value, color=color)


def lines_at(panel: series.Panel, steps: Steps) -> series.Panel:
    """Draw the thresholds as dashed lines."""
    style = common.GraphThresholdsStyleConfig().mode(common_model.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(thresholds(steps)).thresholds_style(style)


def colored(panel: series.Panel, colors: Mapping[str, str]) -> series.Panel:
    """Give series, by legend, a colour that means the same in every panel."""
    for name, color in colors.items():
        panel.override_by_name(name, fixed_color(color))
    return panel


def fixed_color(color: str) -> list[model.DynamicConfigValue]:
    """The override that paints in one colour."""
    return override(color={"mode": "fixed", "fixedColor": color})


def dashed(panel: series.Panel, name: str, color: str = REFERENCE) -> series.Panel:
    """Draw the series called `name` as a dashed line: a limit, a total, what it is held against."""
    style = {"fill": "dash", "dash": [6, 4]}
    return panel.override_by_name(
        name,
        override(
            color={"mode": "fixed", "fixedColor": color},
            custom__fillOpacity=0,
            custom__lineStyle=style,
            custom__stacking={"mode": "none", "group": "A"},
        ),
    )


def on_the_right(
    panel: series.Panel, name: str, unit: str, color: str, **more: object
) -> series.Panel:
    """Read the series called `name` (a regular expression between slashes) off an axis of its own,
    at the right."""
    properties = override(
        unit=unit,
        min=0,
        color={"mode": "fixed", "fixedColor": color},
        custom__axisPlacement="right",
        custom__fillOpacity=0,
        custom__stacking={"mode": "none", "group": "A"},
        **more,
    )
    if name.startswith("/"):
        return panel.override_by_regexp(name, properties)
    return panel.override_by_name(name, properties)


def override(**properties: object) -> list[model.DynamicConfigValue]:
    """Field overrides by property id; `__` stands for a dot: `custom__width`."""
    return [
        model.DynamicConfigValue(id_val=name.replace("__", "."), value=value)
        for name, value in properties.items()
    ]


def threshold_steps(steps: Steps) -> dict[str, object]:
    """Absolute thresholds as the value of an override."""
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": color} for value, color in steps],
    }


def value_map(options: Mapping[str, tuple[str, str]]) -> list[dict[str, object]]:
    """Value mappings as the value of an override: value to (text, colour)."""
    return [
        {
            "type": "value",
            "options": {
                value: {"text": text, "color": color, "index": index}
                for index, (value, (text, color)) in enumerate(options.items())
            },
        }
    ]


def regex_map(pattern: str, text: str) -> list[dict[str, object]]:
    """A value mapping as the value of an override: what matches `pattern` is shown as `text`."""
    result = {"text": text, "index": 0}
    return [{"type": "regex", "options": {"pattern": pattern, "result": result}}]


def sort(column: str, *, descending: bool = False) -> common.TableSortByFieldState:
    """How a table is sorted, by a column's header."""
    return common.TableSortByFieldState().display_name(column).desc(descending)
