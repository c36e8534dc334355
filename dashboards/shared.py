"""What every dashboard shares: variables, label selectors, annotations, links, the grid.

The selectors work where targets carry no `cluster` or `namespace`: "All" of those variables is
`.*`, which also matches an absent label. Which labels there are beside `job` is the configuration's
choice; `⟦job⟧` and the like are filled in for it (limits.py).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

DATASOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

JOB: Final = "⟦job⟧"
"""Selects what is recorded per job."""
PROCESS: Final = f'{JOB}, instance=~"$instance"'
"""Selects metrics of a process."""
CACHE: Final = f'{PROCESS}, cache=~"$cache"'
"""Selects metrics of a cache in a process."""
JOB_CACHE: Final = f'{JOB}, cache=~"$cache"'
"""Selects what is recorded per job and cache."""

RATE: Final = "$__rate_interval"
RANGE: Final = "$__range"
"""The dashboard's time, for what is told once for all of it."""
FIRING: Final = f'alertname=~"RouteCache.*", severity!="none", {JOB}'
"""Selects alerts that somebody is told of."""

BY_JOB: Final = "⟦by⟧"
"""What rules aggregate by."""
BY_PROCESS: Final = "⟦by instance⟧"


def recorded(metric: str, operation: str, *labels: str) -> str:
    """The name of a recorded series, as `Config.recorded` gives it."""
    return f"⟦level {' '.join(labels)}⟧:routecache_{metric}:{operation}"


def by(*labels: str) -> str:
    """A list of labels to group by, `labels` after those of the configuration."""
    return f"⟦by {' '.join(labels)}⟧"


_BUILD_INFO = "routecache_build_info"

_T = TypeVar("_T")
Panel = TypeVar("Panel", timeseries.Panel, stat.Panel, table.Panel, bargauge.Panel)


class Cell(NamedTuple):
    """A panel and its place in a row: x and y in grid units from the row's corner."""

    panel: Builder[model.Panel]
    x: int
    y: int
    width: int
    height: int


class Row(NamedTuple):
    """A titled row of panels."""

    title: str
    cells: Sequence[Cell]


class _Annotation(model.AnnotationQuery):
    """An annotation query of a Prometheus data source, with the fields that the SDK leaves out."""

    def __init__(self, name: str, expr: str, color: str, **fields: object) -> None:
        super().__init__(name=name, datasource=DATASOURCE, icon_color=color, expr=expr)
        self._fields = fields

    def to_json(self) -> dict[str, object]:
        return super().to_json() | self._fields


class _Built(Builder[_T]):
    """A builder of what is built already."""

    def __init__(self, built: _T) -> None:
        self._built = built

    def build(self) -> _T:
        return self._built


def new_dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    extra: Sequence[Builder[model.VariableModel]] = (),
) -> build.Dashboard:
    """A dashboard with the shared variables, annotations and links, and no panel yet.

    extra: variables of its own, after the shared ones.
    """
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["routecache"])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .timezone("browser")
        .refresh("30s")
        .variables([*_variables(), *extra])
        .annotations(_annotations())
        .link(
            build.DashboardLink("RouteCache")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["routecache"])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
    )


def leads_to(panel: Panel, uid: str, title: str) -> Panel:
    """Give a panel a link to the dashboard that tells more, which keeps time and variables."""
    url = f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}"
    link = build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url)
    return panel.links([link])


def lay_out(dashboard: build.Dashboard, rows: Sequence[Row]) -> build.Dashboard:
    """Put the rows below each other."""
    y = 0
    for number, row in enumerate(rows, start=1):
        # Ids of rows stay out of the range of panels, whose ids are written in alerts' links.
        place = model.GridPos(h=1, w=24, x=0, y=y)
        dashboard.with_row(build.Row(row.title).id(1000 + number).grid_pos(place))
        for cell in row.cells:
            panel = cell.panel.build()
            panel.grid_pos = model.GridPos(h=cell.height, w=cell.width, x=cell.x, y=y + 1 + cell.y)
            dashboard.with_panel(_Built(panel))
        y += 1 + max(cell.y + cell.height for cell in row.cells)
    return dashboard


def _variables() -> list[Builder[model.VariableModel]]:
    return [
        build.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _label("⟦label⟧", "⟦Label⟧", f"{_BUILD_INFO}{{⟦before⟧}}").all_value(".*"),
        # No `.*` here: `up` of the other jobs must not match.
        _label("job", "Job", f"{_BUILD_INFO}{{⟦others⟧}}"),
        _label("instance", "Instance", f"{_BUILD_INFO}{{{JOB}}}").all_value(".*"),
        _label("cache", "Cache", f"routecache_requests_total{{{PROCESS}}}").all_value(".*"),
        build.ConstantVariable("runbooks").label("Runbooks").value("⟦runbooks⟧"),
    ]


def redis_variable() -> Builder[model.VariableModel]:
    """The Redis exporters, which are scraped under a job of their own."""
    return _label("redis", "Redis", "redis_up{⟦redis⟧}", "instance").all_value(".*")


def _label(name: str, label: str, series: str, of: str = "") -> build.QueryVariable:
    """A variable of the values that label `of` (`name` unless given) has in `series`, all of them
    selected."""
    query = f"label_values({series}, {of or name})"
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"qryType": 1, "query": query, "refId": f"variable-{name}"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(model.VariableOption(text="All", value="$__all"))
    )


def _annotations() -> list[Builder[model.AnnotationQuery]]:
    firing = _Annotation(
        "Firing alerts",
        f'ALERTS{{alertstate="firing", {FIRING}}}',
        "red",
        titleFormat="{{alertname}}",
        textFormat="{{severity}} {{job}} {{cache}}",
        tagKeys="severity",
        step="60s",
    )
    started = f"routecache_start_timestamp_seconds{{{CACHE}}}"
    deploys = _Annotation(
        "Deploys and restarts",
        # Only recent starts, so that each is asked for a few times, not at every step; starts less
        # than a step apart become one region: a roll-out.
        f"1000 * (max by ({BY_JOB}) ({started}) > time() - 300)",
        "blue",
        titleFormat="started",
        textFormat="{{job}}",
        tagKeys="job",
        step="60s",
        useValueForTime=True,
    )
    return [_Built(firing), _Built(deploys)]
