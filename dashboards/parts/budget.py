"""The objectives: look-ups served as designed, latency, freshness."""

from grafana_foundation_sdk.builders import table, timeseries

from dashboards import panels, styles
from dashboards.limits import (
    PAGE,
    PAGE_LONG,
    PAGE_SLOW,
    PAGE_SLOW_LONG,
    WINDOW,
    Limit,
    budget,
    paging,
    target,
    within,
)
from dashboards.shared import JOB, JOB_CACHE, by, recorded

_BY = by("cache")
_BUDGET = budget("lookup")
_FLOOR = Limit("objectives.lookup.floor")


def budget_by_cache() -> table.Panel:
    """How much is left, how fast it goes, and which caches cannot page."""

    def rate(name: str, window: str) -> str:
        return f"sum by ({_BY}) ({recorded(name, f'rate{window}', 'cache')}{{{JOB_CACHE}}})"

    def over_window(name: str) -> str:
        series = f"{recorded(name, 'rate⟦=window⟧', 'cache')}{{{JOB_CACHE}}}"
        return f"sum by ({_BY}) (sum_over_time({series}[{WINDOW}]))"

    def budgets(degraded: str, requests: str) -> str:
        # A cache without L2 has no degraded series, and spends nothing.
        return f"({degraded} or {requests} * 0) / ({requests} > 0) / {_BUDGET}"

    window = PAGE_LONG
    burn = budgets(rate("degraded", window), rate("requests", window))
    left = f"1 - {budgets(over_window('degraded'), over_window('requests'))}"
    paged = f"{rate('requests', window)} > bool {_FLOOR}"
    columns = {
        "cache": "Cache",
        "Value #A": f"Look-ups/s, {window}",
        "Value #B": f"Burn rate, {window}",
        "Value #C": f"Budget left, {WINDOW}",
        "Value #D": "Can page",
        "job": "Job",
        "⟦label⟧": "⟦Label⟧",
    }
    bar = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    return (
        panels.table(
            11,
            f"Look-up budget by cache (SLO {target('lookup'):%}, {WINDOW})",
            "Degraded look-ups (Redis not reached, entry not readable) against the "
            f"{_BUDGET:%} that the objective allows. Burn rate 1 spends the budget in exactly "
            f"{WINDOW}, {PAGE} pages. A cache with less than {_FLOOR} look-up/s does not page: a "
            "single failure would be a large share. Job-wide: not filtered by instance.",
            [rate("requests", window), burn, left, paged],
            columns,
        )
        .override_by_name("Cache", styles.override(custom__width=90))
        .override_by_name(
            columns["Value #A"], styles.override(unit="ops", decimals=1, custom__width=120)
        )
        .override_by_name(
            columns["Value #B"],
            styles.override(
                unit="suffix:x",
                decimals=2,
                custom__cellOptions={"type": "color-text"},
                thresholds=styles.threshold_steps([(None, "green"), (1, "orange"), (PAGE, "red")]),
                custom__width=110,
            ),
        )
        .override_by_name(
            columns["Value #C"],
            styles.override(
                unit="percentunit",
                decimals=1,
                min=0,
                max=1,
                custom__cellOptions=bar,
                thresholds=styles.threshold_steps([(None, "red"), (0, "orange"), (0.25, "green")]),
                custom__minWidth=130,
            ),
        )
        .override_by_name(
            "Can page",
            styles.override(
                mappings=styles.value_map(
                    {
                        "0": (f"no, below {_FLOOR}/s", "text"),
                        "1": ("yes", "green"),
                    }
                ),
                custom__width=110,
            ),
        )
    )


def burn_rate() -> timeseries.Panel:
    """How fast the budget goes, over the windows that page."""

    def worst(window: str) -> str:
        ratio = recorded("degraded_per_requests", f"ratio_rate{window}", "cache")
        return f"max by (cache) ({ratio}{{{JOB_CACHE}}}) / {_BUDGET}"

    queries = [
        (worst(PAGE_LONG), f"{{{{cache}}}} {PAGE_LONG}"),
        (worst(PAGE_SLOW_LONG), f"{{{{cache}}}} {PAGE_SLOW_LONG}"),
    ]
    panel = panels.timeseries(
        12,
        "Look-up budget burn rate",
        f"Degraded share of look-ups over {PAGE_LONG} and {PAGE_SLOW_LONG}, in multiples of what "
        f"the objective allows; the worst job of each cache. Above {PAGE} over {PAGE_LONG}, or "
        f"{PAGE_SLOW} over {PAGE_SLOW_LONG}, it pages if it still goes on. Job-wide: not filtered "
        "by instance.",
        "suffix:x",
        queries,
    ).min(0)
    return styles.lines_at(panel, [(None, "transparent"), (PAGE_SLOW, "orange"), (PAGE, "red")])


def _summed(events: str, label: str, selector: str) -> str:
    """What the objective's rules record of `events`, over all jobs that are shown."""
    return f"sum by ({label}) ({recorded(events, 'rate⟦=window⟧', label)}{{{selector}}})"


def slow() -> timeseries.Panel:
    """The latency objective's bad events."""
    limit, allowed, pages = within("latency"), budget("latency"), paging("latency")
    late = _summed("slow_answers", "cache", JOB_CACHE)
    every = _summed("answers", "cache", JOB_CACHE)
    panel = panels.timeseries(
        25,
        f"Slower than {limit:ms} (SLO {target('latency'):%})",
        "Share of the look-ups that left L1 and needed no load which took longer than "
        f"{limit:ms}. Dashed: what the objective allows ({allowed:%}), and the share that pages "
        f"if it lasts ({pages:%}). High: see L2 command latency, then Redis itself. Job-wide: not "
        "filtered by instance.",
        "percentunit",
        [(f"{late}\n/\n({every} > 0)", "{{cache}}")],
    )
    steps: styles.Steps = [(None, "transparent"), (allowed, "orange"), (pages, "red")]
    return styles.lines_at(panel.min(0).axis_soft_max(0.2), steps)


def unheard() -> timeseries.Panel:
    """The freshness objective's bad events."""
    limit, allowed, pages = within("freshness"), budget("freshness"), paging("freshness")
    late = _summed("late_probes", "l2", JOB)
    probes = _summed("probes", "l2", JOB)
    panel = panels.timeseries(
        26,
        f"Heard later than {limit:ms} (SLO {target('freshness'):%})",
        f"Share of the listeners' heartbeats that were lost or heard later than {limit:ms}: "
        "as late another process learns of a write or delete. Dashed: what the objective allows "
        f"({allowed:%}), and the share that pages if it lasts ({pages:%}). High: see Coherence. "
        "Job-wide: not filtered by instance.",
        "percentunit",
        # A probe that is still under way makes the rule's difference negative for a moment.
        [(f"clamp_min({late}\n/\n({probes} > 0), 0)", "{{l2}}")],
    )
    steps: styles.Steps = [(None, "transparent"), (allowed, "orange"), (pages, "red")]
    return styles.lines_at(panel.min(0).axis_soft_max(0.02), steps)
