"""Every metric of routecache once: name, type, labels, unit, help, buckets, label values.

Exporters, dashboards, alert rules, the docs and the tests all read this table, so that a name or
a help text is written down nowhere else. It knows no exporter and holds no number: the collectors
fill it from snapshots. Bucket bounds come from `routecache.stats`, since an observation is sorted
into its bucket where it is counted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args

from routecache import sizing
from routecache.breaker import State
from routecache.stats import (
    L1_HIT_BOUNDS,
    L2_BOUNDS,
    LAG_BOUNDS,
    LOAD_BOUNDS,
    REQUEST_BOUNDS,
    SIZE_BOUNDS,
)
from routecache.typing import (
    ERROR_KINDS,
    L1_MISS_REASONS,
    MISS_REASONS,
    OUTCOMES,
    REFRESH_KINDS,
    STALE_REASONS,
    Operation,
    Tier,
)
from routecache_exporters.metric import Metric, metric

TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
CIRCUIT_STATES: Final[tuple[State, ...]] = get_args(State)
CONNECTION_STATES: Final = ("in_use", "idle")
LISTENER_STATES: Final = ("connected", "disconnected")
PROBE_RESULTS: Final = ("ok", "lost")
LOAD_ERRORS: Final = ("timeout", "cancelled", "error")
EVICTION_REASONS: Final = ("size", "expired")
REMOVAL_REASONS: Final = ("invalidated", "cleared", "health")
SCALES: Final = tuple(f"{scale:g}" for scale in sizing.SCALES)
COLLECTORS: Final = ("snapshot", "caches", "endpoints", "workers")


# fmt: off
# Look-ups. The books: requests = hits{l1} + hits{l2} + misses = hits{l1} + l1_misses.
REQUESTS: Final = metric(
    "requests_total", "counter", ("cache",),
    "Look-ups asked of the cache; a batch of n counts n.",
)
HITS: Final = metric(
    "hits_total", "counter", ("cache", "tier"),
    "Look-ups answered from the tier; a remembered absence is a hit.",
    tier=TIERS,
)
STALE_HITS: Final = metric(
    "stale_hits_total", "counter", ("cache", "reason"),
    "Hits that were served although the value may be out of date.",
    reason=STALE_REASONS,
)
MISSES: Final = metric(
    "misses_total", "counter", ("cache", "reason"),
    "Look-ups that no tier answered, by how the key's last L1 copy went or by what failed in L2.",
    reason=MISS_REASONS,
)
L1_MISSES: Final = metric(
    "l1_misses_total", "counter", ("cache", "reason"),
    "Look-ups that L1 did not answer, by how the key's last L1 copy went.",
    reason=L1_MISS_REASONS,
)
ERRORS: Final = metric(
    "errors_total", "counter", ("cache", "tier", "operation", "error"),
    "Operations that failed in the tier, by kind of failure.",
    tier=TIERS, operation=OPERATIONS, error=ERROR_KINDS,
)
L1_HIT_DURATION: Final = metric(
    "l1_hit_duration_seconds", "histogram", ("cache",),
    "Latency of look-ups answered by L1; sampled, each sample weighted by the hits since the last.",
    unit="seconds", buckets=L1_HIT_BOUNDS,
)
REQUEST_DURATION: Final = metric(
    "request_duration_seconds", "histogram", ("cache", "outcome"),
    "Latency of every look-up that L1 did not answer, by outcome.",
    unit="seconds", buckets=REQUEST_BOUNDS, outcome=OUTCOMES,
)

# Loads.
LOADS: Final = metric(
    "loads_total", "counter", ("cache",),
    "Loader calls.",
)
LOAD_FAILURES: Final = metric(
    "load_failures_total", "counter", ("cache", "error"),
    "Loader calls that gave no value, by kind of failure.",
    error=LOAD_ERRORS,
)
COALESCED: Final = metric(
    "coalesced_total", "counter", ("cache",),
    "Look-ups that waited for a load of the same key instead of loading themselves.",
)
DUPLICATE_LOADS: Final = metric(
    "duplicate_loads_total", "counter", ("cache",),
    "Loads that found another process's newer value in L2 when they came to store their own.",
)
REFRESHES: Final = metric(
    "refreshes_total", "counter", ("cache", "kind"),
    "Background refreshes that ended: of stale values, or early ones before expiry.",
    kind=REFRESH_KINDS,
)
LOADS_IN_FLIGHT: Final = metric(
    "loads_in_flight", "gauge", ("cache",),
    "Loader calls that run now.",
)
LOAD_DURATION: Final = metric(
    "load_duration_seconds", "histogram", ("cache",),
    "Time that loader calls took, failed ones included.",
    unit="seconds", buckets=LOAD_BOUNDS,
)
LOAD_SECONDS_AVOIDED: Final = metric(
    "load_seconds_avoided_total", "counter", ("cache",),
    "Time that loading the values of hits would have taken, where their first load was timed; "
    "sampled for L1.",
)
OVERHEAD: Final = metric(
    "overhead_seconds_total", "counter", ("cache",),
    "Time that callers spent in the cache, without loads that they ran or waited for; sampled for "
    "L1 hits.",
    unit="seconds",
)

# What-if (cache/routecache/sizing.py).
WHATIF_MISSES: Final = metric(
    "whatif_misses_total", "counter", ("cache", "scale"),
    "Look-ups that L1 is predicted to miss at so many times its size, estimated from a sample.",
    scale=SCALES,
)

# Contents.
WRITES: Final = metric(
    "writes_total", "counter", ("cache", "tier"),
    "Entries written to the tier.",
    tier=TIERS,
)
DELETES: Final = metric(
    "deletes_total", "counter", ("cache", "tier"),
    "Keys whose delete reached the tier, held there or not.",
    tier=TIERS,
)
EVICTIONS: Final = metric(
    "evictions_total", "counter", ("cache", "tier", "reason"),
    "Entries that left the tier by themselves: for want of room, or because their time was over.",
    tier=TIERS, reason=EVICTION_REASONS,
)
REMOVALS: Final = metric(
    "removals_total", "counter", ("cache", "tier", "reason"),
    "Entries that were taken out of the tier before their time.",
    tier=TIERS, reason=REMOVAL_REASONS,
)
VALUE_SIZE: Final = metric(
    "value_size_bytes", "histogram", ("cache",),
    "Encoded size of values that were stored.",
    unit="bytes", buckets=SIZE_BOUNDS,
)
ENTRIES: Final = metric(
    "entries", "gauge", ("cache", "tier"),
    "Entries that the tier holds now, expired ones excluded.",
    tier=TIERS,
)
MAX_ENTRIES: Final = metric(
    "max_entries", "gauge", ("cache", "tier"),
    "Entries that the tier may hold.",
    tier=TIERS,
)
L1_SIZE: Final = metric(
    "l1_size_bytes", "gauge", ("cache",),
    "Encoded size of the values that L1 holds; estimated in a cache without L2.",
    unit="bytes",
)
TTL: Final = metric(
    "ttl_seconds", "gauge", ("cache", "tier"),
    "Time to live that entries of the tier get when a call names none.",
    unit="seconds", aggregation="max", tier=TIERS,
)

# Coherence and recovery.
INVALIDATIONS_PUBLISHED: Final = metric(
    "invalidations_published_total", "counter", ("cache",),
    "Keys written or deleted and tags invalidated whose change L2 has taken and tells listeners.",
)
INVALIDATIONS_RECEIVED: Final = metric(
    "invalidations_received_total", "counter", ("cache",),
    "Changes of keys and tags that the listener heard of, own ones included.",
)
RECOVERY_DELETES: Final = metric(
    "recovery_deletes_total", "counter", ("cache",),
    "Keys of failed writes and deletes that were deleted from L2 when it was back.",
)
RECOVERY_OVERFLOWS: Final = metric(
    "recovery_overflows_total", "counter", ("cache",),
    "Times that more keys were owed to L2 than can be remembered, and the prefix was invalidated.",
)
RECOVERY_PENDING: Final = metric(
    "recovery_pending", "gauge", ("cache",),
    "Keys and tags that L2 has still to forget, because a write or delete of them failed.",
)
LISTENERS: Final = metric(
    "listeners", "gauge", ("l2", "state"),
    "Primaries that this process listens to, or tries to, by state.",
    state=LISTENER_STATES,
)
LISTENER_RECONNECTS: Final = metric(
    "listener_reconnects_total", "counter", ("l2",),
    "Times that a primary was listened to again after its connection was lost.",
)
INVALIDATION_PROBES: Final = metric(
    "invalidation_probes_total", "counter", ("l2", "result"),
    "Heartbeats of the listener whose invalidation was heard, or lost for not coming back.",
    result=PROBE_RESULTS,
)
INVALIDATION_LAG: Final = metric(
    "invalidation_lag_seconds", "histogram", ("l2",),
    "Time from writing a heartbeat to hearing its invalidation.",
    unit="seconds", buckets=LAG_BOUNDS,
)

# L2 endpoints: states are counts per process, so that sums over replicas and workers are right.
L2_OPERATION_DURATION: Final = metric(
    "l2_operation_duration_seconds", "histogram", ("l2", "operation"),
    "Latency of attempts at an L2 operation, failed ones included.",
    unit="seconds", buckets=L2_BOUNDS, operation=OPERATIONS,
)
L2_CIRCUITS: Final = metric(
    "l2_circuits", "gauge", ("l2", "state"),
    "Circuit breakers of this process in the state.",
    state=CIRCUIT_STATES,
)
L2_CIRCUIT_TRANSITIONS: Final = metric(
    "l2_circuit_transitions_total", "counter", ("l2", "state"),
    "Times that a circuit breaker entered the state.",
    state=CIRCUIT_STATES,
)
L2_CIRCUIT_FAILURES: Final = metric(
    "l2_circuit_failures_total", "counter", ("l2",),
    "Calls that counted against a circuit breaker: unanswered, late, or by a server out of order.",
)
L2_CONNECTIONS: Final = metric(
    "l2_connections", "gauge", ("l2", "state"),
    "Connections of the pool in the state.",
    state=CONNECTION_STATES,
)
L2_MAX_CONNECTIONS: Final = metric(
    "l2_max_connections", "gauge", ("l2",),
    "Connections that the pool may open.",
)
L2_CONNECTION_WAIT: Final = metric(
    "l2_connection_wait_seconds_total", "counter", ("l2",),
    "Time that calls waited for a free connection.",
    unit="seconds",
)

# What the router says.
PROVIDER_HEALTHY: Final = metric(
    "provider_healthy", "gauge", ("provider",),
    "1 if the provider was last reported healthy to this process, 0 if unhealthy.",
    aggregation="min",
)

# The process and its exporter.
START_TIMESTAMP: Final = metric(
    "start_timestamp_seconds", "gauge", ("cache",),
    "When this process began to count for the cache, in seconds since the epoch.",
    unit="seconds", aggregation="max",
)
WARMUP_ENTRIES: Final = metric(
    "warmup_entries", "gauge", ("cache",),
    "Entries that the last warm-up of this process has warmed; counts up while one goes on.",
)
WARMUP_STARTED: Final = metric(
    "warmup_started_timestamp_seconds", "gauge", ("cache",),
    "When the last warm-up of the cache started, in seconds since the epoch.",
    unit="seconds", aggregation="max",
)
WARMUP_COMPLETED: Final = metric(
    "warmup_last_completed_timestamp_seconds", "gauge", ("cache",),
    "When a warm-up of the cache last completed, in seconds since the epoch; 0 if none has.",
    unit="seconds", aggregation="min",
)
COLLECT_DURATION: Final = metric(
    "collect_duration_seconds", "gauge", ("collector",),
    "Time that this part of the scrape took.",
    unit="seconds", aggregation="max", collector=COLLECTORS,
)
COLLECT_SUCCESS: Final = metric(
    "collect_success", "gauge", ("collector",),
    "1 if this part of the scrape is complete, 0 if something had to be left out.",
    aggregation="min", collector=COLLECTORS,
)
LABEL_OVERFLOW: Final = metric(
    "label_overflow_total", "counter", ("label",),
    "Distinct values of the label that were collapsed to `other` to keep the label bounded.",
)
BUILD_INFO: Final = metric(
    "build_info", "info", ("version", "revision", "python"),
    "The routecache and the Python that run here.",
    aggregation="max",
)
CONFIG_INFO: Final = metric(
    "config_info", "info", ("cache", "policy", "serializer"),
    "How the cache is configured: L1's eviction policy and the serializer of L2.",
    aggregation="max",
)

METRICS: Final[tuple[Metric, ...]] = (
    REQUESTS, HITS, STALE_HITS, MISSES, L1_MISSES, ERRORS, L1_HIT_DURATION, REQUEST_DURATION,
    LOADS, LOAD_FAILURES, COALESCED, DUPLICATE_LOADS, REFRESHES, LOADS_IN_FLIGHT, LOAD_DURATION,
    LOAD_SECONDS_AVOIDED, OVERHEAD, WHATIF_MISSES,
    WRITES, DELETES, EVICTIONS, REMOVALS, VALUE_SIZE, ENTRIES, MAX_ENTRIES, L1_SIZE, TTL,
    INVALIDATIONS_PUBLISHED, INVALIDATIONS_RECEIVED,
    RECOVERY_DELETES, RECOVERY_OVERFLOWS, RECOVERY_PENDING,
    LISTENERS, LISTENER_RECONNECTS, INVALIDATION_PROBES, INVALIDATION_LAG,
    L2_OPERATION_DURATION, L2_CIRCUITS, L2_CIRCUIT_TRANSITIONS, L2_CIRCUIT_FAILURES,
    L2_CONNECTIONS, L2_MAX_CONNECTIONS, L2_CONNECTION_WAIT,
    PROVIDER_HEALTHY,
    START_TIMESTAMP, WARMUP_ENTRIES, WARMUP_STARTED, WARMUP_COMPLETED,
    COLLECT_DURATION, COLLECT_SUCCESS, LABEL_OVERFLOW, BUILD_INFO, CONFIG_INFO,
)
# fmt: on
"""The catalogue, in the order in which it is exported."""

BY_NAME: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in METRICS})
