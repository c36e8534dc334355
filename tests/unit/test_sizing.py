"""The misses predicted for other sizes of L1, against caches that really have these sizes."""

import random
from collections.abc import Sequence
from itertools import accumulate

import pytest

from routecache import BaseCacheManager, Policy
from routecache.local import L1Policy
from routecache.sizing import SCALES, ReuseTimes
from routecache.stats import stats_for
from routecache.testing import ManualTimer

SIZE = 100


def zipf(keys: int, exponent: float, n: int) -> list[str]:
    weights = list(accumulate(1 / (i + 1) ** exponent for i in range(keys)))
    return [str(k) for k in random.Random(5).choices(range(keys), cum_weights=weights, k=n)]


def replay(
    name: str, size: int, trace: Sequence[str], policy: L1Policy, ttl: float
) -> tuple[float, dict[str, float]]:
    """The real and the predicted miss ratios over the second half of the trace."""
    timer = ManualTimer()
    with BaseCacheManager(
        size, ttl, enable_redis=False, name=name, timer=timer, l1_policy=policy
    ) as cache:
        half = None
        for i, key in enumerate(trace):
            timer.advance(0.003)
            cache.get_or_load(key, lambda: 1)
            if i == len(trace) // 2:
                half = stats_for(name).snapshot()
        whole = stats_for(name).snapshot()
    assert half is not None
    n = whole.requests - half.requests
    predicted = {
        scale: (misses - half.whatif_misses.get(scale, 0)) / n
        for scale, misses in whole.whatif_misses.items()
    }
    return (sum(whole.misses.values()) - sum(half.misses.values())) / n, predicted


@pytest.mark.parametrize(("policy", "ttl"), [("lru", 1e6), ("sieve", 60.0)])
def test_predictions_are_near_what_caches_of_these_sizes_miss(policy: L1Policy, ttl: float) -> None:
    """Half, the same and twice the size, within 9 points from about 150 samples."""
    random.seed(3)
    trace = zipf(1000, 0.99, 40_000)
    _, predicted = replay(f"whatif.{policy}.{ttl:g}", SIZE, trace, policy, ttl)
    for scale in (0.5, 1.0, 2.0):
        name = f"real.{policy}.{ttl:g}.{scale:g}"
        real, _ = replay(name, int(SIZE * scale), trace, policy, ttl)
        assert predicted[f"{scale:g}"] == pytest.approx(real, abs=0.09), scale


def test_a_larger_size_is_never_predicted_to_miss_more() -> None:
    trace = zipf(1000, 0.7, 20_000)
    _, predicted = replay("whatif.monotone", SIZE, trace, "sieve", 1e6)
    ratios = [predicted.get(f"{scale:g}", 0.0) for scale in SCALES]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > ratios[-1]


def test_a_keyspace_that_fits_is_predicted_to_miss_only_where_it_would_not() -> None:
    """60 keys in a cache of 100 entries: only 25 would be too few."""
    _, predicted = replay("whatif.fits", SIZE, zipf(60, 0.5, 30_000), "sieve", 1e6)
    assert predicted["0.25"] > 0.3
    assert predicted.get("1", 0.0) < 0.02


def test_what_was_never_stored_misses_at_any_size() -> None:
    timer = ManualTimer()
    with BaseCacheManager(SIZE, enable_redis=False, name="whatif.none", timer=timer) as cache:
        for i in range(20_000):
            timer.advance(0.003)
            cache.get(f"k{i % 10}")
    misses = stats_for("whatif.none").snapshot().whatif_misses
    assert set(misses) == {f"{scale:g}" for scale in SCALES}
    assert min(misses.values()) == max(misses.values())
    assert misses["1"] == pytest.approx(20_000, rel=0.15)


def test_probes_are_bounded_and_their_entries_go_back_to_the_hit_path() -> None:
    timer = ManualTimer()
    with BaseCacheManager(1000, 1e6, enable_redis=False, name="whatif.bound", timer=timer) as cache:
        what_if = cache.core.what_if
        for i in range(90_000):
            timer.advance(0.003)
            cache.get_or_load(f"k{i}", lambda: 1)
        assert 0 < len(what_if.probes) <= 512
        kept = [key for key in what_if.probes if key in cache.core.local.entries]
        assert kept
        for key in kept:
            assert cache.get(key) == 1
            entry = cache.core.local.entries[key]
            assert key in what_if.probes or entry.fresh_until == entry.expires_at
        cache.delete(kept[0])
        cache.set(kept[0], 2)
        assert cache.get(kept[0]) == 2


def test_a_probe_leaves_an_early_refresh_its_draw() -> None:
    timer = ManualTimer()
    policy = Policy(early_refresh=1.0)
    with BaseCacheManager(
        SIZE, 100, enable_redis=False, name="whatif.early", timer=timer, policy=policy
    ) as cache:
        cache.get_or_load("k", lambda: timer.advance(5))
        entry = cache.core.local.entries["k"]
        cache.core.hit_sampled(entry, timer())
        assert entry.fresh_until == float("-inf")
        cache.get("k")
        assert 0 < entry.fresh_until <= entry.expires_at


def test_the_stack_distance_of_a_loop_is_its_length() -> None:
    """All look-ups have the reuse time 64: the cache that holds 64 keys is the first to hit."""
    reuses = ReuseTimes()
    for _ in range(100):
        reuses.add(64, 1.0)
    small, exact, large = reuses.thresholds([32.0, 60.0, 70.0], ())
    assert small == pytest.approx(32)
    assert exact == pytest.approx(60)
    assert large == float("inf")


def test_look_ups_that_have_not_come_again_count_as_long_as_they_are_old() -> None:
    """Of two look-ups one is under way for 1,000: half of the keys in between are new ones."""
    reuses = ReuseTimes()
    for _ in range(100):
        reuses.add(1, 1.0)
    (threshold,) = reuses.thresholds([100.0], [(1000, 100.0)])
    assert threshold == pytest.approx(200, rel=0.05)
