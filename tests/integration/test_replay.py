"""Replays against a real Redis: persistence, an outage in the middle, metrics, the command."""

import gzip
import itertools
import json
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routecache import RoutingCache, RoutingSettings
from routecache_exporters.demo.sample import write_sample
from routecache_exporters.replay import policy
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.policy import Asked
from routecache_exporters.replay.runner import Replayer
from tests.commands import run, start
from tests.helpers import eventually
from tests.servers import RedisServer


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 requests of the sample log."""
    path = tmp_path_factory.mktemp("logs") / "sample.csv"
    with path.open("w") as stream:
        write_sample(stream)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1501]))
    return path


def replay(log: Path, *arguments: str) -> dict[str, Any]:
    """Replay in a process of its own, and read its report."""
    done = run("replay", str(log), "--json", "--no-metrics", *arguments)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["wrong_answers"] == report["exceptions"] == 0
    assert report["books_balance"]
    return report


def test_a_bucketed_context_is_answered_from_memory(log: Path) -> None:
    report = replay(log, "--no-redis", "--context", "context_tokens:pow2")
    assert report["rows"] == 1500
    assert report["overall"]["requests"] == 6000
    assert report["overall"]["hit_ratio"] >= 0.95
    assert report["overall"]["hits"]["l2"] == 0
    assert report["redis"] is None
    assert report["caches"]["model"]["seconds_saved"] > 0


def test_the_cache_outlives_its_process_and_a_restart_of_redis(
    log: Path, redis_server: RedisServer
) -> None:
    """A second process finds in L2 what the first computed; a third does after a restart."""
    arguments = ("--redis-url", redis_server.url, "--context", "context_tokens")
    first = replay(log, *arguments)["overall"]
    assert first["first_l1_misses"] > 1000
    assert first["first_l1_misses_l2_hits"] == 0
    second = replay(log, *arguments)["overall"]
    redis_server.stop()
    redis_server.start()
    third = replay(log, *arguments)["overall"]
    for again in (second, third):
        assert again["first_l1_misses"] == first["first_l1_misses"]
        assert again["first_l1_misses_l2_hits"] >= 0.99 * again["first_l1_misses"]


def requests() -> Iterator[Asked]:
    """More contexts than L1 holds, for ever."""
    for i in itertools.count():
        yield Asked({"tokens": i * 7 % 400}, policy.PROVIDERS[i % 6], policy.SPELLINGS[i % 30])


def test_redis_stopped_half_way_changes_no_answer(redis_server: RedisServer) -> None:
    """No call raises, every answer stays right, and L2 is used again by itself."""
    with RoutingCache(RoutingSettings(redis_url=redis_server.url)) as cache:
        stop = threading.Event()
        replayer = Replayer(cache, Pace(None, stop))
        replaying = threading.Thread(target=replayer.run, args=(requests(),))
        replaying.start()
        try:

            def hits() -> int:
                return sum(cache.get_stats()[name]["l2_hits"] for name in ("model", "fallback"))

            def progress(n: int) -> None:
                reached = replayer.requests + n
                eventually(lambda: replayer.requests >= reached, 30)

            eventually(lambda: hits() > 100)
            redis_server.stop()
            progress(1000)
            without = hits()
            progress(1000)
            assert hits() == without
            redis_server.start()
            eventually(lambda: hits() > without + 100)
        finally:
            stop.set()
            replaying.join()
    assert replayer.exceptions == 0, replayer.first_exception
    assert replayer.wrong_answers == 0


def test_metrics_are_served_while_it_runs_and_sigterm_still_reports(tmp_path: Path) -> None:
    log = tmp_path / "slow.jsonl"
    rows = [{"timestamp": i * 60, "size": i, "tool": "bash"} for i in range(100)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("--speed", "1", "--no-redis", "--metrics-port", "0", "--json", "--cost-ms", "1")
    process = start("replay", str(log), *arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        url = process.stderr.readline().removeprefix("metrics: ").strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def counted() -> bool:
            with opener.open(url, timeout=5) as response:
                text = response.read().decode()
            return 'routecache_requests_total{cache="tool"} 1.0' in text

        assert eventually(counted)
        process.send_signal(signal.SIGTERM)
        report = json.loads(process.stdout.read())
        assert process.wait(10) == 128 + signal.SIGTERM
    assert report["interrupted"]
    assert report["rows"] == 1
    assert report["cost_spent"]


def test_json_lines_and_gzip_and_bad_rows(tmp_path: Path) -> None:
    rows = [
        '{"at": 1, "size": 10, "provider": "acme"}',
        '{"at": 1.1, "size": "many"}',
        '{"at": 1.2}',
        "{",
        '{"at": 1.3, "size": 9, "tool": "\\ud800"}',
        '{"at": 1.4, "size": 16, "nested": {"deep": ["\\ud800", 1e400]}}',
    ]
    log = tmp_path / "log.jsonl.gz"
    log.write_bytes(gzip.compress("\n".join(rows).encode()))
    report = replay(
        log, "--no-redis", "--context", "size:pow2", "--speed", "10", "--timestamp", "at"
    )
    assert report["rows"] == 2
    assert report["bad_rows"]["count"] == 4
    assert [row["line"] for row in report["bad_rows"]["first"]] == [2, 3, 4, 5]
    assert report["caches"]["model"]["hits"]["l1"] == 1


def test_the_table(log: Path) -> None:
    done = run("replay", str(log), "--no-redis", "--no-metrics", "--limit", "100")
    assert done.returncode == 0
    assert done.stderr == ""
    for word in ("provider", "model", "fallback", "tool", "overall", "hit ratio", "cold", "saved"):
        assert word in done.stdout


def test_a_log_without_one_good_row_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("size\nmany\nmore\n")
    done = run("replay", str(log), "--no-redis", "--no-metrics", "--context", "size:pow2")
    assert done.returncode == 2
    assert "none of the 2 rows" in done.stderr
    assert "line 2" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unreachable_redis_is_told_and_harms_nothing(log: Path, tmp_path: Path) -> None:
    report = replay(log, "--redis-url", f"unix://{tmp_path}/no.sock", "--limit", "500")
    assert report["overall"]["l2_unavailable"] > 0
    assert report["overall"]["hits"]["l2"] == 0
