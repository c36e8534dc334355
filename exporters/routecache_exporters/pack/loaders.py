"""The loaders behind the caches: what is answered when no tier does."""

from routecache_exporters.pack.config import Config
from routecache_exporters.pack.promql import (
    aggregated,
    both,
    divided,
    number,
    percent,
    rate,
    series,
)
from routecache_exporters.pack.rules import Alert, Group

_NOTE = """\
A load that its caller cancelled says nothing about the loader."""


def loaders(config: Config) -> Group:
    """Failed, slow, too many and repeated loads, and warm-ups that came to nothing."""
    alerts = [
        _errors(config),
        _latency(config),
        _overload(config),
        _stampede(config),
        _warm_up(config),
    ]
    return Group("loaders", _NOTE, alerts, needs=("requests",))


def _loads(config: Config) -> str:
    return config.recorded("loads", f"rate{config.window}", "cache")


def _errors(config: Config) -> Alert:
    limit = config.alerts["LoadErrors"]
    where = 'error!="cancelled"'
    failed = rate(config, config.window, "load_failures_total", "cache", where=where)
    return Alert(
        "LoadErrors", "warning",
        both(
            f"{divided(failed, _loads(config))} > {number(limit.threshold or 0)}",
            f"{_loads(config)} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Loaders of cache <cache> of <job> fail.",
        f"<percent> of the loader calls of cache <cache> failed over {config.window} (limit "
        f"{percent(limit.threshold or 0)}). Their callers got the loader's error, or a stale value "
        "where stale_if_error allows it.",
        labels=("cache",), limit="share of loads; loads/s",
    )  # fmt: skip


def _latency(config: Config) -> Alert:
    limit = config.alerts["LoadLatencyHigh"]
    buckets = rate(config, config.window, "load_duration_seconds_bucket", "le", "cache")
    return Alert(
        "LoadLatencyHigh", "warning",
        both(
            f"histogram_quantile(0.95, {buckets}) > {number(limit.threshold or 0)}",
            f"{_loads(config)} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Loaders of cache <cache> of <job> are slow.",
        "The slowest 5% of the loader calls of cache <cache> take <duration> or more (limit "
        f"{number(limit.threshold or 0)} s). Whoever misses waits that long, up to hard_timeout.",
        labels=("cache",), limit="seconds, p95; loads/s",
    )  # fmt: skip


def _overload(config: Config) -> Alert:
    limit = config.alerts["LoaderOverload"]
    busy = rate(config, config.window, "load_duration_seconds_sum", "cache")
    processes = aggregated("count", config, series("start_timestamp_seconds"), "cache")
    return Alert(
        "LoaderOverload", "warning",
        f"{divided(busy, processes)} > {number(limit.threshold or 0)}",
        limit.wait,
        "Processes of <job> keep many loaders of cache <cache> busy.",
        "In each process of <job> <number> loader calls of cache <cache> are under way at any time "
        f"(limit {number(limit.threshold or 0)}), on average: more is asked of the loaders than "
        "the cache was to let through.",
        labels=("cache",), limit="loads under way per process",
    )  # fmt: skip


def _stampede(config: Config) -> Alert:
    limit = config.alerts["Stampede"]
    repeated = rate(config, config.window, "duplicate_loads_total", "cache")
    return Alert(
        "Stampede", "warning",
        both(
            f"{divided(repeated, _loads(config))} > {number(limit.threshold or 0)}",
            f"{_loads(config)} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Processes of <job> load the same values of cache <cache> at once.",
        "<percent> of the loader calls of cache <cache> found when they were done that another "
        f"process had loaded the value meanwhile (limit {percent(limit.threshold or 0)}). "
        "Policy(distributed_lock=True) of a manager of one's own has one of them load.",
        labels=("cache",), limit="share of loads; loads/s",
    )  # fmt: skip


def _warm_up(config: Config) -> Alert:
    limit = config.alerts["WarmupFailed"]
    started = series("warmup_started_timestamp_seconds")
    completed = series("warmup_last_completed_timestamp_seconds")
    return Alert(
        "WarmupFailed", "warning",
        f"{aggregated('count', config, f'{started} > {completed}', 'cache')} > 0",
        limit.wait,
        "Processes of <job> could not warm cache <cache>.",
        "Processes of <job> that began to warm cache <cache> and did not bring enough of it by "
        "their deadline: <number>. They serve, and load what they are asked for: every start of "
        "one is a burst of loads.",
        labels=("cache",),
    )  # fmt: skip
