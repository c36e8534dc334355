"""A Prometheus with the deployed rules that scrapes a fleet, and what it tells of itself."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.scale.page import Page
from routecache_exporters.demo.processes import Processes
from routecache_exporters.demo.stack import find_binaries
from routecache_exporters.pack.generated import ROOT
from routecache_exporters.ports import choose_port
from tests.helpers import eventually

_RULES = ROOT / "deploy/prometheus/rules/*.yml"


@dataclass(frozen=True, slots=True)
class Reading:
    """A Prometheus' own figures at one moment; seconds, bytes and counts. `rules` by group."""

    at: float
    samples: float
    series: float
    memory: float
    cpu: float
    wal: int
    rules: dict[str, float]
    missed: float
    scraped: float


class Server:
    """One Prometheus over one fleet."""

    def __init__(self, port: int, directory: Path) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._directory = directory

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=2):
                return True
        except OSError:
            return False

    def read(self) -> Reading:
        """What it says of itself now."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        values: dict[str, float] = defaultdict(float)
        rules: dict[str, float] = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            head, _, value = line.rpartition(" ")
            name, _, labels = head.partition("{")
            if name == "prometheus_rule_group_last_duration_seconds":
                rules[labels.rpartition(";")[2].rstrip('"}')] = float(value)
            values[name] += float(value)
        return Reading(
            time.monotonic(),
            values["prometheus_tsdb_head_samples_appended_total"],
            values["prometheus_tsdb_head_series"],
            values["process_resident_memory_bytes"],
            values["process_cpu_seconds_total"],
            _size(self._directory / "data" / "wal"),
            rules,
            values["prometheus_rule_group_iterations_missed_total"],
            self._value("avg(scrape_duration_seconds)"),
        )

    def up(self) -> int:
        """How many targets were reached by their last scrape."""
        return int(self._value("count(up == 1)"))

    def _value(self, expression: str) -> float:
        url = f"{self._url}/api/v1/query?query={urllib.parse.quote(expression)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0


@contextmanager
def running(page: Page, routers: int, rate: float, interval: str) -> Iterator[Server]:
    """A fleet of `routers` with `rate` requests a second each, scraped each `interval`."""
    with Processes() as processes:
        directory = processes.directory("scale")
        fleet_port, port = (choose_port(0, 0, "")[0] for _ in range(2))
        targets = [
            {
                "targets": [f"127.0.0.1:{fleet_port}"],
                "labels": {"__metrics_path__": f"/{i}", "instance": f"router-{i}:9464"},
            }
            for i in range(routers)
        ]
        (directory / "targets.json").write_text(json.dumps(targets))
        config = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(_RULES)],
            "scrape_configs": [
                {
                    "job_name": "routecache",
                    "file_sd_configs": [{"files": [str(directory / "targets.json")]}],
                }
            ],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        lines = [(line.head, line.value, line.growth, line.whole) for line in page.lines]
        fleet = subprocess.Popen(
            [sys.executable, "-m", "bench.scale.fleet", str(fleet_port), str(routers), str(rate)],
            stdin=subprocess.PIPE, cwd=ROOT, text=True,
        )  # fmt: skip
        try:
            assert fleet.stdin is not None
            json.dump(lines, fleet.stdin)
            fleet.stdin.close()
            processes.start(
                "prometheus",
                [
                    find_binaries().prometheus,
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
            )
            server = Server(port, directory)
            eventually(server.ready, 30)
            yield server
        finally:
            fleet.terminate()
            fleet.wait()


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
