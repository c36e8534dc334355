"""The catalogue keeps Prometheus' conventions and holds what METRICS lists, no more and no less."""

import math
import re

import pytest

from routecache_exporters import catalog
from routecache_exporters.catalog import BY_NAME, METRICS, Metric

ALL = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)

# Written out on purpose: dashboards and alert rules depend on every one of these.
EXPECTED = {
    "requests_total": ("cache",),
    "hits_total": ("cache", "tier"),
    "misses_total": ("cache", "reason"),
    "l1_misses_total": ("cache", "reason"),
    "errors_total": ("cache", "tier", "operation", "error"),
    "loads_total": ("cache",),
    "load_failures_total": ("cache", "error"),
    "coalesced_total": ("cache",),
    "writes_total": ("cache", "tier"),
    "deletes_total": ("cache", "tier"),
    "evictions_total": ("cache", "tier", "reason"),
    "removals_total": ("cache", "tier", "reason"),
    "l1_hit_duration_seconds": ("cache",),
    "request_duration_seconds": ("cache", "outcome"),
    "l2_operation_duration_seconds": ("l2", "operation"),
    "load_duration_seconds": ("cache",),
    "value_size_bytes": ("cache",),
    "entries": ("cache", "tier"),
    "max_entries": ("cache", "tier"),
    "loads_in_flight": ("cache",),
    "ttl_seconds": ("cache", "tier"),
    "l2_circuits": ("l2", "state"),
    "l2_connections": ("l2", "state"),
    "l2_max_connections": ("l2",),
    "l2_connection_wait_seconds_total": ("l2",),
    "start_timestamp_seconds": ("cache",),
    "collect_duration_seconds": ("collector",),
    "collect_success": ("collector",),
    "label_overflow_total": ("label",),
    "build_info": ("version", "revision", "python"),
    "config_info": ("cache", "policy", "serializer"),
}


def test_the_catalogue_is_exactly_what_is_documented() -> None:
    """Every metric has its documented name and labels, and there is no other."""
    assert {metric.name: metric.labels for metric in METRICS} == {
        catalog.PREFIX + name: labels for name, labels in EXPECTED.items()
    }


def test_no_metric_is_defined_twice_or_left_out_of_the_table() -> None:
    """Each Metric object of the module is in METRICS once, and names are unique."""
    defined = [value for value in vars(catalog).values() if isinstance(value, Metric)]
    assert len(BY_NAME) == len(METRICS) == len(defined)
    assert set(METRICS) == set(defined)


@ALL
def test_names_follow_the_conventions_of_their_type(metric: Metric) -> None:
    """Counters end in _total, infos in _info, and nothing else ends in a reserved suffix."""
    assert re.fullmatch(r"routecache_[a-z0-9]+(_[a-z0-9]+)*", metric.name)
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    assert metric.name.endswith(suffix)
    stem = metric.name.removesuffix(suffix)
    assert not re.search(r"_(total|info|count|sum|bucket|created)$", stem)
    assert stem.endswith(f"_{metric.unit}") if metric.unit else not stem.endswith("_seconds")
    assert metric.unit in ("", "seconds", "bytes")


@ALL
def test_help_is_one_sentence(metric: Metric) -> None:
    """Every help text is one line that ends with a full stop."""
    assert metric.help.endswith(".")
    assert "\n" not in metric.help
    assert metric.help[0].isupper() or metric.help[0].isdigit()


@ALL
def test_buckets_are_there_for_histograms_alone_and_ascend(metric: Metric) -> None:
    """Bucket bounds are finite, positive and strictly ascending."""
    assert (metric.buckets is not None) == (metric.type == "histogram")
    bounds = metric.buckets or ()
    assert list(bounds) == sorted(set(bounds))
    assert all(math.isfinite(bound) and bound > 0 for bound in bounds)


@ALL
def test_label_vocabularies_belong_to_labels_and_are_free_of_duplicates(metric: Metric) -> None:
    """Every vocabulary is for a label of the metric and lists distinct, non-empty values."""
    assert len(set(metric.labels)) == len(metric.labels)
    assert set(metric.label_values) <= set(metric.labels)
    for values in metric.label_values.values():
        assert values
        assert len(set(values)) == len(values)
        assert all(re.fullmatch(r"[a-z0-9_]+", value) for value in values)


def test_labels_without_a_vocabulary_are_few_and_known() -> None:
    """Only these labels take values from outside, so only these need a bound at run time."""
    free = {
        label for metric in METRICS for label in metric.labels if label not in metric.label_values
    }
    assert free == {
        "cache", "l2", "label", "version", "revision", "python", "policy", "serializer",
    }  # fmt: skip


def test_the_latency_objective_is_a_bucket_bound() -> None:
    """5 ms, the threshold of the latency SLO, is a bound, and no whole number that 3.x rewrites."""
    assert 0.005 in (catalog.REQUEST_DURATION.buckets or ())
