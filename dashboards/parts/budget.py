"""The look-up SLO: 99.9% of look-ups served as designed, over 14 days."""

from grafana_foundation_sdk.builders import table, timeseries

from dashboards import panels
from dashboards.shared import JOB_CACHE

_LEVEL = "cluster_namespace_job_cache"
_BY = "cluster, namespace, job, cache"
_BUDGET = "0.001"


def budget_by_cache() -> table.Panel:
    """How much is left, how fast it goes, and which caches cannot page."""

    def recorded(name: str, window: str) -> str:
        return f"sum by ({_BY}) ({_LEVEL}:routecache_{name}:rate{window}{{{JOB_CACHE}}})"

    def over_window(name: str) -> str:
        series = f"{_LEVEL}:routecache_{name}:rate5m{{{JOB_CACHE}}}"
        return f"sum by ({_BY}) (sum_over_time({series}[14d]))"

    def budgets(degraded: str, requests: str) -> str:
        # A cache without L2 has no degraded series, and spends nothing.
        return f"({degraded} or {requests} * 0) / ({requests} > 0) / {_BUDGET}"

    burn = budgets(recorded("degraded", "1h"), recorded("requests", "1h"))
    left = f"1 - {budgets(over_window('degraded'), over_window('requests'))}"
    paged = f"{recorded('requests', '1h')} > bool 1"
    columns = {
        "cache": "Cache",
        "job": "Job",
        "cluster": "Cluster",
        "namespace": "Namespace",
        "Value #A": "Look-ups/s, 1 h",
        "Value #B": "Burn rate, 1 h",
        "Value #C": "Budget left, 14 d",
        "Value #D": "Can page",
    }
    bar = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    return (
        panels.table(
            11,
            "Look-up budget by cache (SLO 99.9%, 14 days)",
            "Degraded look-ups (Redis not reached, entry not readable) against the 0.1% that the "
            "SLO allows. Burn rate 1 spends the budget in exactly 14 days, 14.4 pages. A cache "
            "with less than 1 look-up/s does not page: a single failure would be a large share. "
            "Job-wide: not filtered by instance.",
            [recorded("requests", "1h"), burn, left, paged],
            columns,
        )
        .override_by_name("Cache", panels.override(custom__width=90))
        .override_by_name(
            "Look-ups/s, 1 h", panels.override(unit="ops", decimals=1, custom__width=120)
        )
        .override_by_name(
            "Burn rate, 1 h",
            panels.override(
                unit="suffix:x",
                decimals=2,
                custom__cellOptions={"type": "color-text"},
                thresholds=panels.threshold_steps([(None, "green"), (1, "orange"), (14.4, "red")]),
                custom__width=110,
            ),
        )
        .override_by_name(
            "Budget left, 14 d",
            panels.override(
                unit="percentunit",
                decimals=1,
                min=0,
                max=1,
                custom__cellOptions=bar,
                thresholds=panels.threshold_steps([(None, "red"), (0, "orange"), (0.25, "green")]),
                custom__minWidth=160,
            ),
        )
        .override_by_name(
            "Can page",
            panels.override(
                mappings=panels.value_map({"0": ("no, below 1/s", "text"), "1": ("yes", "green")}),
                custom__width=120,
            ),
        )
    )


def burn_rate() -> timeseries.Panel:
    """How fast the budget goes, over the windows that page."""

    def worst(window: str) -> str:
        ratio = f"{_LEVEL}:routecache_degraded_per_requests:ratio_rate{window}"
        return f"max by (cache) ({ratio}{{{JOB_CACHE}}}) / {_BUDGET}"

    queries = [(worst("1h"), "{{cache}} 1 h"), (worst("6h"), "{{cache}} 6 h")]
    panel = panels.timeseries(
        12,
        "Look-up budget burn rate",
        "Degraded share of look-ups over 1 and 6 hours, in multiples of what the SLO allows; the "
        "worst job of each cache. Above 14.4 over 1 h, or 6 over 6 h, it pages if it still goes "
        "on. Job-wide: not filtered by instance.",
        "suffix:x",
        queries,
    ).min(0)
    return panels.lines_at(panel, [(None, "transparent"), (6, "orange"), (14.4, "red")])
