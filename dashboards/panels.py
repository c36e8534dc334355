"""Panels in one style: the panel types that the dashboards use, with their defaults set once."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    statetimeline,
)
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.builders import timeseries as series
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards import styles
from dashboards.shared import DATASOURCE

Query: TypeAlias = tuple[str, str]
"""A PromQL expression and the legend of its series."""
LOG10: Final = common.ScaleDistributionConfig().type(common_model.ScaleDistribution.LOG).log(10)
NO_GRAPH: Final = common_model.BigValueGraphMode.NONE
WITH_NAMES: Final = common_model.BigValueTextMode.VALUE_AND_NAME
_REFS = "ABCDEFGHIJKLMNOP"


def timeseries(
    number: int,
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    *,
    exemplars: bool = False,
) -> series.Panel:
    """Lines over time.

    number: the panel's id, which links in alerts hold on to.
    exemplars: show traces of what was slow as points that lead to them.
    """
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
        query = _query(ref, expr).legend_format(legend).range()
        panel.with_target(query.exemplar(True) if exemplars else query)
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


def events(
    number: int, title: str, description: str, unit: str, queries: Sequence[Query]
) -> series.Panel:
    """Bars on top of each other: what happens now and then, whose series come and go.

    Areas would join two events over all that was quiet between them.
    """
    bars_ = common_model.GraphDrawStyle.BARS
    return stacked(number, title, description, unit, queries).draw_style(bars_).line_width(0)


def stat(
    number: int,
    title: str,
    description: str,
    unit: str,
    expr: str,
    legend: str = "",
    *more: Query,
) -> stats.Panel:
    """One number, now, above its course over the dashboard's time; or several beside it."""
    panel = (
        stats.Panel()
        .id(number)
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(common_model.BigValueGraphMode.AREA)
        .color_mode(common_model.BigValueColorMode.VALUE)
        .thresholds(styles.thresholds([(None, "text")]))
    )
    for ref, (each, name) in zip(_REFS, [(expr, legend or title), *more], strict=False):
        panel.with_target(_query(ref, each).legend_format(name).range())
    return panel


def bars(
    number: int, title: str, description: str, unit: str, *queries: Query, upright: bool = False
) -> bargauge.Panel:
    """One bar per series, now; side by side if `upright`, else below each other."""
    along = common_model.VizOrientation
    panel = (
        bargauge.Panel()
        .id(number)
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .orientation(along.VERTICAL if upright else along.HORIZONTAL)
        .display_mode(common_model.BarGaugeDisplayMode.BASIC)
        .min(0)
    )
    for ref, (expr, legend) in zip(_REFS, queries, strict=False):
        panel.with_target(_query(ref, expr).legend_format(legend).instant())
    return panel


def heat_map(number: int, title: str, description: str, unit: str, expr: str) -> heatmap.Panel:
    """How many observations fell into which bucket, over time, with exemplars.

    expr: buckets by `le`.
    """
    colors = (
        heatmap.HeatmapColorOptions()
        .mode(heat.HeatmapColorMode.SCHEME)
        .scheme("Oranges")
        .exponent(0.5)
        .steps(64)
        .reverse(False)
    )
    query = _query("A", expr).legend_format("{{le}}").range().exemplar(True)
    return (
        heatmap.Panel()
        .id(number)
        .title(title)
        .description(description)
        .unit("ops")
        .cell_values(heatmap.CellValues().unit("ops"))
        .datasource(DATASOURCE)
        .calculate(False)
        .color(colors)
        .cell_gap(1)
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common_model.AxisPlacement.LEFT))
        .exemplars_color("rgba(255,0,255,0.7)")
        .show_legend()
        .mode(common_model.TooltipDisplayMode.SINGLE)
        .with_target(query.format(PromQueryFormat.HEATMAP))
    )


def states(
    number: int,
    title: str,
    description: str,
    query: Query,
    names: Mapping[str, tuple[str, str]],
) -> statetimeline.Panel:
    """What state each series was in, over time; `names` are the text and colour of its values."""
    expr, legend = query
    return (
        statetimeline.Panel()
        .id(number)
        .title(title)
        .description(description)
        .unit("short")
        .datasource(DATASOURCE)
        .show_value(common_model.VisibilityMode.NEVER)
        .row_height(0.8)
        .mappings(styles.value_map(names))  # type: ignore[arg-type]  # as Grafana writes them
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.LIST)
            .placement(common_model.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .with_target(_query("A", expr).legend_format(legend).range())
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


def _query(ref: str, expr: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).datasource(DATASOURCE).expr(expr)
