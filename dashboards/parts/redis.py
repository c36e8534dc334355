"""Redis itself, as the Redis exporter beside it tells: our keys, memory, clients, slow commands."""

from typing import Final

from grafana_foundation_sdk.builders import timeseries

from dashboards import colors, panels, styles
from dashboards.shared import RATE

REDIS: Final = '⟦redis⟧instance=~"$redis"'
"""Selects metrics of a Redis exporter; its job is not the routers'."""

# `routing:model:v1` is the prefix `routing:model` and the kind of key `v1`.
_PREFIX = 'label_replace({}, "prefix", "$1", "key_group", "(.+):[^:]+")'
_OURS = f'{REDIS}, key_group!~"unclassified|overflow"'


def keys_by_prefix() -> timeseries.Panel:
    """How many keys each prefix has."""
    return panels.stacked(
        101,
        "Keys in Redis, by prefix",
        "Values, leases, tags and heartbeats of each cache prefix, counted by the Redis exporter "
        "(deploy/redis-exporter). A step down without a deploy or a clear: evictions, or a Redis "
        "that lost its data.",
        "short",
        [(f"sum by (key_group) (redis_key_group_count{{{_OURS}}})", "{{key_group}}")],
    ).decimals(0)


def memory_by_prefix() -> timeseries.Panel:
    """How many bytes each prefix takes."""
    usage = _PREFIX.format(f"redis_key_group_memory_usage_bytes{{{_OURS}}}")
    return panels.stacked(
        102,
        "Memory in Redis, by prefix",
        "MEMORY USAGE summed over the keys of each cache prefix. What a prefix costs, beside how "
        "many keys it has: many bytes a key call for compress_over or smaller values.",
        "bytes",
        [(f"sum by (prefix) ({usage})", "{{prefix}}")],
    )


def bytes_per_value() -> timeseries.Panel:
    """Mean size of a value."""
    values = f'{REDIS}, key_group=~".+:v[0-9]+"'
    used = _PREFIX.format(f"redis_key_group_memory_usage_bytes{{{values}}}")
    count = _PREFIX.format(f"redis_key_group_count{{{values}}}")
    return panels.timeseries(
        103,
        "Bytes per value in Redis",
        "Memory of a prefix's values by their number: key, envelope, payload and Redis' own "
        "overhead. Multiply by the expected number of keys to size maxmemory.",
        "bytes",
        [
            (
                f"sum by (prefix) ({used})\n/\n(sum by (prefix) ({count}) > 0)",
                "{{prefix}}",
            )
        ],
    )


def memory() -> timeseries.Panel:
    """Memory in use against its limit."""
    limit = "maxmemory"
    return panels.timeseries(
        104,
        "Redis memory",
        "Memory in use by instance, and its limit (dashed) where one is set. At the limit Redis "
        "evicts by maxmemory-policy, which should be allkeys-lru or allkeys-lfu; with noeviction "
        "writes fail (error oom).",
        "bytes",
        [
            (f"redis_memory_used_bytes{{{REDIS}}}", "{{instance}}"),
            (f"max(redis_memory_max_bytes{{{REDIS}}}) > 0", limit),
        ],
    ).override_by_name(
        limit,
        styles.override(
            color={"mode": "fixed", "fixedColor": "text"},
            custom__lineStyle={"fill": "dash", "dash": [6, 4]},
        ),
    )


def evictions() -> timeseries.Panel:
    """Keys that Redis gave up, before and at the end of their time."""
    panel = panels.timeseries(
        105,
        "Evicted and expired keys",
        "Keys of any application that Redis evicted for want of memory, and that reached the end "
        "of their TTL, per second. Evictions of live entries show in the routers as misses with "
        "reason invalidated or evicted.",
        "ops",
        [
            (f"sum(rate(redis_evicted_keys_total{{{REDIS}}}[{RATE}]))", "evicted"),
            (f"sum(rate(redis_expired_keys_total{{{REDIS}}}[{RATE}]))", "expired"),
        ],
    )
    return styles.colored(panel, {name: colors.REASONS[name] for name in ("evicted", "expired")})


