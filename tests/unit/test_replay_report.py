"""The report: what is derived from snapshots and tallies, the JSON, the table."""

import io
import json
from types import MappingProxyType

import pytest

from routecache.cells import HistogramSnapshot
from routecache.registry import ProcessSnapshot
from routecache.stats import L1_HIT_BOUNDS, REQUEST_BOUNDS, CacheSnapshot, CacheStats
from routecache_exporters.replay.books import between
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.report import (
    CacheReport,
    Report,
    Terms,
    make_report,
    without_credentials,
)
from routecache_exporters.replay.runner import CACHES, Tally
from routecache_exporters.replay.table import duration, percent, print_report

EMPTY = ProcessSnapshot((), ())


def cache_after(
    name: str, l1_hits: int, l2_hits: int, misses: int, load_seconds: float = 0.0
) -> CacheSnapshot:
    """A snapshot of a cache that answered this much, each look-up in 2 ms."""
    stats = CacheStats(name)
    with stats.cells.recording() as cell:
        cell.l1_hits += l1_hits
        if l1_hits:
            cell.sample(L1_HIT_BOUNDS, 5e-7, "l1_hit")
        cell.add("l2_hits", n=l2_hits)
        cell.add("misses", "cold", n=misses)
        cell.observe(REQUEST_BOUNDS, 0.002, "request", "l2_hit", weight=l2_hits)
        cell.observe(REQUEST_BOUNDS, 0.002, "request", "load", weight=misses)
        if load_seconds:
            cell.observe((1.0,), load_seconds, "load", weight=misses)
    return stats.snapshot()


def snapshot_after(l1_hits: int, l2_hits: int, misses: int) -> ProcessSnapshot:
    return ProcessSnapshot(
        tuple(cache_after(name, l1_hits, l2_hits, misses) for name in CACHES), ()
    )


class FinishedReplayer:
    """As much of a `Replayer` as a report reads."""

    requests = 10
    elapsed = 2.0
    first_exception = None

    def __init__(self, **tally: int) -> None:
        self.tallies = {name: Tally(**tally) for name in CACHES}


def terms(**changed: object) -> Terms:
    fields: dict[str, object] = {
        "log": "log.csv", "context": "size:pow2", "cost": 0.02, "cost_spent": False,
        "speed": None, "redis": "redis://localhost:6379/0",
    }  # fmt: skip
    return Terms(**(fields | changed))  # type: ignore[arg-type]


def report(changed: dict[str, object] | None = None, bad: BadRows | None = None) -> Report:
    replayer = FinishedReplayer(requests=10, loads=1, first_l1_misses=4, first_l1_misses_l2_hits=3)
    return make_report(
        terms(**(changed or {})),
        replayer,
        bad or BadRows(),
        EMPTY,
        snapshot_after(6, 3, 1),
    )


def text(made: Report) -> str:
    stream = io.StringIO()
    print_report(made, stream)
    return stream.getvalue()


def test_books_between_two_snapshots_hold_only_what_happened_between_them() -> None:
    books = between(snapshot_after(5, 4, 3), snapshot_after(50, 14, 3), "model")
    assert (books.l1_hits, books.l2_hits, dict(books.misses)) == (45, 10, {})
    assert books.requests == books.hits == 55
    assert books.latency["l2_hit"].count == 10
    assert "load" not in books.latency
    assert books.latency["l2_hit"].quantile(0.5) == pytest.approx(0.00175)


def test_books_of_a_cache_that_was_never_used() -> None:
    books = between(EMPTY, EMPTY, "model")
    assert books.requests == 0
    assert books.hit_ratio is None


def test_the_figures() -> None:
    made = report()
    assert made.requests == 40
    assert made.hit_ratio == pytest.approx(0.9)
    assert made.seconds_saved == pytest.approx(4 * 9 * 0.02)
    assert made.books_balance
    assert made.ok


def test_seconds_saved_take_the_measured_cost_when_it_was_spent() -> None:
    after = ProcessSnapshot((cache_after("model", 8, 0, 2, load_seconds=0.5),), ())
    made = make_report(
        terms(cost_spent=True, cost=0.1),
        FinishedReplayer(),
        BadRows(),
        EMPTY,
        after,
    )
    assert made.caches["model"].seconds_saved == pytest.approx(8 * 0.5)


@pytest.mark.parametrize("what", ["wrong_answers", "exceptions"])
def test_a_wrong_answer_or_an_exception_is_not_ok(what: str) -> None:
    made = report()
    setattr(made.caches["tool"].tally, what, 1)
    assert not made.ok


def test_json_is_complete_and_is_json() -> None:
    bad = BadRows()
    bad.add(7, "not JSON")
    made = json.loads(json.dumps(report(bad=bad).as_dict(), allow_nan=False))
    assert made["overall"]["hit_ratio"] == pytest.approx(0.9)
    assert made["overall"]["first_l1_misses"] == 16
    assert made["overall"]["first_l1_misses_l2_hits"] == 12
    assert made["caches"]["model"]["hits"] == {"l1": 6, "l2": 3}
    assert made["caches"]["model"]["misses"] == {"cold": 1}
    assert set(made["caches"]["model"]["latency_seconds"]) == {"l1_hit", "l2_hit", "load"}
    assert made["bad_rows"] == {"count": 1, "first": [{"line": 7, "reason": "not JSON"}]}
    assert made["speed"] == "max"
    assert made["ttls_advance"] is False
    assert made["wrong_answers"] == made["exceptions"] == 0


def test_the_table_tells_its_terms() -> None:
    shown = text(report())
    for name in CACHES:
        assert name in shown
    assert "hit ratio 90.00 %" in shown
    assert "TTLs did not advance" in shown
    assert "L2 answered 75.00 % of them" in shown
    assert "not spent" in shown
    assert "bad rows" not in shown


def test_the_table_tells_what_went_wrong() -> None:
    bad = BadRows()
    bad.add(7, "3 columns instead of 2")
    made = report({"speed": 10.0, "cost_spent": True, "redis": None}, bad)
    made.caches["model"].tally.requests += 1
    shown = text(made)
    assert "TTLs did not advance" not in shown
    assert "really spent" in shown
    assert "1 bad rows were left out (line 7: 3 columns instead of 2)" in shown
    assert "other look-ups" in shown
    assert "not used" in shown


def test_unavailable_look_ups_are_told() -> None:
    made = report()
    books = made.caches["model"].books
    object.__setattr__(books, "misses", MappingProxyType({"l2_unavailable": 5}))
    assert made.l2_unavailable == 5
    assert "Redis did not answer 5 look-ups" in text(made)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://me:secret@host:1/2?password=secret", "rediss://host:1/2"),
        ("unix:///tmp/redis.sock", "unix:///tmp/redis.sock"),
        ("redis://:secret@[", "a URL that cannot be read"),
    ],
)
def test_credentials_never_reach_a_report(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"), (5e-7, "500 ns"), (2.5e-6, "2.5 us"), (0.00123, "1.23 ms"),
        (1.5, "1.5 s"), (119, "119 s"), (150, "2.5 min"), (9000, "2.5 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_only_a_whole_ratio_reads_100() -> None:
    assert percent(1.0) == "100.00 %"
    assert percent(0.99999) == "99.99 %"
    assert percent(None) == "-"


def test_a_cache_report_of_an_empty_histogram() -> None:
    books = between(EMPTY, EMPTY, "model")
    cache = CacheReport(books, Tally(), 0.02)
    assert cache.seconds_saved == 0
    assert HistogramSnapshot((), (0,), 0.0).quantile(0.5) is None
