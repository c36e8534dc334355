"""The recommendation: the shortest life time, and then the smallest size, that are good enough.

Both have a price and a point from which more of it buys hardly anything. A longer life time is
paid with older answers; a larger L1 with memory. So:

1. Life times whose answers are outdated too often (`max_outdated`) are left out.
2. Of the others, the shortest is taken whose hit ratio, at its best size, is at least the one that
   was asked for (`min_hit_ratio`), or else within `within` of the best life time's.
3. Of its sizes, the smallest is taken whose share of look-ups answered by L1 is within `within` of
   the largest share; without L2, where the size decides what is loaded, and with a `min_hit_ratio`,
   the smallest that reaches that.

So without a `min_hit_ratio` and without L2, up to twice `within` of the hit ratio is given away.
"""

from dataclasses import dataclass

from routecache_exporters.tune.figures import Figures, Grid

_ROUNDING = 1e-12  # shares are quotients of counts: equal ones may differ by this


@dataclass(frozen=True, slots=True)
class Objective:
    """What is good enough; all are shares from 0 to 1.

    within: what may be given away against the best of the grid.
    min_hit_ratio: the hit ratio that suffices, instead of the best one's neighbourhood.
    max_outdated: the share of answers that may be older than the last change.
    """

    within: float = 0.01
    min_hit_ratio: float | None = None
    max_outdated: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The figures that are recommended, or None; and why, in a sentence."""

    figures: Figures | None
    why: str


def choose(grid: Grid, objective: Objective, *, has_l2: bool) -> Choice:
    """Choose among the cells of `grid`, of which there is at least one."""
    most = objective.max_outdated
    allowed = [f for f in grid.values() if most is None or (f.outdated or 0.0) <= most]
    if not allowed:
        least = min(f.outdated or 0.0 for f in grid.values())
        return Choice(
            None,
            f"at every life time more answers are outdated than {most:.2%}: {least:.2%} or more",
        )
    best = max(f.hit_ratio for f in allowed)
    if not best:
        return Choice(None, "nothing was asked for again while it lived, at any life time tried")
    wanted = objective.min_hit_ratio
    if wanted is not None and best < wanted - _ROUNDING:
        return Choice(None, f"no hit ratio reaches {wanted:.2%}: the best is {best:.2%}")
    enough = (best - objective.within if wanted is None else wanted) - _ROUNDING
    ttl = min(f.ttl for f in allowed if f.hit_ratio >= enough)
    sizes = [f for f in allowed if f.ttl == ttl]
    if wanted is not None and not has_l2:
        chosen = min((f for f in sizes if f.hit_ratio >= enough), key=lambda f: f.size)
    else:
        most_l1 = max(f.l1_hit_ratio for f in sizes) - objective.within - _ROUNDING
        chosen = min((f for f in sizes if f.l1_hit_ratio >= most_l1), key=lambda f: f.size)
    return Choice(chosen, _why(objective, best, limited=len(allowed) < len(grid), has_l2=has_l2))


def _why(objective: Objective, best: float, *, limited: bool, has_l2: bool) -> str:
    if objective.min_hit_ratio is not None:
        ttl = f"the shortest life time that reaches {objective.min_hit_ratio:.2%}"
    else:
        ttl = f"the shortest life time within {objective.within:.2%} of the best, {best:.2%}"
    if limited:
        ttl += f", of those with at most {objective.max_outdated:.2%} of answers outdated"
    if objective.min_hit_ratio is not None and not has_l2:
        return f"{ttl}; the smallest size that reaches it"
    return f"{ttl}; the smallest size within {objective.within:.2%} of what L1 can answer then"
