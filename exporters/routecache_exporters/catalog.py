"""Every metric of routecache once: name, type, labels, unit, help, buckets, label values.

Exporters, dashboards, alert rules, the docs and the tests all read this table, so that a name or
a help text is written down nowhere else. It knows no exporter and holds no number: the collectors
fill it from snapshots. Bucket bounds come from `routecache.stats`, since an observation is sorted
into its bucket where it is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

from routecache.breaker import State
from routecache.stats import L1_HIT_BOUNDS, L2_BOUNDS, LOAD_BOUNDS, REQUEST_BOUNDS, SIZE_BOUNDS
from routecache.typing import (
    ERROR_KINDS,
    L1_MISS_REASONS,
    MISS_REASONS,
    OUTCOMES,
    Operation,
    Tier,
)

PREFIX: Final = "routecache_"
OTHER: Final = "other"
"""The label value that everything beyond a label's bound collapses to."""

MetricType: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Aggregation: TypeAlias = Literal["sum", "max"]

TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
CIRCUIT_STATES: Final[tuple[State, ...]] = get_args(State)
CONNECTION_STATES: Final = ("in_use", "idle")
LOAD_ERRORS: Final = ("timeout", "cancelled", "error")
EVICTION_REASONS: Final = ("size", "expired")
REMOVAL_REASONS: Final = ("invalidated", "cleared", "health")
COLLECTORS: Final = ("snapshot", "caches", "endpoints")


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric family.

    name: the full name; as scraped for counters (`_total`) and infos (`_info`), without suffix
        for histograms.
    labels: label names in the order of the values that collectors give.
    help: one sentence, as served in `# HELP`.
    unit: a base unit, of which the name ends (`seconds`, `bytes`), or "".
    buckets: inclusive upper bounds in `unit`, histograms only; `+Inf` is implied.
    label_values: for a label with a fixed vocabulary, every value that it can have. Any other
        value is exported as `other`. Labels not listed are free, and collectors bound them.
    aggregation: how two values of one label set become one, in a process or over workers.

    Compared and hashed by identity: there is one object per metric.
    """

    name: str
    type: MetricType
    labels: tuple[str, ...]
    help: str
    unit: str = ""
    buckets: tuple[float, ...] | None = None
    label_values: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    aggregation: Aggregation = "sum"


def _metric(
    name: str,
    kind: MetricType,
    labels: tuple[str, ...],
    text: str,
    *,
    unit: str = "",
    buckets: tuple[float, ...] | None = None,
    aggregation: Aggregation = "sum",
    **label_values: tuple[str, ...],
) -> Metric:
    values = MappingProxyType(label_values)
    return Metric(PREFIX + name, kind, labels, text, unit, buckets, values, aggregation)


# fmt: off
# Look-ups. The books: requests = hits{l1} + hits{l2} + misses = hits{l1} + l1_misses.
REQUESTS: Final = _metric(
    "requests_total", "counter", ("cache",),
    "Look-ups asked of the cache; a batch of n counts n.",
)
HITS: Final = _metric(
    "hits_total", "counter", ("cache", "tier"),
    "Look-ups answered from the tier; a remembered absence is a hit.",
    tier=TIERS,
)
MISSES: Final = _metric(
    "misses_total", "counter", ("cache", "reason"),
    "Look-ups that no tier answered, by how the key's last L1 copy went or by what failed in L2.",
    reason=MISS_REASONS,
)
L1_MISSES: Final = _metric(
    "l1_misses_total", "counter", ("cache", "reason"),
    "Look-ups that L1 did not answer, by how the key's last L1 copy went.",
    reason=L1_MISS_REASONS,
)
ERRORS: Final = _metric(
    "errors_total", "counter", ("cache", "tier", "operation", "error"),
    "Operations that failed in the tier, by kind of failure.",
    tier=TIERS, operation=OPERATIONS, error=ERROR_KINDS,
)
L1_HIT_DURATION: Final = _metric(
    "l1_hit_duration_seconds", "histogram", ("cache",),
    "Latency of look-ups answered by L1; sampled, each sample weighted by the hits since the last.",
    unit="seconds", buckets=L1_HIT_BOUNDS,
)
REQUEST_DURATION: Final = _metric(
    "request_duration_seconds", "histogram", ("cache", "outcome"),
    "Latency of every look-up that L1 did not answer, by outcome.",
    unit="seconds", buckets=REQUEST_BOUNDS, outcome=OUTCOMES,
)

# Loads.
LOADS: Final = _metric(
    "loads_total", "counter", ("cache",),
    "Loader calls.",
)
LOAD_FAILURES: Final = _metric(
    "load_failures_total", "counter", ("cache", "error"),
    "Loader calls that gave no value, by kind of failure.",
    error=LOAD_ERRORS,
)
COALESCED: Final = _metric(
    "coalesced_total", "counter", ("cache",),
    "Look-ups that waited for a load of the same key instead of loading themselves.",
)
LOADS_IN_FLIGHT: Final = _metric(
    "loads_in_flight", "gauge", ("cache",),
    "Loader calls that run now.",
)
LOAD_DURATION: Final = _metric(
    "load_duration_seconds", "histogram", ("cache",),
    "Time that loader calls took, failed ones included.",
    unit="seconds", buckets=LOAD_BOUNDS,
)

# Contents.
WRITES: Final = _metric(
    "writes_total", "counter", ("cache", "tier"),
    "Entries written to the tier.",
    tier=TIERS,
)
DELETES: Final = _metric(
    "deletes_total", "counter", ("cache", "tier"),
    "Keys whose delete reached the tier, held there or not.",
    tier=TIERS,
)
EVICTIONS: Final = _metric(
    "evictions_total", "counter", ("cache", "tier", "reason"),
    "Entries that left the tier by themselves: for want of room, or because their time was over.",
    tier=TIERS, reason=EVICTION_REASONS,
)
REMOVALS: Final = _metric(
    "removals_total", "counter", ("cache", "tier", "reason"),
    "Entries that were taken out of the tier before their time.",
    tier=TIERS, reason=REMOVAL_REASONS,
)
VALUE_SIZE: Final = _metric(
    "value_size_bytes", "histogram", ("cache",),
    "Encoded size of values that were stored.",
    unit="bytes", buckets=SIZE_BOUNDS,
)
ENTRIES: Final = _metric(
    "entries", "gauge", ("cache", "tier"),
    "Entries that the tier holds now, expired ones excluded.",
    tier=TIERS,
)
MAX_ENTRIES: Final = _metric(
    "max_entries", "gauge", ("cache", "tier"),
    "Entries that the tier may hold.",
    tier=TIERS,
)
TTL: Final = _metric(
    "ttl_seconds", "gauge", ("cache", "tier"),
    "Time to live that entries of the tier get when a call names none.",
    unit="seconds", aggregation="max", tier=TIERS,
)

# L2 endpoints: states are counts per process, so that sums over replicas and workers are right.
L2_OPERATION_DURATION: Final = _metric(
    "l2_operation_duration_seconds", "histogram", ("l2", "operation"),
    "Latency of attempts at an L2 operation, failed ones included.",
    unit="seconds", buckets=L2_BOUNDS, operation=OPERATIONS,
)
L2_CIRCUITS: Final = _metric(
    "l2_circuits", "gauge", ("l2", "state"),
    "Circuit breakers of this process in the state.",
    state=CIRCUIT_STATES,
)
L2_CONNECTIONS: Final = _metric(
    "l2_connections", "gauge", ("l2", "state"),
    "Connections of the pool in the state.",
    state=CONNECTION_STATES,
)
L2_MAX_CONNECTIONS: Final = _metric(
    "l2_max_connections", "gauge", ("l2",),
    "Connections that the pool may open.",
)
L2_CONNECTION_WAIT: Final = _metric(
    "l2_connection_wait_seconds_total", "counter", ("l2",),
    "Time that calls waited for a free connection.",
    unit="seconds",
)

# The process and its exporter.
START_TIMESTAMP: Final = _metric(
    "start_timestamp_seconds", "gauge", ("cache",),
    "When this process began to count for the cache, in seconds since the epoch.",
    unit="seconds", aggregation="max",
)
COLLECT_DURATION: Final = _metric(
    "collect_duration_seconds", "gauge", ("collector",),
    "Time that this part of the scrape took.",
    unit="seconds", aggregation="max", collector=COLLECTORS,
)
COLLECT_SUCCESS: Final = _metric(
    "collect_success", "gauge", ("collector",),
    "1 if this part of the scrape is complete, 0 if something had to be left out.",
    collector=COLLECTORS,
)
LABEL_OVERFLOW: Final = _metric(
    "label_overflow_total", "counter", ("label",),
    "Distinct values of the label that were collapsed to `other` to keep the label bounded.",
)
BUILD_INFO: Final = _metric(
    "build_info", "info", ("version", "revision", "python"),
    "The routecache and the Python that run here.",
    aggregation="max",
)
CONFIG_INFO: Final = _metric(
    "config_info", "info", ("cache", "policy", "serializer"),
    "How the cache is configured: L1's eviction policy and the serializer of L2.",
    aggregation="max",
)

METRICS: Final[tuple[Metric, ...]] = (
    REQUESTS, HITS, MISSES, L1_MISSES, ERRORS, L1_HIT_DURATION, REQUEST_DURATION,
    LOADS, LOAD_FAILURES, COALESCED, LOADS_IN_FLIGHT, LOAD_DURATION,
    WRITES, DELETES, EVICTIONS, REMOVALS, VALUE_SIZE, ENTRIES, MAX_ENTRIES, TTL,
    L2_OPERATION_DURATION, L2_CIRCUITS, L2_CONNECTIONS, L2_MAX_CONNECTIONS, L2_CONNECTION_WAIT,
    START_TIMESTAMP, COLLECT_DURATION, COLLECT_SUCCESS, LABEL_OVERFLOW, BUILD_INFO, CONFIG_INFO,
)
# fmt: on
"""The catalogue, in the order in which it is exported."""

BY_NAME: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in METRICS})