def clients() -> timeseries.Panel:
    """Who is connected, and who listens."""
    return panels.timeseries(
        106,
        "Redis clients",
        "Connections of all applications; blocked ones; those that track our prefixes (one "
        "listener for each router process and primary: fewer means deaf routers); and, per "
        "second, connections refused because maxclients was reached.",
        "short",
        [
            (f"sum(redis_connected_clients{{{REDIS}}})", "connected"),
            (f"sum(redis_blocked_clients{{{REDIS}}})", "blocked"),
            (f"sum(redis_tracking_clients{{{REDIS}}})", "tracking"),
            (f"sum(rate(redis_rejected_connections_total{{{REDIS}}}[{RATE}]))", "refused per s"),
        ],
    )


def commands() -> timeseries.Panel:
    """Commands per second by name."""
    return panels.stacked(
        107,
        "Redis commands",
        "Commands of all applications per second, the ten most frequent. A look-up that may lead "
        "to a load is an EVALSHA; a plain look-up is a GET.",
        "ops",
        [
            (
                f"topk(10, sum by (cmd) (rate(redis_commands_total{{{REDIS}}}[{RATE}])) > 0)",
                "{{cmd}}",
            )
        ],
    )


def busy() -> timeseries.Panel:
    """How much of its one thread Redis uses."""
    in_commands = f"rate(redis_commands_duration_seconds_total{{{REDIS}}}[{RATE}])"
    user = f"rate(redis_cpu_user_seconds_total{{{REDIS}}}[{RATE}])"
    system = f"rate(redis_cpu_sys_seconds_total{{{REDIS}}}[{RATE}])"
    panel = panels.timeseries(
        108,
        "Redis busy",
        "Seconds per second that Redis spent in commands (its one thread: 1 is all), and its CPU "
        "time. High CPU with few busy seconds is I/O, a fork for a snapshot, or key counting.",
        "percentunit",
        [
            (f"sum by (instance) ({in_commands})", "in commands {{instance}}"),
            (f"sum by (instance) ({user} + {system})", "CPU {{instance}}"),
        ],
    )
    return styles.lines_at(panel, [(None, "transparent"), (0.7, "orange")])


def slow_commands() -> timeseries.Panel:
    """Commands that entered the slow log."""
    return panels.timeseries(
        109,
        "Slow commands",
        "Commands that Redis wrote to its slow log (slower than slowlog-log-slower-than, 10 ms "
        "unless set), per second, and how long the last of them took (right). Each holds up every "
        "look-up that leaves L1. `redis-cli slowlog get 10` names them.",
        "ops",
        [
            (
                f"sum by (instance) (rate(redis_slowlog_last_id{{{REDIS}}}[{RATE}]))",
                "entries {{instance}}",
            ),
            (f"max(redis_last_slow_execution_duration_seconds{{{REDIS}}})", "last one took"),
        ],
    ).override_by_name(
        "last one took",
        styles.override(unit="s", custom__axisPlacement="right", color={"mode": "fixed",
                        "fixedColor": "orange"}),
    )  # fmt: skip


def availability() -> timeseries.Panel:
    """Whether the exporter reaches Redis, and restarts."""
    panel = panels.timeseries(
        110,
        "Redis reachable and up since",
        "1 while the Redis exporter reaches Redis, 0 while it does not, and the time since Redis "
        "was started (right): a fall to 0 is a restart.",
        "short",
        [
            (f"redis_up{{{REDIS}}}", "reachable {{instance}}"),
            (f"redis_uptime_in_seconds{{{REDIS}}}", "up {{instance}}"),
        ],
    )
    return panel.min(0).override_by_regexp(
        "/^up /", styles.override(unit="s", custom__axisPlacement="right")
    )
