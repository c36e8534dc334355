"""No resurrection: interleavings of load, delete, set and tags in two processes, Redis killed.

A load that began before a change must not be seen after it, in either process, whatever fails
meanwhile; `tests/interleaving.py` has the steps and the model. The same interleavings with leases
switched off, and with recovery switched off, must find violations: so the proof can fail.
"""

from typing import Final

from bench.prove.findings import Findings
from tests.interleaving import Interleavings
from tests.members import Without

INTERLEAVINGS: Final = 10_000
OUTAGE_EVERY: Final = 100
CONTROLS: Final[tuple[Without, ...]] = ("leases", "recovery")


def prove(findings: Findings) -> None:
    """The long run and its controls."""
    findings.case = f"{INTERLEAVINGS:,} interleavings, seed {findings.seed}"
    with Interleavings(findings.seed, OUTAGE_EVERY) as interleavings:
        world = interleavings.world
        for n in range(INTERLEAVINGS):
            interleavings.run(n)
            if n % 20 == 0:
                findings.advance(n / INTERLEAVINGS, f"{len(world.violations)} violations")
        findings.must("violations", len(world.violations), "=", 0)
        for violation in world.violations[:5]:
            findings.must(f"violation: {violation}", 1, "=", 0)
        findings.saw("Redis killed and restarted", interleavings.outages)
        for what, count in world.seen.items():
            findings.saw(what, count)
    for without in CONTROLS:
        _control(findings, without)


def _control(findings: Findings, without: Without) -> None:
    findings.case = f"the same without {without}"
    with Interleavings(findings.seed, OUTAGE_EVERY, without) as interleavings:
        for n in range(INTERLEAVINGS):
            findings.advance(n / INTERLEAVINGS, findings.case)
            interleavings.run(n)
            if interleavings.world.violations:
                break
        findings.must("violations", len(interleavings.world.violations), "≥", 1)
        findings.saw("found in interleaving", n + 1)
