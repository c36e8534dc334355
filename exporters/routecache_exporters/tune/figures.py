"""What a grid found, as plain numbers that no tier hangs on."""

from collections.abc import Mapping
from dataclasses import dataclass

from routecache_exporters.tune.simulation import CacheGrid, Cell


@dataclass(frozen=True, slots=True)
class Figures:
    """One cache at one life time and size.

    look_ups, l1_hits, loads: counts over the log; what neither L1 nor a load answered, L2 did.
    misses: L1's, by reason.
    mean_age, max_age: seconds since the load of an answer, over all answers.
    outdated: share of the answers that are expected to be older than the last change of the truth
        (see `simulation.Ages`), or None if nothing is assumed about changes.
    """

    ttl: float
    size: int
    look_ups: int
    l1_hits: int
    loads: int
    misses: Mapping[str, int]
    mean_age: float
    max_age: float
    outdated: float | None

    @property
    def hit_ratio(self) -> float:
        """The share of look-ups that needed no load, whichever tier answered."""
        return 1 - self.loads / self.look_ups

    @property
    def l1_hit_ratio(self) -> float:
        """The share of look-ups that L1 answered."""
        return self.l1_hits / self.look_ups

    @property
    def loads_saved(self) -> int:
        """Calls of a loader that a router without the cache would make beside these."""
        return self.look_ups - self.loads

    def as_dict(self) -> dict[str, object]:
        """For JSON; times in seconds."""
        return {
            "ttl": self.ttl,
            "size": self.size,
            "hit_ratio": self.hit_ratio,
            "l1_hit_ratio": self.l1_hit_ratio,
            "hits": {
                "l1": self.l1_hits,
                "l2": self.look_ups - self.loads - self.l1_hits,
            },
            "l1_misses": dict(self.misses),
            "loads": self.loads,
            "loads_saved": self.loads_saved,
            "mean_age": self.mean_age,
            "max_age": self.max_age,
            "outdated_share": self.outdated,
        }


Grid = Mapping[tuple[float, int], Figures]
"""Figures by life time and size, in rising order of both."""


def figures_of(grid: CacheGrid) -> dict[tuple[float, int], Figures]:
    """The figures of every cell; the grid saw at least one look-up."""
    return {
        (cell.ttl, cell.size): _figures(cell, grid.look_ups)
        for column in grid.columns
        for cell in column.cells
    }


def _figures(cell: Cell, look_ups: int) -> Figures:
    outdated = cell.ages.outdated
    return Figures(
        cell.ttl,
        cell.size,
        look_ups,
        cell.l1_hits,
        cell.loads,
        dict(sorted(cell.misses.items())),
        cell.ages.total / look_ups,
        cell.ages.longest,
        None if outdated is None else outdated / look_ups,
    )
