"""The times of invalidated tags: bounded, quick, and never younger than what happened."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from routecache.tiered.fences import TagTimes

TAGS = st.sampled_from("abcdefgh")
MOMENT = st.integers(0, 20)


@given(st.lists(st.tuples(TAGS, MOMENT, MOMENT)), MOMENT)
def test_what_began_before_an_invalidation_is_never_taken_for_later(
    invalidated: list[tuple[str, int, int]], began: int
) -> None:
    with patch.object(TagTimes, "LIMIT", 3):
        times = TagTimes()
        for tag, now, server in invalidated:
            times.invalidate(tag, float(now), server)
    assert len(times._times) <= 3
    for tag, now, server in invalidated:
        if began <= now:
            assert times.began_before((tag,), float(began))
        if began <= server:
            assert times.created_before(("other", tag), began)


@given(st.lists(st.tuples(TAGS, MOMENT, MOMENT), max_size=3), TAGS, MOMENT)
def test_below_the_bound_nothing_else_is_refused(
    invalidated: list[tuple[str, int, int]], tag: str, began: int
) -> None:
    times = TagTimes()
    for name, now, server in invalidated:
        times.invalidate(name, float(now), server)
    own = [(now, server) for name, now, server in invalidated if name == tag]
    assert times.began_before((tag,), began) is any(began <= now for now, _ in own)
    assert times.created_before((tag,), began + 1) is any(began < server for _, server in own)
    assert not times.began_before((), 0)


def test_the_tag_invalidated_last_is_forgotten_last() -> None:
    with patch.object(TagTimes, "LIMIT", 2):
        times = TagTimes()
        for now, tag in enumerate("abac"):
            times.invalidate(tag, float(now), now)
    assert list(times._times) == ["a", "c"]
    assert times._floor == (1.0, 1)
    assert times.began_before(("never",), 1.0)
    assert not times.began_before(("never",), 1.5)
