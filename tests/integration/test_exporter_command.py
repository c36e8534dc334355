"""`routecache exporter` beside real workers: all of them in one answer, exactly."""

import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from routecache.multiprocess import DIRECTORY_VARIABLE
from tests.commands import run
from tests.helpers import eventually
from tests.integration.test_web_command import running
from tests.integration.test_workers import GUNICORN, LABELS, WORKERS, Service, check

LISTEN = ("--web.listen-address", "127.0.0.1:0")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    command = [part.replace("TMP", str(tmp_path)) for part in GUNICORN]
    service = Service(tmp_path / "metrics", *command)
    try:
        eventually(service.ready, 30)
        yield service
    finally:
        service.stop()


class Beside(Service):
    """The exporter's process, which answers what a service answers."""

    def __init__(self, url: str) -> None:
        self.port = int(url.rpartition(":")[2])

    def stats(self) -> Any:
        return json.loads(self.get("/stats.json?history"))


def test_the_exporter_tells_what_all_workers_tell(service: Service) -> None:
    """Totals are what the client counted, over a kill -9 too; that workers and exporter both serve
    and both fold counts nothing twice."""
    with running("exporter", "--multiproc-dir", str(service.directory), *LISTEN) as process:
        assert process.stderr is not None
        beside = Beside(process.stderr.readline().split()[-1])
        service.ask(400)
        check(beside, 400, loads=len(service.answered))
        check(service, 400, loads=len(service.answered))
        os.kill(next(iter(service.answered)), signal.SIGKILL)
        service.ask(80)
        eventually(
            lambda: (
                beside.stats()["workers"]["processes"] == WORKERS
                and len(service.files()) == WORKERS
            ),
            30,
        )
        asked = 400 + 80 - service.failed
        told = beside.metrics()[f"routecache_requests_total{LABELS}"]
        assert 2 * asked <= told <= 2 * (asked + service.failed)
        assert service.metrics()[f"routecache_requests_total{LABELS}"] == told
        stats = beside.stats()
        (cache,) = stats["caches"]
        assert cache["requests"] == told
        assert stats["workers"]["processes"] == WORKERS
        assert stats["workers"]["complete"]
        assert stats["history"]["times"]
        page = beside.get("/")
        assert f"{WORKERS} workers together" in page
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    assert len(service.files()) == WORKERS  # it is none of them


def test_an_empty_directory_is_served_until_somebody_counts_there(tmp_path: Path) -> None:
    """And the environment names it as well as the option."""
    tmp_path.chmod(0o700)
    env = {DIRECTORY_VARIABLE: str(tmp_path)}
    with running("exporter", *LISTEN, env=env) as process:
        assert process.stderr is not None
        beside = Beside(process.stderr.readline().split()[-1])
        metrics = beside.metrics()
        assert metrics['routecache_collect_success{collector="workers"}'] == 1
        assert "routecache_requests_total" not in "".join(metrics)
        assert beside.stats()["workers"] == {"processes": 0, "since": None, "complete": True}
        assert list(tmp_path.iterdir()) == []
        tmp_path.rmdir()
        assert beside.metrics()['routecache_collect_success{collector="workers"}'] == 0
        connection = http.client.HTTPConnection("127.0.0.1", beside.port, timeout=30)
        with closing(connection):
            connection.request("GET", "/stats.json")
            assert connection.getresponse().status == 500


@pytest.mark.parametrize("wrong", ["none", "absent", "file", "open", "other"])
def test_without_a_directory_of_workers_there_is_one_clear_line(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "workers"
    arguments = [] if wrong == "none" else ["--multiproc-dir", str(path)]
    if wrong == "file":
        path.touch()
    elif wrong in ("open", "other"):
        path.mkdir()
        path.chmod(0o777 if wrong == "open" else 0o700)
        if wrong == "other":
            (path / "mine.txt").touch()
    done = run("exporter", *arguments, *LISTEN, env={DIRECTORY_VARIABLE: ""})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert {
        "none": "--multiproc-dir or ROUTECACHE_MULTIPROC_DIR",
        "absent": "No such file or directory",
        "file": "Not a directory",
        "open": "others may write to it",
        "other": "it holds other things",
    }[wrong] in done.stderr
