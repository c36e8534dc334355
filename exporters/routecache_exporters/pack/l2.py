"""Redis, as the routers see it, and as the Redis exporter beside it does."""

from routecache_exporters.pack.config import Config
from routecache_exporters.pack.promql import (
    both,
    divided,
    in_parentheses,
    number,
    percent,
    rate,
    series,
    summed,
)
from routecache_exporters.pack.rules import Alert, Group, Recording, Rule

_NOT_OPEN = 'state=~"open|half_open"'
# decode, encode and oversize are about a value, not about Redis.
_OF_REDIS = 'tier="l2", error!~"decode|encode|oversize"'


def l2(config: Config) -> Group:
    """Circuits, failed and slow commands, the pool."""
    now = config.window
    operations = config.recorded("l2_operations", f"rate{now}")
    errors = config.recorded("l2_errors", f"rate{now}")
    by_l2 = config.recorded("l2_operations", f"rate{now}", "l2")
    circuits = config.recorded("l2_circuits", "sum", "l2")
    open_ = config.recorded("l2_circuits_open", "sum", "l2")
    rules: list[Rule] = [
        Recording(operations, rate(config, now, "l2_operation_duration_seconds_count")),
        Recording(by_l2, rate(config, now, "l2_operation_duration_seconds_count", "l2")),
        Recording(errors, rate(config, now, "errors_total", where=_OF_REDIS)),
        Recording(
            config.recorded("l2_errors_per_operations", f"ratio_rate{now}"),
            divided(errors, operations),
        ),
        Recording(circuits, summed(config, series("l2_circuits"), "l2")),
        Recording(open_, summed(config, series("l2_circuits", _NOT_OPEN), "l2")),
        Recording(config.recorded("l2_circuits_open", "ratio", "l2"), divided(open_, circuits)),
        *_circuit_alerts(config),
        _errors(config),
        _latency(config),
        _pool(config),
    ]
    note = """\
A half-open circuit lets one probe through: Redis has not answered it yet, so it counts as open.
Only a call can close an open circuit. So both circuit alerts also want look-ups that miss for lack
of L2: a fleet without traffic keeps its circuits open after Redis is back, and must not page all
night."""
    return Group("l2", note, rules, needs=("requests",))


def _circuit_alerts(config: Config) -> tuple[Alert, Alert]:
    down, some = config.alerts["L2Down"], config.alerts["L2UnreachableFromSome"]
    half = number(down.threshold or 0)
    share = config.recorded("l2_circuits_open", "ratio", "l2")
    misses = config.recorded("misses", f"rate{config.window}", "cache", "reason")
    missed = (
        f"and on ({config.by()})\n"
        f"sum by ({config.by()}) (\n"
        f'  {misses}{{reason="l2_unavailable"}}\n'
        ") > 0"
    )
    return (
        Alert(
            "L2Down", "critical", f"{share} >= {half}\n{missed}", down.wait,
            "Redis (<l2>) does not answer <job>.",
            "<percent> of the circuits of <job> to L2 endpoint <l2> are open. Look-ups are "
            "answered by L1 and the loaders only: what L1 does not hold is computed again by every "
            "process.",
            labels=("l2",), limit="share of circuits open",
        ),
        Alert(
            "L2UnreachableFromSome", "warning", f"({share} > 0) < {half}\n{missed}", some.wait,
            "Some processes of <job> cannot reach Redis (<l2>).",
            "<percent> of the circuits of <job> to L2 endpoint <l2> are open while the others "
            "work: the cause is at those processes or on their way to Redis, not Redis itself. "
            "They also miss what the others invalidate.",
            labels=("l2",), limit="as L2Down, from below",
        ),
    )  # fmt: skip


def _errors(config: Config) -> Alert:
    limit = config.alerts["L2ErrorRatioHigh"]
    ratio = config.recorded("l2_errors_per_operations", f"ratio_rate{config.window}")
    operations = config.recorded("l2_operations", f"rate{config.window}")
    return Alert(
        "L2ErrorRatioHigh", "warning",
        both(
            f"{ratio} > {number(limit.threshold or 0)}",
            f"{operations} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Redis commands of <job> fail.",
        f"<percent> of the Redis commands of <job> failed over {config.window} (limit "
        f"{percent(limit.threshold or 0)}; values that cannot be encoded, decoded or are too large "
        "do not count), not enough at a time to open the circuits.",
        limit="share of commands; commands/s",
    )  # fmt: skip


def _latency(config: Config) -> Alert:
    limit = config.alerts["L2LatencyHigh"]
    buckets = rate(
        config, config.window, "l2_operation_duration_seconds_bucket", "le", "l2",
        where='operation=~"get|set|delete"',
    )  # fmt: skip
    operations = config.recorded("l2_operations", f"rate{config.window}", "l2")
    return Alert(
        "L2LatencyHigh", "warning",
        both(
            f"histogram_quantile(0.99, {buckets}) > {number(limit.threshold or 0)}",
            f"{operations} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Redis (<l2>) answers <job> slowly.",
        "The slowest 1% of the Redis commands of <job> to L2 endpoint <l2> take <duration> or more "
        f"(limit {number((limit.threshold or 0) * 1000)} ms). Look-ups that leave L1 wait that "
        "long; at l2_timeout they count as failed.",
        labels=("l2",), limit="seconds, p99; commands/s",
    )  # fmt: skip


def _pool(config: Config) -> Alert:
    limit = config.alerts["PoolSaturated"]
    operations = config.recorded("l2_operations", f"rate{config.window}", "l2")
    waited = rate(config, config.window, "l2_connection_wait_seconds_total", "l2")
    return Alert(
        "PoolSaturated", "warning",
        both(
            f"{divided(waited, operations)} > {number(limit.threshold or 0)}",
            f"{operations} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Calls of <job> wait for a connection to Redis (<l2>).",
        "A Redis command of <job> to L2 endpoint <l2> waits <duration> for a free connection, on "
        f"average (limit {number((limit.threshold or 0) * 1000)} ms): the pool is too small, or "
        "slow commands hold its connections.",
        labels=("l2",), limit="seconds waited per command; commands/s",
    )  # fmt: skip


def redis(config: Config) -> Group:
    """What the Redis exporter has to be asked for, too."""
    limit = config.alerts["RedisEvictingLiveEntries"]
    window, common = config.window, ", ".join(config.redis_labels)
    lost = rate(config, window, "misses_total", "cache", where='reason=~"evicted|invalidated"')
    requests = config.recorded("requests", f"rate{window}", "cache")
    evicted = f'rate(redis_evicted_keys_total{{job="{config.jobs.redis}"}}[{window}])'
    expr = (
        in_parentheses(
            both(
                f"{divided(lost, requests)} > {number(limit.threshold or 0)}",
                f"{requests} > {number(limit.floor or 0)}",
            )
        )
        + f"\nand on ({common})\nsum by ({common}) (\n  {evicted}\n) > 0"
    )
    alert = Alert(
        "RedisEvictingLiveEntries", "warning", expr, limit.wait,
        "Redis evicts entries that cache <cache> of <job> still asks for.",
        "<percent> of the look-ups in cache <cache> miss entries that were there, while Redis "
        f"evicts keys for want of memory (limit {percent(limit.threshold or 0)}). Each costs a "
        "loader call.",
        labels=("cache",), limit="share of look-ups; look-ups/s",
    )  # fmt: skip
    note = f"""\
Needs the Redis exporter, scraped as job {config.jobs.redis}, at least every minute. Routers and
exporter are matched by {common}: labels that both have, or both lack."""
    return Group("redis", note, [alert], needs=("requests",))
