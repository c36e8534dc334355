"""What stands in the cells of the status page: short texts made of the performance metrics.

page/status.js has the same tables and makes the same texts of the same keys, for the answers that
it polls; tests/integration/test_status_page.py compares the two in a browser.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from routecache_exporters.performance_shapes import (
    CacheMetrics,
    EndpointMetrics,
    Latency,
    Lookups,
    PerformanceMetrics,
)
from routecache_exporters.web.texts import (
    NOTHING,
    bytes_of,
    count,
    duration,
    rate,
    ratio,
    seconds,
)


class Cell(NamedTuple):
    """Lines of text, in which a tab parts a label from its number, and a state (ok, warning,
    critical or none) that is shown by a mark and a colour beside the words."""

    lines: tuple[str, ...]
    state: str = ""


CacheCell: TypeAlias = Callable[[CacheMetrics, PerformanceMetrics], Cell]
EndpointCell: TypeAlias = Callable[[EndpointMetrics, PerformanceMetrics], Cell]

_OUTCOMES: Final[Mapping[str, str]] = {
    "l1_hit": "L1 hit",
    "l2_hit": "L2 hit",
    "load": "load",
    "stale": "stale",
    "miss": "miss",
    "error": "error",
}
_CIRCUITS: Final[Mapping[str, Cell]] = {
    "closed": Cell(("closed",), "ok"),
    "half_open": Cell(("half open, probing",), "warning"),
    "open": Cell(("open, not asked",), "critical"),
}
_WORST_FIRST: Final = ("open", "half_open", "closed")
_FAILURES: Final = ("l2_unavailable", "undecodable")


def identity(metrics: PerformanceMetrics) -> str:
    """Whose numbers these are: those of one process, or of several together."""
    process, workers = metrics["process"], metrics["workers"]
    if workers:
        n, since = workers["processes"], workers["since"]
        parts = [
            process["version"],
            "1 worker" if n == 1 else f"{count(n)} workers together",
            f"Python {process['python']}",
            *(() if since is None else (f"counting for {duration(_age(metrics, since))}",)),
            *(() if workers["complete"] else ("incomplete",)),
        ]
        return " · ".join(parts)
    up = process["uptime_seconds"]
    parts = [f"{process['version']}", f"process {process['pid']}", f"Python {process['python']}"]
    return " · ".join(parts if up is None else [*parts, f"up {duration(up)}"])


def window(metrics: PerformanceMetrics) -> str:
    """Over which time the recent numbers were counted."""
    recent = metrics["recent"]
    return f"the last {duration(recent['seconds'])}" if recent else "the time since the start"


def total_rate(metrics: PerformanceMetrics) -> str:
    """Look-ups of all caches."""
    recent = metrics["recent"]
    return rate(recent["requests_per_second"]) if recent else NOTHING


def total_ratio(metrics: PerformanceMetrics) -> str:
    """The hit ratio of all caches together."""
    recent = metrics["recent"]
    return ratio(recent["ratios"]["hit"]) if recent else NOTHING


def total_l2(metrics: PerformanceMetrics) -> str:
    """How many endpoints are in use."""
    circuits = [each["circuit"] for each in metrics["endpoints"]]
    return f"{circuits.count('closed')} of {len(circuits)} in use" if circuits else "none"


def _lately(each: CacheMetrics) -> Lookups:
    return each["recent"] or each


def _rate(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    recent, up = each["recent"], each["uptime_seconds"]
    if recent:
        return Cell((rate(recent["requests_per_second"]),))
    return Cell((rate(each["requests"] / up) if up else NOTHING,))


def _ratio(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    lookups = _lately(each)
    n = lookups["requests"]
    if not n:
        return Cell((NOTHING,))
    tiers = [f"{tier.upper()} {ratio(hits / n)}" for tier, hits in lookups["hits"].items()]
    return Cell((ratio(lookups["ratios"]["hit"]), " · ".join(tiers)))


def _latency(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    latencies = _lately(each)["latency_seconds"]
    lines = [
        f"{label}\t{_quantiles(latencies[outcome])}"
        for outcome, label in _OUTCOMES.items()
        if latencies[outcome]["count"]
    ]
    return Cell(tuple(lines) or (NOTHING,))


def _misses(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    misses = _lately(each)["misses"]
    # What went wrong stands first, where the mark is.
    failed = {reason: misses[reason] for reason in _FAILURES if misses[reason]}
    rest = {reason: n for reason, n in misses.items() if reason not in failed}
    lines = [f"{_words(key)}\t{count(n)}" for key, n in (*_largest(failed), *_largest(rest))]
    return Cell(tuple(lines) or ("none",), "warning" if failed else "")


def _entries(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    if not each["live"]:
        return Cell(("closed",))
    size = bytes_of(each["size_bytes"])
    return Cell((f"{count(each['entries'])} of {count(each['max_entries'])}", size))


def _l2(each: CacheMetrics, metrics: PerformanceMetrics) -> Cell:
    if each["l2"] is None:
        return Cell(("none",))
    alias = each["l2"]
    state = next((e["circuit"] for e in metrics["endpoints"] if e["l2"] == alias), "unknown")
    lines, mark = _circuit_cell(state)
    last = each["invalidations"]["last"]
    heard = "no invalidation yet" if last is None else f"last invalidation {_ago(metrics, last)}"
    return Cell((*lines, alias, heard), mark)


def _lookups(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    return Cell((count(each["requests"]), f"hit ratio {ratio(each['ratios']['hit'])}"))


def _loads(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    loads = each["loads"]
    lines = (
        f"failed\t{count(sum(loads['failures'].values()))}",
        f"coalesced\t{count(loads['coalesced'])}",
        f"duplicate\t{count(loads['duplicate'])}",
    )
    return Cell((f"calls\t{count(loads['calls'])}", *lines))


def _stale(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    return _counts(each["stale_hits"])


def _evictions(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    return _counts(each["evictions"]["l1"])


def _removals(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    return _counts(each["removals"]["l1"])


def _errors(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    kinds: dict[str, int] = {}
    for entry in each["errors"]:
        kind = f"{entry['tier'].upper()} {entry['error']}"
        kinds[kind] = kinds.get(kind, 0) + entry["count"]
    return _counts(kinds)


def _counted(each: CacheMetrics, _: PerformanceMetrics) -> Cell:
    return Cell((duration(each["uptime_seconds"]),))


def _circuit(each: EndpointMetrics, _: PerformanceMetrics) -> Cell:
    lines, mark = _circuit_cell(each["circuit"])
    circuits = each["circuits"]
    if sum(circuits.values()) > 1:
        lines = tuple(
            f"{_words(state)}\t{count(circuits[state])}"
            for state in _WORST_FIRST
            if circuits[state]
        )
        mark = "critical" if len(lines) > 1 else mark
    return Cell((*lines, f"opened\t{count(each['circuit_transitions']['open'])} ×"), mark)


def _listener(each: EndpointMetrics, _: PerformanceMetrics) -> Cell:
    listener = each["listener"]
    connected, lost = listener["connected"], listener["disconnected"]
    if not connected + lost:
        return Cell(("none",))
    states = [f"{n} {word}" for n, word in ((lost, "disconnected"), (connected, "connected")) if n]
    if connected + lost == 1:
        states = ["disconnected" if lost else "connected"]
    lag, probes = listener["lag_seconds"], listener["probes"]
    lines = [f"lag\t{_quantiles(lag)}"] if lag["count"] else []
    lines += [
        f"probes lost\t{count(probes['lost'])}",
        f"reconnects\t{count(listener['reconnects'])}",
    ]
    return Cell((*states, *lines), "warning" if lost else "ok")


def _operations(each: EndpointMetrics, _: PerformanceMetrics) -> Cell:
    recent = each["recent"]
    return Cell((rate(recent["operations_per_second"]) if recent else NOTHING,))


def _round_trips(each: EndpointMetrics, _: PerformanceMetrics) -> Cell:
    recent = each["recent"]
    if recent and recent["latency_seconds"]["count"]:
        return Cell((_quantiles(recent["latency_seconds"]),))
    return Cell((NOTHING,))


def _by_operation(each: EndpointMetrics, _: PerformanceMetrics) -> Cell:
    lines = [
        f"{operation}\t{_quantiles(latency)}"
        for operation, latency in each["latency_seconds"].items()
        if latency["count"]
    ]
    return Cell(tuple(lines) or (NOTHING,))


def _connections(each: EndpointMetrics, _: PerformanceMetrics) -> Cell:
    pool = each["connections"]
    full = 0 < pool["max"] <= pool["in_use"]
    return Cell(
        (
            f"in use\t{count(pool['in_use'])} of {count(pool['max'])}",
            f"idle\t{count(pool['idle'])}",
            f"waited\t{seconds(pool['wait_seconds'])}",
        ),
        "warning" if full else "",
    )


CACHE_CELLS: Final[Mapping[str, CacheCell]] = {
    "rate": _rate,
    "ratio": _ratio,
    "latency": _latency,
    "misses": _misses,
    "entries": _entries,
    "l2": _l2,
}
"""The cells of a cache's row, about the last minute and this moment."""

