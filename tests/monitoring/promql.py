"""What a PromQL expression refers to, read without a parser: enough to lint our own expressions."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from routecache_exporters import catalog
from routecache_exporters.metric import Metric

TARGET_LABELS = {"cluster", "namespace", "job", "instance"}
# Of the Redis exporter; test_redis_exporter.py asks it whether it has them.
REDIS_EXPORTER = (
    "redis_blocked_clients",
    "redis_connected_clients",
    "redis_cpu_sys_seconds_total",
    "redis_cpu_user_seconds_total",
    "redis_evicted_keys_total",
    "redis_expired_keys_total",
    "redis_last_slow_execution_duration_seconds",
    "redis_memory_max_bytes",
    "redis_memory_used_bytes",
    "redis_rejected_connections_total",
    "redis_slowlog_last_id",
    "redis_start_time_seconds",
    "redis_tracking_clients",
    "redis_up",
    "redis_uptime_in_seconds",
)
FOREIGN = {
    # Prometheus' own, those of Python's client, and those of the Redis exporter that dashboards and
    # runbooks use.
    "up": set[str](),
    "ALERTS": {"alertname", "alertstate", "severity", "cache", "l2"},
    "ALERTS_FOR_STATE": {"alertname", "severity"},
    "scrape_duration_seconds": set(),
    "scrape_samples_scraped": set(),
    "scrape_samples_post_metric_relabeling": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
    "process_max_fds": set(),
    "python_gc_collections_total": {"generation"},
    "prometheus_config_last_reload_successful": set(),
    "prometheus_sd_discovered_targets": {"name", "scrape_job"},
    "prometheus_rule_evaluation_failures_total": set(),
    "prometheus_notifications_errors_total": set(),
    **{name: set[str]() for name in REDIS_EXPORTER},
    "redis_commands_total": {"cmd"},
    "redis_commands_duration_seconds_total": {"cmd"},
    "redis_key_group_count": {"db", "key_group"},
    "redis_key_group_memory_usage_bytes": {"db", "key_group"},
}

_STRING = r'"(?:\\.|[^"\\])*"'
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_BRACES = rf"\{{(?:{_STRING}|[^{{}}\"])*\}}"
_MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING})")
# label_replace(..., "to", "$1", "from", "regex")
_MADE_LABEL = re.compile(rf',\s*"(\w+)",\s*{_STRING},\s*"\w+",\s*{_STRING}\s*\)')
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_KEYWORDS = {"and", "or", "unless", "offset", "bool", "by", "on", "ignoring", "without"}


class Selector(NamedTuple):
    """A series name and its matchers: (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expr: str) -> list[Selector]:
    """Every series that the expression selects."""
    bare = _bare(expr)
    found = []
    for match in re.finditer(rf"(?<![\w.$:])({_NAME})\s*({_BRACES})?", bare):
        name, braces = match[1], match[2] or ""
        if name in _KEYWORDS or bare[match.end() :].lstrip().startswith("("):
            continue
        matchers = [(m[1], m[2], m[3][1:-1]) for m in _MATCHER.finditer(braces)]
        found.append(Selector(name, tuple(matchers)))
    return found


def grouping_labels(expr: str) -> set[str]:
    """Every label that the expression groups or joins by."""
    lists = _GROUPING.findall(expr)
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}


def made_labels(expr: str) -> list[str]:
    """Every label that a label_replace of the expression makes."""
    return [made[1] for made in _MADE_LABEL.finditer(expr)]


def durations(expr: str) -> list[str]:
    """Every literal duration: ranges, subquery steps, offsets."""
    bare = re.sub(_STRING, '""', expr)
    inside = re.findall(r"\[([^\]]*)\]", bare)
    offsets = re.findall(r"\boffset\s+-?(\w+)", bare)
    return [part for text in (*inside, *offsets) for part in text.split(":") if part]


def labels_of(name: str, recorded: set[str]) -> set[str] | None:
    """The labels that series of this name may have, or None if there is no such series."""
    if name in FOREIGN:
        return FOREIGN[name] | TARGET_LABELS
    if name in recorded:
        return level(name)
    metric = _metric(name)
    if metric is None:
        return None
    extra = {"le"} if name.endswith("_bucket") else set()
    return {*metric.labels} | extra | TARGET_LABELS


def level(record: str) -> set[str]:
    """The labels that a recorded name's level says are left."""
    return set(record.partition(":")[0].split("_"))


def mistakes(expr: str, recorded: set[str]) -> Iterator[str]:
    """What is wrong with an expression: unknown series, labels or label values."""
    known = {*TARGET_LABELS, *made_labels(expr)}
    for name, matchers in selectors(expr):
        labels = labels_of(name, recorded)
        if labels is None:
            yield f"no such series: {name}"
            continue
        known |= labels
        for label, operator, value in matchers:
            if label not in labels:
                yield f"{name} has no label {label}"
            elif "$" not in value:
                yield from _wrong_values(name, label, operator, value)
    for label in grouping_labels(expr) - known:
        yield f"nothing selected has the label {label}"


def _wrong_values(name: str, label: str, operator: str, value: str) -> Iterator[str]:
    metric = _metric(name)
    allowed = metric.label_values.get(label) if metric is not None else None
    if allowed is None:
        return
    values = value.split("|") if "~" in operator else [value]
    for wrong in set(values) - {*allowed}:
        yield f"{name}: {label} is never {wrong}"


def _metric(series: str) -> Metric | None:
    """The metric that has series of this name; only a histogram's end in bucket, sum or count."""
    family = re.sub("_(bucket|sum|count)$", "", series)
    metric = catalog.BY_NAME.get(family)
    if metric is None or (metric.type == "histogram") != (family != series):
        return None
    return metric


def _bare(expr: str) -> str:
    """The expression without groupings, ranges, offsets, and strings outside of matchers."""
    dropped = rf"{_STRING}|\[[^\]]*\]|\boffset\s+-?\w+|{_GROUPING.pattern}"
    return re.sub(rf"({_BRACES})|{dropped}", lambda found: found[1] or " ", expr)
