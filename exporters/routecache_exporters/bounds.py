"""Bounds on label values: what lies beyond them is exported as `other` and counted."""

import threading
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from routecache import forking
from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import OTHER, Metric

DEFAULT_LIMIT: Final = 16

_VOCABULARIES: Final[Mapping[Metric, tuple[tuple[str, AbstractSet[str] | None], ...]]] = {
    metric: tuple(
        (label, frozenset(metric.label_values[label]) if label in metric.label_values else None)
        for label in metric.labels
    )
    for metric in METRICS
}


class LabelBounds:
    """Admits label values first come, first served, and never takes an admission back.

    A value that moved from its own label to `other` would make its own counter stop and the
    other one jump, so once a value was admitted the order of later snapshots does not matter.

    `limits` holds the number of values by label name; `DEFAULT_LIMIT` applies to all others.
    Safe for threads.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self._admitted: dict[str, set[str]] = {}
        self._overflow = dict.fromkeys(limits, 0)
        self.rows: set[tuple[Metric, tuple[str, ...]]] = set()
        """Label sets known to be within every bound, so that a scrape checks each only once."""
        self._lock = threading.Lock()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Replace the lock, which a thread that does not exist here may have held."""
        self._lock = threading.Lock()

    def admit(self, label: str, value: str) -> bool:
        """Whether `value` of a label without a fixed vocabulary is exported as itself."""
        if value in self._admitted.get(label, ()):
            return True  # the usual case, without the lock: admissions are only ever added
        with self._lock:
            admitted = self._admitted.setdefault(label, set())
            if value not in admitted and len(admitted) >= self._limits.get(label, DEFAULT_LIMIT):
                return value == OTHER
            admitted.add(value)
            return True

    def overflow(self, collapsed: Mapping[str, AbstractSet[str]]) -> Mapping[str, int]:
        """Take note of what one scrape collapsed and return `label_overflow_total` by label.

        That is the largest number of distinct values that were collapsed in one scrape: it never
        falls, and it needs no memory of the values.
        """
        with self._lock:
            for label, values in collapsed.items():
                self._overflow[label] = max(self._overflow.get(label, 0), len(values))
            return dict(self._overflow)


class LabelFilter:
    """`LabelBounds` applied to one scrape, whose collapsed values it collects. For one thread."""

    def __init__(self, bounds: LabelBounds) -> None:
        self._bounds = bounds
        self.collapsed: dict[str, set[str]] = {}

    def one(self, label: str, value: str) -> str:
        """`value` of a label without a fixed vocabulary, or `other`."""
        return value if self._bounds.admit(label, value) else self._collapse(label, value)

    def row(self, metric: Metric, values: tuple[str, ...]) -> tuple[str, ...]:
        """The label values of a row of `metric`, each within its bound.

        Raises TypeError or ValueError if one is not text that an exposition can carry.
        """
        if (metric, values) in self._bounds.rows:
            return values
        "".join(values).encode()
        bounded = tuple(
            value
            if (value in vocabulary if vocabulary else self._bounds.admit(label, value))
            else self._collapse(label, value)
            for value, (label, vocabulary) in zip(values, _VOCABULARIES[metric], strict=True)
        )
        if bounded == values:
            self._bounds.rows.add((metric, values))
        return bounded

    def _collapse(self, label: str, value: str) -> str:
        self.collapsed.setdefault(label, set()).add(value)
        return OTHER
