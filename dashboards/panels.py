"""Panels in one style: the panel types that the dashboards use, with their defaults set once."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.builders import timeseries as series
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.shared import DATASOURCE

Query: TypeAlias = tuple[str, str]
"""A PromQL expression and the legend of its series."""
Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""Thresholds: from this value on (None: from the lowest) this colour."""

LOG10: Final = common.ScaleDistributionConfig().type(common_model.ScaleDistribution.LOG).log(10)
_REFS = "ABCDEFGHIJKLMNOP"


def timeseries(
    number: int, title: str, description: str, unit: str, queries: Sequence[Query]
) -> series.Panel:
    """Lines over time. `number` is the panel's id, which links in alerts hold on to."""
    panel = (
        series.Panel()
        .id(number)
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .line_width(1)
        .fill_opacity(0)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.LIST)
            .placement(common_model.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    for ref, (expr, legend) in zip(_REFS, queries, strict=False):
        panel.with_target(_query(ref, expr).legend_format(legend).range())
    return panel


def stacked(
    number: int, title: str, description: str, unit: str, queries: Sequence[Query]
) -> series.Panel:
    """Areas on top of each other: parts of a whole, over time."""
    return (
        timeseries(number, title, description, unit, queries)
        .fill_opacity(60)
        .min(0)
        .stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
    )


def stat(number: int, title: str, description: str, unit: str, expr: str) -> stats.Panel:
    """One number, now, above its course over the dashboard's time."""
    return (
        stats.Panel()
        .id(number)
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(common_model.BigValueGraphMode.AREA)
        .color_mode(common_model.BigValueColorMode.VALUE)
        .thresholds(thresholds([(None, "text")]))
        .with_target(_query("A", expr).legend_format(title).range())
    )


def bars(number: int, title: str, description: str, unit: str, query: Query) -> bargauge.Panel:
    """One horizontal bar per series, now."""
    expr, legend = query
    return (
        bargauge.Panel()
        .id(number)
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .orientation(common_model.VizOrientation.HORIZONTAL)
        .display_mode(common_model.BarGaugeDisplayMode.BASIC)
        .with_target(_query("A", expr).legend_format(legend).instant())
    )


def table(
    number: int, title: str, description: str, queries: Sequence[str], columns: Mapping[str, str]
) -> tables.Panel:
    """Rows of labels, with one value column per query, now.

    columns: what is shown, in order: a label or `Value #A` (`Value` if there is one query), and
        its header.
    """
    panel = (
        tables.Panel()
        .id(number)
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .min_width(60)
        .cell_height(common_model.TableCellHeight.SM)
        .show_header(True)
    )
    for ref, expr in zip(_REFS, queries, strict=False):
        panel.with_target(_query(ref, expr).instant().format(PromQueryFormat.TABLE))
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    shown = {"include": {"names": list(columns)}}
    order = {
        "excludeByName": {},
        "indexByName": {name: index for index, name in enumerate(columns)},
        "renameByName": dict(columns),
    }
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="filterFieldsByName", options=shown)
    ).with_transformation(model.DataTransformerConfig(id_val="organize", options=order))


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Absolute thresholds."""
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


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


def _query(ref: str, expr: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).datasource(DATASOURCE).expr(expr)


def sort(column: str, *, descending: bool = False) -> common.TableSortByFieldState:
    """How a table is sorted, by a column's header."""
    return common.TableSortByFieldState().display_name(column).desc(descending)
