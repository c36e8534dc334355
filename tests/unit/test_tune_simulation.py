"""The simulation of `routecache tune` is held against real managers, and its ages against sums."""

import math
from collections.abc import Iterator
from random import Random

import pytest

from routecache import BaseCacheManager, snapshot
from routecache.testing import FakeRemote, ManualTimer
from routecache_exporters.tune import simulation
from routecache_exporters.tune.figures import Figures, figures_of
from routecache_exporters.tune.simulation import CacheGrid

TTLS = (5.0, 20.0)
SIZES = (3, 20)


def look_ups(*, exact: bool, count: int = 3_000) -> Iterator[tuple[float, str]]:
    """Pauses in seconds and skewed keys; `exact` pauses often end just when an entry does."""
    draw = Random(7).random
    for _ in range(count):
        pause = (5.0 if draw() < 0.05 else round(draw(), 1)) if exact else 1.4 * draw()
        yield pause, f"key {int(draw() ** 3 * 40)}"


def counted(figures: Figures) -> tuple[int, int, int]:
    return figures.l1_hits, figures.look_ups - figures.loads - figures.l1_hits, figures.loads


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("has_l2", [False, True])
@pytest.mark.parametrize("ttl", TTLS)
@pytest.mark.parametrize("size", SIZES)
def test_every_cell_counts_what_real_managers_count(
    ttl: float, size: int, has_l2: bool, workers: int
) -> None:
    """Hits by tier, loads and L1's reasons, of managers in front of one L2 or of none."""
    timer = ManualTimer(0.0)
    remote = FakeRemote(timer) if has_l2 else None
    managers = [
        BaseCacheManager(
            size, ttl, ttl, enable_redis=has_l2, redis_client=remote, timer=timer,
            cache_prefix=f"tune-{ttl}-{size}-{has_l2}-{workers}",
        )
        for _ in range(workers)
    ]  # fmt: skip
    grid = CacheGrid(TTLS, SIZES, workers=workers, has_l2=has_l2)
    loads = 0

    def load() -> int:
        nonlocal loads
        loads += 1
        return loads

    # Times on the wire are whole microseconds, and err towards older.
    for i, (pause, key) in enumerate(look_ups(exact=not has_l2)):
        timer.advance(pause)
        managers[i % workers].get_or_load(key, load)
        grid.ask(key, timer(), i % workers)

    figures = figures_of(grid)[ttl, size]
    books = next(cache for cache in snapshot().caches if cache.name == managers[0].name)
    assert counted(figures) == (books.l1_hits, books.l2_hits, loads)
    assert figures.misses == {reason: n for reason, n in books.l1_misses.items() if n}
    assert figures.l1_hits > 0
    assert len(figures.misses) >= 2
    for manager in managers:
        manager.close()


def test_ages_are_those_since_the_load_and_a_load_is_new() -> None:
    grid = CacheGrid([10.0], [4], has_l2=False, period=20.0)
    for now in (0.0, 4.0, 8.0, 10.0, 13.0):
        grid.ask("key", now)
    figures = figures_of(grid)[10.0, 4]
    assert figures.loads == 2  # at 0 and, the TTL over, at 10
    assert figures.mean_age == pytest.approx((0 + 4 + 8 + 0 + 3) / 5)
    assert figures.max_age == 8
    assert figures.outdated == pytest.approx(
        sum(1 - math.exp(-age / 20) for age in (0, 4, 8, 0, 3)) / 5
    )


def test_with_an_l2_answers_are_as_old_as_l2_has_them_whatever_l1_held() -> None:
    """What was evicted from L1 comes back from L2 with its age, not as new."""
    grid = CacheGrid([100.0], [1, 2], has_l2=True)
    for now, key in ((0.0, "a"), (1.0, "b"), (30.0, "a")):
        grid.ask(key, now)
    small, large = figures_of(grid).values()
    assert (small.l1_hits, large.l1_hits) == (0, 1)
    assert small.mean_age == large.mean_age == 10
    assert small.loads == large.loads == 2
    assert small.outdated is None


def test_without_an_l2_what_was_evicted_is_loaded_and_new() -> None:
    grid = CacheGrid([100.0], [1], has_l2=False)
    for now, key in ((0.0, "a"), (1.0, "b"), (30.0, "a")):
        grid.ask(key, now)
    (figures,) = figures_of(grid).values()
    assert (figures.loads, figures.max_age) == (3, 0)


def test_the_simulated_l2_is_bounded_and_tells_what_it_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulation, "MOST_SHARED", 3)
    grid = CacheGrid([10.0], [1], has_l2=True)
    for i in range(5):
        grid.ask(f"key {i}", float(i))
    (column,) = grid.columns
    assert column.shared_evictions == 2
    grid.ask("key 4", 13.9)  # keys 2 and 3 have ended by themselves
    grid.ask("key 5", 13.9)
    assert column.shared_evictions == 2
    assert figures_of(grid)[10.0, 1].loads == 6
