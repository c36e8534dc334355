"""Every query of every dashboard, asked of a Prometheus that watched a busy router."""

import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.helpers import eventually
from tests.monitoring.live import Lab, Prometheus, filled_in, lab
from tests.monitoring.sources import dashboards, panels

pytestmark = pytest.mark.needs("redis-server", "prometheus", "prometheus-redis-exporter")

EMPTY = {
    (17, "B"): "there is no yesterday",
}
"""Queries, by panel and reference, that have no answer here, and why."""

SOON = {"__rate_interval": "4s", "__range": "60s"}
ALL = {"__rate_interval": "120s", "__range": "120s"}
"""A window that holds all that has happened."""


class Watched(NamedTuple):
    """What was seen of known traffic, and the Prometheus when all was over."""

    prometheus: Prometheus
    known: dict[str, int]
    headlines: dict[str, dict[tuple[str, ...], float]]


HEADLINES = {
    "lookups": (2, "A"),
    "hit ratio": (3, "A"),
    "reasons": (8, "A"),
    "loads": (602, "A"),
    "L1": (6, "A"),
    "L2": (6, "B"),
    "Loader": (6, "C"),
}


def _targets() -> dict[tuple[int, str], str]:
    return {
        (panel["id"], target["refId"]): target["expr"]
        for dashboard in dashboards().values()
        for panel in panels(dashboard)
        for target in panel["targets"]
    }


def _everything(**more: str) -> dict[str, str]:
    names = ("cluster", "namespace", "instance", "cache", "redis")
    return {**dict.fromkeys(names, ".*"), "job": "routecache", **more}


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with lab() as made:
        yield _watch(made)


def _watch(made: Lab) -> Watched:
    prometheus = made.prometheus
    known = made.do("known")
    counted = 'sum(routecache_requests_total{cache="busy.model"})'
    eventually(lambda: prometheus.value(counted) == {(): known["lookups"] + 1}, 20)  # and "born"
    expressions = _targets()
    # At one moment: how far Prometheus extrapolates depends on it.
    now = time.time()
    headlines = {
        name: prometheus.value(filled_in(expressions[where], _everything(**ALL)), now)
        for name, where in HEADLINES.items()
    }
    made.do("busy")
    made.survive_an_outage()
    return Watched(prometheus, known, headlines)


@pytest.mark.parametrize("uid", dashboards())
def test_every_query_of_every_panel_has_an_answer(uid: str, watched: Watched) -> None:
    """No error, and something to see, but for what is listed with its reason."""
    silent = [
        f"{panel['title']}, {target['refId']}: {target['expr']}"
        for panel in panels(dashboards()[uid])
        for target in panel["targets"]
        if not watched.prometheus.course(filled_in(target["expr"], _everything(**SOON)))
        and (panel["id"], target["refId"]) not in EMPTY
    ]
    assert silent == []


def test_what_is_listed_as_empty_is_empty(watched: Watched) -> None:
    """No reason outlives its panel."""
    for where, expr in _targets().items():
        if where in EMPTY:
            assert not watched.prometheus.course(filled_in(expr, _everything(**SOON))), where
    assert EMPTY.keys() <= _targets().keys()


@pytest.mark.parametrize("uid", dashboards())
def test_every_variable_has_values(uid: str, watched: Watched) -> None:
    for variable in dashboards()[uid]["templating"]["list"]:
        if variable["type"] != "query":
            continue
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"], re.DOTALL)
        assert found
        series = filled_in(found[1], _everything())
        assert watched.prometheus.label_values(found[2], series), variable["name"]


@pytest.mark.parametrize("uid", dashboards())
def test_every_annotation_has_an_answer(uid: str, watched: Watched) -> None:
    for annotation in dashboards()[uid]["annotations"]["list"]:
        expr = filled_in(annotation["expr"], _everything(**SOON))
        assert watched.prometheus.course(expr), annotation["name"]


def test_panels_with_exemplars_lead_to_traces(watched: Watched) -> None:
    asked = [
        target["expr"]
        for dashboard in dashboards().values()
        for panel in panels(dashboard)
        for target in panel["targets"]
        if target.get("exemplar")
    ]
    assert len(asked) >= 5
    for expr in asked:
        found = watched.prometheus.exemplars(filled_in(expr, _everything(**SOON)))
        assert found or "l1_hit_duration" in expr, expr
        assert all(labels["trace_id"] for labels in found)


def _only(values: dict[tuple[str, ...], float]) -> float:
    (value,) = values.values()
    return value


def test_headline_numbers_are_those_of_the_traffic(watched: Watched) -> None:
    """Rates over a window that holds all of it, against what the callers counted themselves."""
    known, seen = watched.known, watched.headlines
    window = 120
    # Prometheus extrapolates over both ends of a series by half a scrape's distance: together a
    # second of the ten or so that it takes.
    assert _only(seen["lookups"]) * window == pytest.approx(known["lookups"], rel=0.15)
    assert seen["loads"][("busy.model",)] * window == pytest.approx(known["loads"], rel=0.15)
    misses = known["cold"] + known["invalidated"] + known["undecodable"]
    hits = known["lookups"] - misses
    # It extrapolates to the left as far as a counter was above 0, so that the one look-up before
    # the beginning makes a difference of its own.
    share = partial(pytest.approx, rel=5e-3)
    assert _only(seen["hit ratio"]) == share(hits / known["lookups"])
    reasons = seen["reasons"]
    total = sum(reasons.values())
    for reason in ("cold", "invalidated", "undecodable"):
        assert reasons[(reason,)] / total == share(known[reason] / misses), reason
    assert reasons[("expired",)] == reasons[("l2_unavailable",)] == 0
    answered = sum(_only(seen[who]) for who in ("L1", "L2"))
    assert answered / _only(seen["lookups"]) == share(hits / known["lookups"])
    assert _only(seen["Loader"]) / _only(seen["lookups"]) == share(
        known["loads"] / known["lookups"]
    )


def test_an_outage_is_not_told_as_cold(watched: Watched) -> None:
    """Look-ups that Redis did not answer are l2_unavailable on the panel."""
    expr = filled_in(_targets()[(8, "A")], _everything(**SOON))
    lost: Any = max(watched.prometheus.course(f'({expr}) and on (reason) '
        'label_replace(vector(1), "reason", "l2_unavailable", "", "")'))  # fmt: skip
    assert lost > 10