TOTAL_CELLS: Final[Mapping[str, CacheCell]] = {
    "lookups": _lookups,
    "loads": _loads,
    "stale": _stale,
    "evictions": _evictions,
    "removals": _removals,
    "errors": _errors,
    "counted": _counted,
}
"""The cells of a cache's row, about the time since it began to count."""

ENDPOINT_CELLS: Final[Mapping[str, EndpointCell]] = {
    "circuit": _circuit,
    "listener": _listener,
    "operations": _operations,
    "trips": _round_trips,
    "connections": _connections,
    "by_operation": _by_operation,
}
"""The cells of an endpoint's row."""


def _ago(metrics: PerformanceMetrics, moment: float) -> str:
    return f"{duration(_age(metrics, moment))} ago"


def _age(metrics: PerformanceMetrics, moment: float) -> float:
    return max(0.0, metrics["time"] - moment)


def _quantiles(latency: Latency) -> str:
    return f"{seconds(latency['p50'])} / {seconds(latency['p99'])}"


def _counts(counts: Mapping[str, int]) -> Cell:
    return Cell(tuple(f"{_words(key)}\t{count(n)}" for key, n in _largest(counts)) or ("none",))


def _largest(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((key, n) for key, n in counts.items() if n), key=lambda pair: -pair[1])


def _words(key: str) -> str:
    return key.replace("l2_", "L2 ").replace("_", " ")


def _circuit_cell(state: str) -> Cell:
    return _CIRCUITS.get(state, Cell((state,)))
