"""The objectives as OpenSLO v1 documents, for tools that make rules or reports of their own.

Queries are of counters, unlike our rules, which record rates. OpenSLO has no traffic floor, and one
window for each burn rate where our alerts want a short one as well: an alert made of these
documents stays longer after the burning ended, and pages for caches that hardly anybody uses.

Source: https://github.com/OpenSLO/OpenSLO
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from routecache.errors import ConfigurationError
from routecache_exporters.pack.config import Burn, Config, Duration, Objective, seconds

VERSION: Final = "openslo/v1"
SERVICE: Final = "routecache"
"""The name of the one Service, to which all objectives belong."""

_TARGETS: Final = {
    "page": "A person, at once.",
    "ticket": "Somebody, within working days.",
}
"""Who is told, by the names of Alertmanager's receivers."""

_MINUTES: Final = {"d": 1440, "h": 60, "m": 1}


class _Ratio(NamedTuple):
    """What an objective counts; `part` is "good" or "bad"."""

    name: str
    title: str
    description: str
    part: str
    counted: str
    total: str


def documents(config: Config) -> list[dict[str, Any]]:
    """The service, who is told, and the objectives.

    Raises ConfigurationError for a duration that is not of whole minutes, which OpenSLO cannot say.
    """
    service = {
        "apiVersion": VERSION,
        "kind": "Service",
        "metadata": {"name": SERVICE, "displayName": "RouteCache"},
        "spec": {"description": "The caches of the LLM routers."},
    }
    told = [
        {
            "apiVersion": VERSION,
            "kind": "AlertNotificationTarget",
            "metadata": {"name": name},
            "spec": {"target": "Alertmanager", "description": description},
        }
        for name, description in _TARGETS.items()
    ]
    return [service, *told, *(_slo(config, *pair) for pair in _ratios(config))]


def _ratios(config: Config) -> Iterator[tuple[Objective, _Ratio]]:
    objectives, job = config.objectives, f'job="{config.jobs.routers}"'
    yield (
        objectives.lookup,
        _Ratio(
            "lookup",
            "Look-ups served as designed",
            "Look-ups that no tier answered because Redis was not reached, or an entry there was "
            "not readable, are bad. A load that a cold key needs is as designed.",
            "bad",
            f'sum(routecache_misses_total{{{job}, reason=~"l2_unavailable|undecodable"}})',
            f"sum(routecache_requests_total{{{job}}})",
        ),
    )
    left_l1 = f'{job}, outcome=~"l2_hit|miss"'
    within = objectives.latency.within
    yield (
        objectives.latency,
        _Ratio(
            "latency",
            f"Answers within {within * 1000:g} ms",
            "Of the look-ups that left L1 and needed no load, those answered within "
            f"{within:g} s are good. Over all look-ups, L1 would hide the rest.",
            "good",
            f'sum(routecache_request_duration_seconds_bucket{{{left_l1}, le="{within:g}"}})',
            f"sum(routecache_request_duration_seconds_count{{{left_l1}}})",
        ),
    )
    within = objectives.freshness.within
    yield (
        objectives.freshness,
        _Ratio(
            "freshness",
            f"Invalidations heard within {within * 1000:g} ms",
            f"Probes that a listener heard within {within:g} s are good. Those that it never heard "
            "are in the total only.",
            "good",
            f'sum(routecache_invalidation_lag_seconds_bucket{{{job}, le="{within:g}"}})',
            f"sum(routecache_invalidation_probes_total{{{job}}})",
        ),
    )


def _slo(config: Config, objective: Objective, ratio: _Ratio) -> dict[str, Any]:
    name = f"{SERVICE}-{ratio.name}"
    burns = config.burns
    return {
        "apiVersion": VERSION,
        "kind": "SLO",
        "metadata": {"name": name, "displayName": ratio.title},
        "spec": {
            "description": ratio.description,
            "service": SERVICE,
            "indicator": {
                "metadata": {"name": name},
                "spec": {
                    "ratioMetric": {
                        "counter": True,
                        ratio.part: _metric(ratio.counted),
                        "total": _metric(ratio.total),
                    }
                },
            },
            "timeWindow": [{"duration": shorthand(burns.budget_window), "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": ratio.title, "target": objective.target}],
            "alertPolicies": [
                *(_policy(name, "page", burn, burns.page_for) for burn in burns.page),
                *(_policy(name, "ticket", burn, burns.ticket_for) for burn in burns.ticket),
            ],
        },
    }


def _metric(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _policy(slo: str, severity: str, burn: Burn, wait: Duration) -> dict[str, Any]:
    window = shorthand(burn.long)
    metadata = {"name": f"{slo}-{severity}-{window}"}
    condition = {
        "kind": "burnrate",
        "op": "gt",
        "threshold": burn.factor,
        "lookbackWindow": window,
        "alertAfter": shorthand(wait),
    }
    return {
        "kind": "AlertPolicy",
        "metadata": metadata,
        "spec": {
            "alertWhenBreaching": True,
            "alertWhenResolved": True,
            "conditions": [
                {
                    "kind": "AlertCondition",
                    "metadata": metadata,
                    "spec": {"severity": severity, "condition": condition},
                }
            ],
            "notificationTargets": [{"targetRef": severity}],
        },
    }


def shorthand(duration: Duration) -> str:
    """A duration as OpenSLO writes it: one number and one unit, `90m` for `1h30m`.

    Raises ConfigurationError if it is not of whole minutes.
    """
    minutes = seconds(duration) / 60
    for unit, length in _MINUTES.items():
        if minutes % length == 0:
            return f"{minutes / length:.0f}{unit}"
    raise ConfigurationError(f"OpenSLO knows whole minutes only, not {duration}")
