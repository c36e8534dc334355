"""What `routecache tune` found, as numbers, and the settings that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from routecache import RoutingSettings
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.pace import Order
from routecache_exporters.tune.choosing import Choice, Objective
from routecache_exporters.tune.figures import Figures, Grid


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a log was tuned for.

    periods: seconds between changes, by cache. limit: requests to read at most, or None.
    again: whether the log can be read once more under its name.
    time_unit: what numbers as arrival times count in, if it was told.
    """

    log: str
    context: str
    timestamp: str
    workers: int
    has_l2: bool
    cost: float
    objective: Objective
    periods: Mapping[str, float]
    settings: RoutingSettings
    limit: int | None = None
    again: bool = True
    time_unit: str | None = None

    def in_force(self, cache: str) -> tuple[float, int]:
        """Life time and size that the settings give `cache` now."""
        return getattr(self.settings, f"{cache}_ttl"), getattr(self.settings, f"{cache}_maxsize")


@dataclass(frozen=True, slots=True)
class CacheTuning:
    """One cache: its grid, what is in force and what is recommended."""

    grid: Grid
    now: Figures
    choice: Choice

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        chosen = self.choice.figures
        return {
            "in_force": self.now.as_dict(),
            "recommended": None if chosen is None else chosen.as_dict(),
            "why": self.choice.why,
            "grid": [figures.as_dict() for figures in self.grid.values()],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A finished (or interrupted) run over a log.

    span: seconds from the first request to the last. shared_evictions: keys that the simulated L2
    had no room for. order, doubt: as of `replay.report.Report`.
    """

    terms: Terms
    caches: Mapping[str, CacheTuning]
    rows: int
    bad: BadRows
    span: float
    elapsed: float
    shared_evictions: int
    interrupted: bool
    order: Order = field(default_factory=Order)
    doubt: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that set the recommended life times."""
        return {
            ttl_variable(name): number(cache.choice.figures.ttl)
            for name, cache in self.caches.items()
            if cache.choice.figures is not None
        }

    @property
    def sizes(self) -> dict[str, int]:
        """The recommended sizes by cache."""
        return {
            name: cache.choice.figures.size
            for name, cache in self.caches.items()
            if cache.choice.figures is not None
        }

    @property
    def arguments(self) -> str:
        """The recommended sizes as arguments of `RoutingSettings`."""
        return ", ".join(f"{name}_maxsize={size}" for name, size in self.sizes.items())

    @property
    def ok(self) -> bool:
        """Whether there is a recommendation for every cache, from at least half of the rows."""
        recommended = all(cache.choice.figures is not None for cache in self.caches.values())
        return recommended and not self.mostly_bad

    @property
    def mostly_bad(self) -> bool:
        """Whether more rows were left out than were used."""
        return self.bad.count > self.rows

    def as_dict(self) -> dict[str, object]:
        """For JSON; times in seconds."""
        terms = self.terms
        return {
            "log": terms.log,
            "context": terms.context,
            "timestamp": terms.timestamp,
            "workers": terms.workers,
            "l2": terms.has_l2,
            "cost_seconds": terms.cost,
            "objective": {
                "within": terms.objective.within,
                "min_hit_ratio": terms.objective.min_hit_ratio,
                "max_outdated": terms.objective.max_outdated,
                "changes_every": dict(terms.periods),
            },
            "rows": self.rows,
            "bad_rows": {
                "count": self.bad.count,
                "first": [{"line": row.line, "reason": row.reason} for row in self.bad.first],
            },
            "span_seconds": self.span,
            "out_of_order": {"requests": self.order.late, "seconds": self.order.most},
            "elapsed_seconds": self.elapsed,
            "l2_evictions": self.shared_evictions,
            "interrupted": self.interrupted,
            "caches": {name: cache.as_dict() for name, cache in self.caches.items()},
            "recommendation": {"environment": self.environment, "sizes": self.sizes},
        }


def ttl_variable(cache: str) -> str:
    """The environment's variable for the life time of `cache`."""
    return f"ROUTING_CACHE_{cache.upper()}_TTL_SECS"


def number(value: float) -> str:
    """A number of seconds without a needless point."""
    return f"{value:.12g}"
