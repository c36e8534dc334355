"""The sample log is the same for everybody, and makes caches worth having."""

import hashlib
import io
from itertools import islice, pairwise
from pathlib import Path

from routecache import BaseCacheManager
from routecache.keys import digest
from routecache.stats import stats_for
from routecache.testing import FakeRemote, ManualTimer
from routecache_exporters.demo.sample import (
    COLUMNS,
    RATE,
    REQUESTS,
    endless,
    sample,
    write_sample,
)
from routecache_exporters.pack.config import LIMITS
from routecache_exporters.replay.logs import Log

GOLDEN = "27ad17693c1ac22f8c23502da28ca4ba80aa17152e72211292eea32ae1c962cb"


def written() -> str:
    stream = io.StringIO()
    write_sample(stream)
    return stream.getvalue()


def test_the_sample_never_changes() -> None:
    assert hashlib.sha256(written().encode()).hexdigest() == GOLDEN


def test_another_seed_gives_another_sample() -> None:
    assert list(sample(10)) == list(sample(10))
    assert list(sample(10)) != list(sample(10, seed=1))


def test_it_is_a_log_that_replay_reads(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(written())
    with Log(str(path)) as log:
        assert log.columns == COLUMNS
        assert sum(1 for _ in log) == REQUESTS
        assert log.bad.count == 0


def test_the_endless_log_goes_on_in_time() -> None:
    """Over the seam between two rounds too, at the rate that it promises."""
    times = [asked.at or 0.0 for asked in islice(endless(), 2 * REQUESTS + 10)]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert abs(times[2 * REQUESTS - 1] / (2 * REQUESTS / RATE) - 1) < 0.05


def test_sizes_are_asked_about_in_powers_of_eight_that_hold_them() -> None:
    """So a context's size class never promises less room than the request needs."""
    for request, asked in zip(sample(1000), endless(), strict=False):
        held = asked.context["context_tokens"]
        assert isinstance(held, int)
        assert held // 8 < request.context_tokens <= held
        assert held.bit_length() % 3 == 1


def test_its_contexts_hardly_fit_into_the_smallest_l1() -> None:
    """Something is evicted, for the panels to show, but far from what RouteCacheL1Thrashing tells.

    In memory, three rounds of the log, as the demo's caches of contexts are made.
    """
    for maxsize, ttl in ((50, 600), (100, 180)):
        timer = ManualTimer()
        cache = BaseCacheManager(
            maxsize, ttl, ttl, cache_prefix=f"of{maxsize}", redis_client=FakeRemote(timer),
            timer=timer,
        )  # fmt: skip
        start = timer()
        for asked in islice(endless(), 3 * REQUESTS):
            timer.advance(max(0.0, start + (asked.at or 0.0) - timer()))
            cache.get_or_load(digest(asked.context), lambda: 1)
        stats = stats_for(cache.name).snapshot()
        evicted = stats.l1_misses.get("evicted", 0) / stats.requests
        assert evicted < (LIMITS["L1Thrashing"].threshold or 0) / 2
        if maxsize == 50:
            assert evicted > 0
