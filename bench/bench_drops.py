"""What it costs to drop entries from a large L1, and what everybody else waits for meanwhile.

    python bench/bench_drops.py [--quick] [--json]

Every turn acts on a tier of its own, filled anew. A call is timed as a whole; "locked" is the
longest that the tier's lock was held in one go, during which no other thread can write. With
`--quick` the tier is a tenth as large.
"""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.report import Column, Report, parse
from routecache.local import Entry, L1Policy, LocalTier

CARRIERS: Final = 10
ROUNDS: Final = 5


class Watched:
    """A reentrant lock that remembers how long it was held at most."""

    def __init__(self, lock: Any) -> None:
        self.longest = 0.0
        self._lock = lock
        self._depth = 0
        self._since = 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:
            self._since = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self.longest = max(self.longest, time.perf_counter() - self._since)
        self._lock.release()


def _ignored(_reason: str) -> None:
    pass


def filled(policy: L1Policy, n: int) -> LocalTier:
    tier = LocalTier(n, policy, _ignored)
    for i in range(n):
        tags = ("all", "few") if i % (n // CARRIERS) == 0 else ("all",)
        tier.put(Entry(f"key:{i}", [i], 300.0, tags), 0.0)
    return tier


ACTIONS: Final[dict[str, tuple[Callable[[LocalTier], object], ...]]] = {
    f"drop_tags, {CARRIERS} entries": (lambda tier: tier.drop_tags(["few"]),),
    "drop_tags, all entries": (lambda tier: tier.drop_tags(["all"]),),
    "drop_all": (lambda tier: tier.drop_all(),),
    "size, all overdue": (lambda tier: tier.size(301.0),),
    "size, all overdue, again": (lambda tier: tier.size(301.0), lambda tier: tier.size(301.0)),
    "put, all overdue": (lambda tier: tier.put(Entry("new", 1, 900.0), 301.0),),
}


def measure(
    policy: L1Policy, n: int, actions: Sequence[Callable[[LocalTier], object]]
) -> tuple[float, float]:
    """Milliseconds that the last of `actions` took, and that it held the lock at most."""
    tier = filled(policy, n)
    for action in actions[:-1]:
        action(tier)
    lock = Watched(tier.lock)
    tier.lock = lock  # type: ignore[assignment]  # it is only ever entered and left
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    actions[-1](tier)
    took = time.perf_counter() - started
    gc.enable()
    return took * 1e3, lock.longest * 1e3


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(__doc__, argv)
    report = Report("drops", options)
    n = 10_000 if options.quick else 100_000
    rows = []
    for name, actions in ACTIONS.items():
        for policy in get_args(L1Policy):
            taken = [measure(policy, n, actions) for _ in range(ROUNDS)]
            rows.append((name, policy, *(median(column) for column in zip(*taken, strict=True))))
    report.table(
        f"Dropping and counting, milliseconds, {n:,} entries",
        [Column("call"), Column("policy"), Column("whole", ".3f"), Column("locked", ".3f")],
        rows,
    )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
