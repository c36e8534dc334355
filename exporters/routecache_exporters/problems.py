"""What is not well, from the state of things and from what happened in the last seconds.

Capacity and cost (a low hit ratio, a full L1) are no problems: METRICS says so, and a page that is
amber on every day of the year tells nobody anything. Texts hold names and no numbers, so that a
screen reader is told of a change of state and not of every count.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, EndpointSnapshot
from routecache_exporters.performance_shapes import Problem, Status
from routecache_exporters.reading import Reading, since

FAILING_LOADS: Final = 0.05
"""The share of loads from which on failures are a problem and not the daily noise of a provider."""

_TEXTS: Final[Mapping[str, str]] = {
    "l2_failing": "Look-ups of {} missed because L2 answered late or not at all.",
    "stale_blind": "L1 answered for {} without hearing what other processes change.",
    "undecodable": "L2 held values of {} that cannot be read; they are loaded anew.",
    "loads_failing": "Loads of {} failed.",
    "unreadable": "The state of {} could not be read, so it is left out here.",
    "stale_error": "Stale values of {} were served because loads failed or took too long.",
}
_NAMED: Final = 4  # caches in one sentence
_OUT: Final = ("l2_circuit_open", "l2_circuit_half_open")


def find(now: Reading, lately: Reading | None) -> list[Problem]:
    """The problems of `now`, the worst first.

    lately: what was read some seconds ago; what shows in counters alone is a problem if it
        happened since, and goes unseen without it.
    """
    several = now.workers is not None
    found = [problem for each in now.snapshot.endpoints for problem in _of_endpoint(each, several)]
    troubled = {problem["l2"] for problem in found}
    if broken := sorted(now.snapshot.broken):
        text = _TEXTS["unreadable"].format(_enumerated(broken))
        found.append(_problem("unreadable", "warning", text, broken))
    if lately is not None:
        for endpoint in now.snapshot.endpoints:
            if endpoint.alias not in troubled:
                found += _of_probes(endpoint, lately.endpoint(endpoint.alias))
        caches = (since(each, lately.cache(each.name)) for each in now.snapshot.caches)
        found += _of_caches(caches, troubled)
    return sorted(found, key=lambda problem: problem["severity"])  # critical before warning


def status(found: Sequence[Problem]) -> Status:
    """The severity of the first problem, which is the worst, or ok."""
    return found[0]["severity"] if found else "ok"


def summary(found: Sequence[Problem], snapshot: ProcessSnapshot) -> str:
    """A headline for people."""
    if not found:
        return "Well" if snapshot.caches else "No cache yet"
    if status(found) != "critical":
        return "Impaired"
    out = {problem["l2"] for problem in found if problem["code"] in _OUT}
    return "L2 is out" if len(out) == len(snapshot.endpoints) else "L2 is partly out"


def _of_endpoint(each: EndpointSnapshot, several: bool) -> Iterator[Problem]:
    unheard = each.listeners.get("disconnected", 0)
    partly = each.circuit == "closed" and (
        each.circuits.get("open") or each.circuits.get("half_open")
    )
    heard = each.listeners and not unheard
    if heard and (each.circuit == "open" or (partly and several)):
        # A circuit closes by a look-up that probes; without traffic it stays open for long, and
        # each worker has circuits of its own.
        yield _problem(
            "l2_circuit_not_probed",
            "warning",
            f"L2 {each.alias} answers its listener again, but a circuit is open still: a look-up "
            "will probe it.",
            l2=each.alias,
        )
    elif each.circuit == "open":
        yield _problem(
            "l2_circuit_open",
            "critical",
            f"L2 {each.alias} does not answer, and its circuit is open: look-ups are answered by "
            "L1 and by loaders alone until a probe succeeds.",
            l2=each.alias,
        )
    elif each.circuit == "half_open":
        yield _problem(
            "l2_circuit_half_open",
            "critical",
            f"L2 {each.alias} is being probed: its circuit is half open, and one call decides "
            "whether it is used again.",
            l2=each.alias,
        )
    elif partly:
        yield _problem(
            "l2_circuit_partly_open",
            "critical",
            f"L2 {each.alias} does not answer all workers: some look-ups are answered by L1 and by "
            "loaders alone."
            if several
            else f"A part of L2 {each.alias} does not answer: look-ups of its keys are answered by "
            "L1 and by loaders alone.",
            l2=each.alias,
        )
    elif unheard:
        yield _problem(
            "listener_disconnected",
            "warning",
            f"The listener of L2 {each.alias} is disconnected: what other processes change is not "
            "heard, and L1 serves its copies for a limited time only.",
            l2=each.alias,
        )
    if 0 < each.max_connections <= each.connections_in_use:
        yield _problem(
            "l2_pool_exhausted",
            "warning",
            f"All connections to L2 {each.alias} are in use: calls wait for one.",
            l2=each.alias,
        )


def _of_probes(each: EndpointSnapshot, before: EndpointSnapshot | None) -> Iterator[Problem]:
    lost_before = before.invalidation_probes.get("lost", 0) if before else 0
    if each.invalidation_probes.get("lost", 0) > lost_before:
        yield _problem(
            "probes_lost",
            "warning",
            f"L2 {each.alias} does not tell its listener of changes, though it is connected.",
            l2=each.alias,
        )


def _of_caches(caches: Iterable[CacheSnapshot], troubled: set[str | None]) -> Iterator[Problem]:
    concerned: dict[str, list[str]] = {}
    for each in caches:
        for code in _codes(each, known=each.l2 in troubled):
            concerned.setdefault(code, []).append(each.name)
    for code, names in concerned.items():
        yield _problem(code, "warning", _TEXTS[code].format(_enumerated(names)), names)


def _codes(grown: CacheSnapshot, *, known: bool) -> Iterator[str]:
    # What an endpoint in trouble explains is not told a second time by each of its caches.
    if grown.misses.get("l2_unavailable") and not known:
        yield "l2_failing"
    if grown.stale_hits.get("blind") and not known:
        yield "stale_blind"
    if grown.misses.get("undecodable"):
        yield "undecodable"
    if sum(grown.load_failures.values()) > FAILING_LOADS * grown.loads:
        yield "loads_failing"
    if grown.stale_hits.get("error"):
        yield "stale_error"


def _enumerated(names: Sequence[str]) -> str:
    shown = [*names] if len(names) <= _NAMED else [*names[: _NAMED - 1], "others"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _problem(
    code: str,
    severity: Literal["warning", "critical"],
    text: str,
    caches: Sequence[str] = (),
    l2: str | None = None,
) -> Problem:
    return {"code": code, "severity": severity, "caches": [*caches], "l2": l2, "text": text}
