"""A replay beside a router on one Redis: neither sees the other's keys, and what stays is told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import redis

from routecache import RoutingCache, RoutingSettings
from routecache_exporters.replay import policy
from tests.commands import run
from tests.servers import RedisServer

ROUTERS = "the router's own"
SIZES = range(1, 41)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = [f"{size},{policy.PROVIDERS[size % 6]}\n" for size in SIZES]
    path.write_text("".join(["size,provider\n", *rows]))
    return path


def replay(log: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = run("replay", str(log), "--json", "--no-metrics", "--context", "size", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def values(server: RedisServer) -> dict[str, bytes]:
    """All values, leases and tags of Redis; heartbeats come and go."""
    with redis.Redis.from_url(server.url) as client:
        keys = [key.decode() for key in client.scan_iter(count=1000)]
        return {key: client.dump(key) for key in keys if ":hb:" not in key}


@pytest.mark.parametrize("arguments", [(), ("--workers", "2"), ("--fresh",)], ids=" ".join)
def test_a_routers_entries_are_neither_read_nor_replaced_by_a_replay(
    log: Path, redis_server: RedisServer, arguments: tuple[str, ...]
) -> None:
    with RoutingCache(RoutingSettings(redis_url=redis_server.url)) as router:
        router.set_provider_status("openai", ROUTERS)
        router.set_model_selection({"size": 7}, ROUTERS)
        router.set_fallback_chain({"size": 7}, [ROUTERS])
        before = values(redis_server)
        assert len(before) == 3
        report = replay(log, "--redis-url", redis_server.url, *arguments)
        assert report["wrong_answers"] == report["overall"]["first_l1_misses_l2_hits"] == 0
        after = values(redis_server)
        added = after.keys() - before.keys()
        assert {key: after[key] for key in before} == before
        assert len([key for key in added if ":v1:" in key]) == 6 + 2 * len(SIZES)
        assert [key for key in added if not key.startswith("routecache-replay:")] == []
        other = next(name for name in policy.PROVIDERS if name != "openai")
        assert router.get_provider_status(other, "none") == "none"
        assert router.get_model_selection({"size": 8}, "none") == "none"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_fresh_replay_finds_nothing_of_an_earlier_one(
    log: Path, redis_server: RedisServer, workers: str
) -> None:
    arguments = ("--redis-url", redis_server.url, "--workers", workers)
    replay(log, *arguments)
    again = replay(log, *arguments)["caches"]["model"]
    assert again["first_l1_misses_l2_hits"] == len(SIZES)
    fresh = replay(log, *arguments, "--fresh")["caches"]["model"]
    assert fresh["hits"] == {"l1": 0, "l2": 0}
    assert fresh["misses"] == {"cold": len(SIZES)}


def test_what_an_earlier_replay_left_is_told(log: Path, redis_server: RedisServer) -> None:
    arguments = ("replay", str(log), "--no-metrics", "--redis-url", redis_server.url)
    assert "--fresh" not in run(*arguments).stdout
    assert "from earlier replays or other workers (--fresh begins" in run(*arguments).stdout


def test_a_replay_that_cannot_begin_afresh_does_not_begin(log: Path, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/no.sock"
    done = run("replay", str(log), "--no-metrics", "--redis-url", url, "--fresh")
    assert done.returncode == 1
    assert "routecache: --fresh: Redis failed at removing what earlier replays" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_pipe_that_has_a_name_is_not_read_twice(tmp_path: Path) -> None:
    """Each pass would get another part of it, and take a row for the header."""
    pipe = tmp_path / "log.csv"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)  # so that opening it waits for nobody
    try:
        os.write(held, b"size\n1\n2\n3\n")
        done = run("replay", str(pipe), "--no-redis", "--workers", "2", "--no-metrics", "--json")
        assert done.returncode == 2
        assert "--workers needs a file" in done.stderr
    finally:
        os.close(held)
