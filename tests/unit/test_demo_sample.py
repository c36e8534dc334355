"""The sample log is the same for everybody, and makes caches worth having."""

import hashlib
import io
from itertools import islice, pairwise
from pathlib import Path

from routecache_exporters.demo.sample import (
    COLUMNS,
    RATE,
    REQUESTS,
    endless,
    sample,
    write_sample,
)
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


def test_its_contexts_repeat_but_do_not_fit_into_l1() -> None:
    contexts = [repr(asked.context) for asked in islice(endless(), REQUESTS)]
    assert 100 < len(set(contexts)) < REQUESTS / 10
