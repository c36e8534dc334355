"""The lint of expressions finds the mistakes that it is there for."""

import pytest

from tests.monitoring.promql import durations, grouping_labels, mistakes, selectors

RECORDED = {"job_cache:routecache_loads:rate5m"}


@pytest.mark.parametrize(
    "expr",
    [
        'sum by (job, cache) (rate(routecache_requests_total{cache=~"$cache"}[5m]))',
        "histogram_quantile(0.99, sum by (le) (rate(routecache_load_duration_seconds_bucket[5m])))",
        'label_replace(up{job="routecache"} == 0, "panel", "13", "alertname", "RouteCache{x}")',
        "sum(job_cache:routecache_loads:rate5m) / sum(job_cache:routecache_loads:rate5m offset 1d)",
        'routecache_misses_total{reason=~"l2_unavailable|undecodable"}',
        "(time() - ALERTS_FOR_STATE) and ignoring (alertstate) ALERTS",
        "vector(1) > bool 1",
    ],
)
def test_right_expressions_pass(expr: str) -> None:
    """No false alarm."""
    assert list(mistakes(expr, RECORDED)) == []


@pytest.mark.parametrize(
    ("expr", "mistake"),
    [
        ("rate(routecache_request_total[5m])", "no such series: routecache_request_total"),
        ("routecache_load_duration_seconds", "no such series: routecache_load_duration_seconds"),
        ("routecache_requests_total_count", "no such series: routecache_requests_total_count"),
        ("job:routecache_loads:rate5m", "no such series: job:routecache_loads:rate5m"),
        ('routecache_requests_total{tier="l1"}', "routecache_requests_total has no label tier"),
        (
            'routecache_misses_total{reason=~"cold|stale"}',
            "routecache_misses_total: reason is never stale",
        ),
        (
            "sum by (cache, reason) (routecache_requests_total)",
            "nothing selected has the label reason",
        ),
    ],
)
def test_wrong_expressions_are_named(expr: str, mistake: str) -> None:
    """One sentence that says what is wrong."""
    assert list(mistakes(expr, RECORDED)) == [mistake]


def test_parts_of_an_expression_are_found() -> None:
    """Series with their matchers, grouping labels, durations; not what stands in strings."""
    expr = (
        'sum by (a, b) (rate(x{l="v[9m]", m!~"w"}[5m])) / on (c) group_left () '
        "max_over_time(y[1h:5m] offset 1d)"
    )
    assert selectors(expr) == [("x", (("l", "=", "v[9m]"), ("m", "!~", "w"))), ("y", ())]
    assert grouping_labels(expr) == {"a", "b", "c"}
    assert sorted(durations(expr)) == ["1d", "1h", "5m", "5m"]
