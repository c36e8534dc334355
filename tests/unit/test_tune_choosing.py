"""What is recommended, from grids whose figures are given."""

import pytest

from routecache_exporters.tune.choosing import Objective, choose
from routecache_exporters.tune.figures import Figures

LOOK_UPS = 1000
# L1's hits by life time and size; loads by life time where there is an L2.
L1_HITS = {
    (60.0, 10): 600, (60.0, 50): 880, (60.0, 100): 890,
    (300.0, 10): 610, (300.0, 50): 950, (300.0, 100): 958,
    (600.0, 10): 620, (600.0, 50): 952, (600.0, 100): 966,
}  # fmt: skip
LOADS = {60.0: 110, 300.0: 42, 600.0: 34}
OUTDATED = {60.0: 0.01, 300.0: 0.04, 600.0: 0.09}


def grid(*, has_l2: bool) -> dict[tuple[float, int], Figures]:
    return {
        (ttl, size): Figures(
            ttl, size, LOOK_UPS, hits, LOADS[ttl] if has_l2 else LOOK_UPS - hits, {}, ttl / 2, ttl,
            OUTDATED[ttl],
        )
        for (ttl, size), hits in L1_HITS.items()
    }  # fmt: skip


def chosen(objective: Objective, *, has_l2: bool = False) -> tuple[float, int] | None:
    figures = choose(grid(has_l2=has_l2), objective, has_l2=has_l2).figures
    return None if figures is None else (figures.ttl, figures.size)


@pytest.mark.parametrize("has_l2", [False, True])
def test_the_shortest_and_then_the_smallest_within_a_point_of_the_best(has_l2: bool) -> None:
    assert chosen(Objective(), has_l2=has_l2) == (300, 50)


def test_nothing_is_given_away_if_so_asked() -> None:
    assert chosen(Objective(within=0)) == (600, 100)
    assert chosen(Objective(within=0), has_l2=True) == (600, 100)


def test_a_wanted_hit_ratio_is_reached_by_the_shortest_life_time() -> None:
    assert chosen(Objective(min_hit_ratio=0.885)) == (60, 100)
    assert chosen(Objective(min_hit_ratio=0.61)) == (60, 50)


def test_with_an_l2_the_size_is_chosen_by_what_l1_answers() -> None:
    assert chosen(Objective(min_hit_ratio=0.885), has_l2=True) == (60, 50)


def test_life_times_with_too_many_outdated_answers_are_left_out() -> None:
    choice = choose(grid(has_l2=True), Objective(within=0, max_outdated=0.05), has_l2=True)
    assert choice.figures is not None
    assert choice.figures.ttl == 300
    assert "at most 5.00% of answers outdated" in choice.why


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        (Objective(min_hit_ratio=0.99), "no hit ratio reaches 99.00%: the best is 96.60%"),
        (Objective(max_outdated=0.001), "more answers are outdated than 0.10%: 1.00% or more"),
        (
            Objective(min_hit_ratio=0.95, max_outdated=0.02),
            "no hit ratio reaches 95.00%: the best is 89.00%",
        ),
    ],
)
def test_what_cannot_be_had_is_said_with_the_nearest(objective: Objective, why: str) -> None:
    choice = choose(grid(has_l2=False), objective, has_l2=False)
    assert choice.figures is None
    assert why in choice.why


def test_a_ratio_that_is_reached_exactly_is_reached() -> None:
    """958 of 1,000 is 0.958 also where 1 - 42 / 1000 is a little less."""
    assert chosen(Objective(min_hit_ratio=0.958)) == (300, 100)
