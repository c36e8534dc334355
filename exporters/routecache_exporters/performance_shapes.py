"""The shape of the performance metrics, schema 1: what `/stats.json` answers, key by key.

Names are stable: within a schema number keys are added, never renamed, removed or given another
meaning. Every key of a type is always there; mappings that a fixed vocabulary names hold all of
it, at 0 where nothing was counted. Durations are seconds, times seconds since the epoch, ratios 0
to 1, and null is "nothing to tell": a ratio of no look-ups, a quantile of no observations.
"""

from typing import Final, Literal, NotRequired, TypeAlias, TypedDict

SCHEMA: Final = 1

Status: TypeAlias = Literal["ok", "warning", "critical"]


class Latency(TypedDict):
    """A histogram's answers. Quantiles are estimates inside buckets, as PromQL's.

    `sampled`: not every event was timed, each sample stands for the events since the last.
    """

    count: int
    sampled: bool
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Ratios(TypedDict):
    """`hit` and `l1`: shares of all look-ups; `l2`: of those that L1 did not answer."""

    hit: float | None
    l1: float | None
    l2: float | None


class Lookups(TypedDict):
    """Look-ups and how they were answered: requests = hits + misses.

    `hits` by tier, `misses` and `l1_misses` by reason, `latency_seconds` by outcome and, sampled,
    of `l1_hit`.
    """

    requests: int
    hits: dict[str, int]
    misses: dict[str, int]
    l1_misses: dict[str, int]
    stale_hits: dict[str, int]
    ratios: Ratios
    latency_seconds: dict[str, Latency]


class RecentLookups(Lookups):
    """The look-ups of the last `seconds`, about a minute."""

    seconds: float
    requests_per_second: float


class Loads(TypedDict):
    """Loader calls: `failures` by error, `refreshes` by kind."""

    calls: int
    failures: dict[str, int]
    in_flight: int
    coalesced: int
    duplicate: int
    refreshes: dict[str, int]
    latency_seconds: Latency


class ErrorCount(TypedDict):
    """Failed operations of one kind."""

    tier: str
    operation: str
    error: str
    count: int


class Invalidations(TypedDict):
    """Changes told to other processes and heard from L2; `last`: when the latest of either was."""

    published: int
    received: int
    last: float | None


class Recovery(TypedDict):
    """What outages left to be deleted from L2: keys still `pending`, keys deleted, overflows."""

    pending: int
    deletes: int
    overflows: int


class WarmUpMetrics(TypedDict):
    """The last warm-up: when it `started`, when one last `completed`, `entries` it has warmed."""

    started: float | None
    completed: float | None
    entries: int


class CacheMetrics(Lookups):
    """One cache since `started`. `live`: it has a manager now; without one, sizes are 0.

    `evictions` and `removals` by tier and reason. `size_rejections`: values too large to store.
    `l2`: the endpoint's alias, null without L2. `recent` is null when there is nothing to compare.
    """

    name: str
    live: bool
    started: float
    uptime_seconds: float
    policy: str
    serializer: str
    l2: str | None
    entries: int
    max_entries: int
    size_bytes: int
    ttl_seconds: dict[str, float | None]
    loads: Loads
    writes: dict[str, int]
    deletes: dict[str, int]
    evictions: dict[str, dict[str, int]]
    removals: dict[str, dict[str, int]]
    size_rejections: int
    errors: list[ErrorCount]
    recovery: Recovery
    warm_up: WarmUpMetrics
    invalidations: Invalidations
    load_seconds_avoided: float
    overhead_seconds: float
    recent: RecentLookups | None


class Connections(TypedDict):
    """The pool of one endpoint. `wait_seconds`: the total that calls waited for a connection."""

    in_use: int
    idle: int
    max: int
    wait_seconds: float


class Listener(TypedDict):
    """Who hears what other processes write: `connected` and `disconnected` count primaries, both
    0 while nobody listens. `probes` are its own heartbeats by result, `lag_seconds` how long those
    that were heard took."""

    connected: int
    disconnected: int
    reconnects: int
    probes: dict[str, int]
    lag_seconds: Latency


class RecentOperations(TypedDict):
    """All operations of the last `seconds`, failed attempts included."""

    seconds: float
    operations_per_second: float
    latency_seconds: Latency


class EndpointMetrics(TypedDict):
    """One L2 endpoint. `latency_seconds` by operation.

    `circuit`: closed, open or half_open; a cluster has one for each primary, `circuits` counts
    them by state, and `circuit` is the best of them.
    """

    l2: str
    circuit: str
    circuits: dict[str, int]
    circuit_transitions: dict[str, int]
    circuit_failures: int
    listener: Listener
    latency_seconds: dict[str, Latency]
    connections: Connections
    recent: RecentOperations | None


class ProcessMetrics(TypedDict):
    """The process that answers. `started` and `uptime_seconds` are null where no /proc tells."""

    pid: int
    started: float | None
    uptime_seconds: float | None
    version: str
    revision: str
    python: str


class WorkersMetrics(TypedDict):
    """The workers that all numbers are of, where several count in one directory.

    `processes` lives now, a master that preloads included; `since` is when the first one began to
    count; `complete` is false if something had to be left out, as the log says.
    """

    processes: int
    since: float | None
    complete: bool


class Problem(TypedDict):
    """Something that is not well: what, where, and what it means in one sentence.

    `code` and the names are for programs, `text` for people; `text` holds no changing number.
    """

    code: str
    severity: Literal["warning", "critical"]
    caches: list[str]
    l2: str | None
    text: str


class RecentTotal(TypedDict):
    """All caches together over the last `seconds`."""

    seconds: float
    requests: int
    requests_per_second: float
    ratios: Ratios


class CacheHistory(TypedDict):
    """Counters of one cache at each of the history's `times`, null where it was not there."""

    requests: list[int | None]
    l1_hits: list[int | None]
    l2_hits: list[int | None]
    l2_unavailable: list[int | None]


class EndpointHistory(TypedDict):
    """Counters and state of one endpoint at each of the history's `times`."""

    operations: list[int | None]
    operation_seconds: list[float | None]
    circuit: list[str | None]


class History(TypedDict):
    """The last minutes, a reading every `interval_seconds`, the oldest first."""

    interval_seconds: float
    times: list[float]
    caches: dict[str, CacheHistory]
    endpoints: dict[str, EndpointHistory]


class PerformanceMetrics(TypedDict):
    """All that is known at `time`: of the workers together, if there are, else of the process.

    `history` only if it was asked for.
    """

    schema: int
    time: float
    status: Status
    summary: str
    problems: list[Problem]
    process: ProcessMetrics
    workers: WorkersMetrics | None
    recent: RecentTotal | None
    caches: list[CacheMetrics]
    endpoints: list[EndpointMetrics]
    history: NotRequired[History]
