"""No resurrection: interleavings of load, delete, set and tags in two processes, Redis killed.

A load that began before a change must not be seen after it, in either process, whatever fails
meanwhile; `tests/interleaving.py` has the steps and the model. The same with leases switched off,
and with recovery switched off, must find violations: so the proof can fail. There the kills are ten
times as frequent, which makes that short.

Four lanes, each with two processes and a Redis of its own, go on side by side, because most of the
time goes by in waiting for circuits to close. What a lane does depends on its seed alone.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from bench.prove.findings import Findings
from tests.interleaving import Interleavings
from tests.members import Without

INTERLEAVINGS: Final = 10_000
LANES: Final = 4
OUTAGE_EVERY: Final = 100
CONTROL_OUTAGE_EVERY: Final = 10
CONTROLS: Final[tuple[Without, ...]] = ("leases", "recovery")


def prove(findings: Findings) -> None:
    """The long run and its controls."""
    findings.case = f"{INTERLEAVINGS:,} interleavings, seed {findings.seed}"
    seen, violations, outages = _long_run(findings)
    findings.must("violations", len(violations), "=", 0)
    for violation in violations[:5]:
        findings.must(f"violation: {violation}", 1, "=", 0)
    findings.saw("Redis killed and restarted", outages)
    for what, count in sorted(seen.items()):
        findings.saw(what, count)
    for without in CONTROLS:
        _control(findings, without)


def _long_run(findings: Findings) -> tuple[Counter[str], list[str], int]:
    done, lock = 0, threading.Lock()

    def run(lane: int) -> Interleavings:
        nonlocal done
        with Interleavings(findings.seed * LANES + lane, OUTAGE_EVERY) as interleavings:
            for n in range(INTERLEAVINGS // LANES):
                interleavings.run(n)
                with lock:
                    done += 1
                    if done % 20 == 0:
                        findings.advance(done / INTERLEAVINGS, f"{done:,} interleavings")
        return interleavings

    seen: Counter[str] = Counter()
    violations: list[str] = []
    with ThreadPoolExecutor(LANES) as lanes:
        results = list(lanes.map(run, range(LANES)))
    for result in results:
        seen += result.world.seen
        violations += result.world.violations
    return seen, violations, sum(result.outages for result in results)


def _control(findings: Findings, without: Without) -> None:
    findings.case = f"the same without {without}"
    found_after = 0
    with Interleavings(findings.seed * LANES, CONTROL_OUTAGE_EVERY, without) as interleavings:
        while not interleavings.world.violations and found_after < INTERLEAVINGS:
            findings.advance(found_after / INTERLEAVINGS, findings.case)
            interleavings.run(found_after)
            found_after += 1
        findings.must("violations", len(interleavings.world.violations), "≥", 1)
    findings.saw("found after interleavings", found_after)
