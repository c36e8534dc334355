"""The catalogue keeps Prometheus' conventions and holds what METRICS lists, no more and no less."""

import math
import re

import pytest

from routecache_exporters import catalog
from routecache_exporters.catalog import BY_NAME, METRICS
from routecache_exporters.metric import PREFIX, Metric

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
    "stale_hits_total": ("cache", "reason"),
    "duplicate_loads_total": ("cache",),
    "refreshes_total": ("cache", "kind"),
    "load_seconds_avoided_total": ("cache",),
    "overhead_seconds_total": ("cache",),
    "l1_size_bytes": ("cache",),
    "recovery_deletes_total": ("cache",),
    "recovery_overflows_total": ("cache",),
    "recovery_pending": ("cache",),
    "invalidations_published_total": ("cache",),
    "invalidations_received_total": ("cache",),
    "listeners": ("l2", "state"),
    "listener_reconnects_total": ("l2",),
    "invalidation_probes_total": ("l2", "result"),
    "invalidation_lag_seconds": ("l2",),
    "l2_circuit_transitions_total": ("l2", "state"),
    "l2_circuit_failures_total": ("l2",),
    "provider_healthy": ("provider",),
    "warmup_entries": ("cache",),
    "warmup_started_timestamp_seconds": ("cache",),
    "warmup_last_completed_timestamp_seconds": ("cache",),
    "whatif_misses_total": ("cache", "scale"),
}


AGGREGATED = {
    "max": {
        "ttl_seconds", "start_timestamp_seconds", "collect_duration_seconds", "build_info",
        "config_info", "warmup_started_timestamp_seconds",
    },
    "min": {
        "provider_healthy", "collect_success", "warmup_last_completed_timestamp_seconds",
    },
}  # fmt: skip
"""How two processes become one, where that is not the sum."""


def test_the_catalogue_is_exactly_what_is_planned() -> None:
    """Every metric has its name and labels."""
    assert {metric.name: metric.labels for metric in METRICS} == {
        PREFIX + name: labels for name, labels in EXPECTED.items()
    }


def test_numbers_of_several_processes_add_up_unless_a_sum_would_mean_nothing() -> None:
    """Times, states of the exporter and infos are not summed, everything else is."""
    assert {metric.name.removeprefix(PREFIX): metric.aggregation for metric in METRICS} == {
        name: next((kind for kind, names in AGGREGATED.items() if name in names), "sum")
        for name in EXPECTED
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
        assert all(re.fullmatch(r"[a-z0-9_]+|\d+\.\d+", value) for value in values)


def test_labels_without_a_vocabulary_are_few_and_known() -> None:
    """Only these labels take values from outside, so only these need a bound at run time."""
    free = {
        label for metric in METRICS for label in metric.labels if label not in metric.label_values
    }
    assert free == {
        "cache", "l2", "provider", "label", "version", "revision", "python", "policy",
        "serializer",
    }  # fmt: skip


def test_every_objective_is_a_bucket_bound() -> None:
    """5 ms of latency, 0.5 s of freshness, and the 50 ms within which others shall hear."""
    assert 0.005 in (catalog.REQUEST_DURATION.buckets or ())
    assert {0.05, 0.5} <= set(catalog.INVALIDATION_LAG.buckets or ())


def test_no_bound_of_the_lag_is_a_whole_number() -> None:
    """Prometheus 3 rewrites le="1" to le="1.0", and a rule written for the other finds nothing."""
    bounds = catalog.INVALIDATION_LAG.buckets or ()
    assert (bounds[0], bounds[-1]) == (0.001, 9.5)
    assert not [bound for bound in bounds if bound.is_integer()]
