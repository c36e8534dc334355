"""`routecache replay --workers N`: one report and one /metrics over all of them."""

import contextlib
import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest

from routecache_exporters.demo.sample import write_sample
from tests.commands import run, start
from tests.helpers import eventually
from tests.servers import RedisServer


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 requests of the sample log and three bad rows."""
    path = tmp_path_factory.mktemp("logs") / "sample.csv"
    with path.open("w") as stream:
        write_sample(stream)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(["".join(lines[:601]), "bad\n", "bad,worse\n", "worst\n"]))
    return path


def test_workers_share_the_rows_and_the_books_balance(log: Path, shared_redis: RedisServer) -> None:
    """Every row is asked for once, whoever asks, and the caches counted what was asked."""
    done = run(
        "replay", str(log), "--json", "--no-metrics", "--workers", "3",
        "--redis-url", shared_redis.url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["workers"] == 3
    assert report["rows"] == 600
    assert report["books_balance"]
    assert report["wrong_answers"] == report["exceptions"] == 0
    assert report["bad_rows"]["count"] == 3
    assert {name: c["requests"] for name, c in report["caches"].items()} == dict.fromkeys(
        ("provider", "model", "fallback", "tool"), 600
    )
    assert report["overall"]["first_l1_misses"] > 0
    assert report["caches"]["tool"]["entries"] > 30  # three memories with the same names


def test_all_workers_see_the_order_and_the_unit_of_the_whole_log(tmp_path: Path) -> None:
    """Each asks a half, in which nothing is out of order."""
    path = tmp_path / "log.jsonl"
    rows = [{"time": at, "size": 1} for at in (0, 3000, 2000, 5000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("replay", str(path), "--no-redis", "--no-metrics", "--workers", "2")
    done = run(*arguments, "--speed", "log", "--time-unit", "ms", "--json")
    assert json.loads(done.stdout)["out_of_order"] == {"requests": 1, "seconds": 1.0}
    told = run(*arguments, "--speed", "log").stdout
    assert "1 request is older than one before it, by up to 16.7 min" in told
    assert "taken for seconds (--time-unit)" in told


def test_a_limit_is_one_of_all_workers_together(log: Path) -> None:
    done = run(
        "replay", str(log), "--json", "--no-metrics", "--no-redis", "--workers", "2",
        "--limit", "101",
    )  # fmt: skip
    assert json.loads(done.stdout)["rows"] == 101


def slow_log(path: Path) -> Path:
    """40 requests at once and one an hour later."""
    rows = [{"timestamp": 1000, "size": i, "tool": "bash"} for i in range(40)]
    rows.append({"timestamp": 4600, "size": 1, "tool": "bash"})
    log = path / "slow.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return log


def test_metrics_are_those_of_all_workers_and_sigterm_still_reports(tmp_path: Path) -> None:
    process = start(
        "replay", str(slow_log(tmp_path)), "--speed", "1", "--no-redis", "--metrics-port", "0",
        "--json", "--cost-ms", "0", "--workers", "3",
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        url = process.stderr.readline().removeprefix("metrics: ").strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def counted() -> bool:
            with opener.open(url, timeout=5) as response:
                text = response.read().decode()
            return (
                'routecache_requests_total{cache="tool"} 40.0' in text
                and 'routecache_collect_success{collector="workers"} 1.0' in text
            )

        assert eventually(counted, 30)
        process.send_signal(signal.SIGTERM)
        report = json.loads(process.stdout.read())
        assert process.wait(30) == 128 + signal.SIGTERM
    assert report["interrupted"]
    assert report["rows"] == 40
    assert report["books_balance"]


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit():
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                line = (path / "cmdline").read_bytes()
                if int(fields[1]) == pid and fields[0] != "Z" and b"spawn_main" in line:
                    found.append(int(path.name))
    return found


def test_a_worker_that_is_killed_ends_the_replay_with_one_line(tmp_path: Path) -> None:
    process = start(
        "replay", str(slow_log(tmp_path)), "--speed", "1", "--no-redis", "--no-metrics", "--json",
        "--workers", "2",
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stdout is not None
    with process.stdout, process.stderr:
        victims = eventually(lambda: len(found := children(process.pid)) == 2 and found, 30)
        assert victims
        os.kill(victims[0], signal.SIGKILL)
        message = process.stderr.read()
        assert process.wait(30) == 2
    assert "ended without having told what it did" in message
    assert message.count("\n") == 1
    assert not children(process.pid)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    process = start(
        "replay", str(slow_log(tmp_path)), "--speed", "1", "--no-redis", "--no-metrics", "--json",
        "--workers", "2",
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stdout is not None
    with process.stdout, process.stderr:
        workers = eventually(lambda: len(found := children(process.pid)) == 2 and found, 30)
        process.kill()
        process.wait(30)
        assert workers
        eventually(lambda: not any(Path(f"/proc/{pid}/fd").exists() for pid in workers), 30)


def test_a_pipe_cannot_be_shared() -> None:
    done = run("replay", "-", "--no-redis", "--workers", "2", "--no-metrics", "--json")
    assert done.returncode == 2
    assert "--workers needs a file" in done.stderr
