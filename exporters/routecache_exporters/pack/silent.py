"""Alerts that no person is told of: they serve Alertmanager and the dead man's switch."""

from routecache_exporters.pack.check import OBJECTIVES
from routecache_exporters.pack.config import PREFIX, Config
from routecache_exporters.pack.promql import aggregated
from routecache_exporters.pack.rules import Alert, Group

RECENT_CAUSE = "RecentCause"
WATCHDOG = "Watchdog"
# What tells two alerts of one fleet apart, where it matters to what they explain.
LABELS = ("cache", "l2", "cause")


def causes(config: Config) -> list[str]:
    """The alerts of the table that hold others back."""
    return [name for name, mask in config.masks.items() if mask.explains]


def silent(config: Config) -> Group:
    """RecentCause and Watchdog."""
    names = causes(config)
    tickets = "|".join(name for name in names if name not in OBJECTIVES)
    budgets = "|".join(name for name in names if name in OBJECTIVES)
    # Of an objective only the page: its ticket goes on for days.
    selected = [
        f'max_over_time(ALERTS{{alertname=~"{PREFIX}({these})", {also}alertstate="firing"}}'
        f"[{config.memory}])"
        for these, also in ((tickets, ""), (budgets, 'severity="critical", '))
        if these
    ]
    inner = "\n  or\n  ".join(selected)
    labelled = f'label_replace(\n  {inner},\n  "cause", "$1", "alertname", "(.*)"\n)'
    alerts = [
        Alert(
            WATCHDOG, "none", "vector(1)", None,
            "The RouteCache rules are evaluated.",
            "Fires as long as Prometheus evaluates these rules. Point its route at a dead man's "
            "switch to learn when Prometheus or Alertmanager stops.",
        )
    ]  # fmt: skip
    if selected:
        alerts.insert(
            0,
            Alert(
                RECENT_CAUSE, "none", aggregated("max", config, labelled, *LABELS), None,
                "<cause> fired within the last hours.",
                f"<cause> fires or has fired within {config.memory}. Alertmanager holds back what "
                "it explains.",
                labels=LABELS,
            ),
        )  # fmt: skip
    note = f"""\
After a fault is over the slow windows of the objectives stay true for hours, and would page in
turn. RecentCause remembers each cause for {config.memory}; Alertmanager's inhibitions have it as
their source. It and Watchdog go to no person."""
    return Group("silent", note, alerts)
