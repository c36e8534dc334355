"""Real gunicorn and uvicorn with four workers: /metrics is what the client counted, exactly."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from routecache.multiprocess import DIRECTORY_VARIABLE
from tests.commands import environment
from tests.helpers import eventually

ROOT = Path(__file__).parents[2]
WORKERS = 4
BASES = {"lock", "1-base"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """A server with four workers that count in one directory, and a client that tallies."""

    def __init__(self, directory: Path, *command: str) -> None:
        self.directory = directory
        self.command = command
        self.port = free_port()
        self.log = directory.parent / "log"
        env = environment({DIRECTORY_VARIABLE: str(directory), "PYTHONPATH": str(ROOT)})
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *(part.format(port=self.port) for part in command)],
                env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.answered: Counter[int] = Counter()
        self.failed = 0
        self._tally = threading.Lock()

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
            assert response.status == 200, body
            return body

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(self.get("/-/healthy"))
        return False

    def ask(self, times: int) -> None:
        """Ask from eight threads, so many times in all, and tally who answered."""

        def work() -> None:
            for _ in range(times // 8):
                try:
                    pid = int(self.get("/ask"))
                except (OSError, http.client.HTTPException):
                    with self._tally:
                        self.failed += 1
                else:
                    with self._tally:
                        self.answered[pid] += 1

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def metrics(self) -> dict[str, float]:
        text = self.get("/metrics")
        found = re.findall(r"^(routecache_\S+?)(\{.*\})? (\S+)$", text, re.MULTILINE)
        return {name + labels: float(value) for name, labels, value in found}

    def files(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()} - BASES

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()


LABELS = '{cache="asked"}'


def check(service: Service, lookups: float, *, loads: int) -> None:
    """All that /metrics says of `lookups` requests, of which each asked twice."""
    m = service.metrics()
    assert m[f"routecache_requests_total{LABELS}"] == 2 * lookups
    # Who asks for the key of a worker while it is loaded waits for that load, and missed too.
    missed = loads + m[f"routecache_coalesced_total{LABELS}"]
    hits = m['routecache_hits_total{cache="asked",tier="l1"}']
    misses = m['routecache_misses_total{cache="asked",reason="cold"}']
    assert (hits, misses) == (lookups - missed, lookups + missed)
    assert m['routecache_l1_misses_total{cache="asked",reason="cold"}'] == misses
    durations = "routecache_request_duration_seconds"
    assert m[durations + '_count{cache="asked",outcome="miss"}'] == lookups
    assert m[durations + '_bucket{cache="asked",le="+Inf",outcome="miss"}'] == lookups
    assert m[durations + '_count{cache="asked",outcome="load"}'] == missed
    assert m[f"routecache_loads_total{LABELS}"] == loads
    assert m['routecache_collect_success{collector="workers"}'] == 1


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    command = [part.replace("TMP", str(tmp_path)) for part in request.param]
    service = Service(tmp_path / "metrics", *command)
    try:
        eventually(service.ready, 30)
        yield service
    finally:
        service.stop()


GUNICORN = (
    "gunicorn", "tests.worker_app:wsgi", "--bind", "127.0.0.1:{port}", "--workers", str(WORKERS),
    "--threads", "4", "--worker-tmp-dir", "TMP",
)  # fmt: skip
UVICORN = (
    "uvicorn", "tests.worker_app:asgi", "--port", "{port}", "--workers", str(WORKERS),
    "--log-level", "warning",
)  # fmt: skip

SERVERS = {
    "gunicorn": GUNICORN,
    "gunicorn, preloaded": (*GUNICORN, "--preload"),
    "uvicorn": UVICORN,
}


@pytest.mark.parametrize("service", SERVERS.values(), ids=SERVERS, indirect=True)
def test_totals_are_exact_over_workers_and_kill_9_while_traffic_pauses(service: Service) -> None:
    asked = 0
    for killed in (0, 2, 1):
        victims = [pid for pid in service.answered if alive(pid)][:killed]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        eventually(partial(ended, victims), 30)
        service.ask(400)
        asked += 400
        assert service.failed == 0
        check(service, asked, loads=len(service.answered))
    assert sum(service.answered.values()) == asked
    # Two killed ones and another were replaced, and their gauges went with them.
    assert len(service.answered) >= WORKERS
    masters = 1 if "--preload" in service.command else 0
    eventually(lambda: len(service.files()) == WORKERS + masters and service.metrics(), 30)

    def gauges() -> bool:
        entries = service.metrics()['routecache_entries{cache="asked",tier="l1"}']
        living = sum(alive(pid) for pid in service.answered)
        return entries == living

    assert eventually(gauges, 30)


def ended(pids: list[int]) -> bool:
    return not any(map(alive, pids))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # before it was opened, or after
        return False
    return state != "Z"


@pytest.mark.parametrize("service", [GUNICORN], ids=["gunicorn"], indirect=True)
def test_kill_9_under_load_costs_at_most_the_requests_in_flight(service: Service) -> None:
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            service.ask(80)

    thread = threading.Thread(target=load)
    thread.start()
    eventually(lambda: sum(service.answered.values()) > 300, 30)
    for pid in list(service.answered)[:2]:
        os.kill(pid, signal.SIGKILL)
    reached = sum(service.answered.values()) + 300
    eventually(lambda: sum(service.answered.values()) > reached, 30)
    stop.set()
    thread.join(30)
    answered = sum(service.answered.values())
    counted = service.metrics()[f"routecache_requests_total{LABELS}"]
    # A client that got no answer had at most one request under way.
    assert 2 * answered <= counted <= 2 * (answered + service.failed)
    assert service.failed <= 2 * 8


@pytest.mark.parametrize(
    "service", [(*GUNICORN, "--max-requests", "50")], ids=["gunicorn"], indirect=True
)
def test_workers_that_end_after_fifty_requests_lose_nothing_and_leave_no_files(
    service: Service,
) -> None:
    service.ask(480)
    assert service.failed == 0
    check(service, 480, loads=len(service.answered))
    assert len(service.answered) > WORKERS
    eventually(lambda: service.metrics() and len(service.files()) <= WORKERS + 1, 30)
