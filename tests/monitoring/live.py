"""A Prometheus that has watched a router through a busy time and an outage, and its answers."""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import yaml

from routecache_exporters.demo.processes import Child, Processes
from routecache_exporters.demo.shorten import shorten_groups
from routecache_exporters.demo.stack import is_ready
from routecache_exporters.redis_stats.groups import settings
from tests.commands import environment
from tests.helpers import eventually
from tests.monitoring.sources import RULE_FILES, load
from tests.servers import RedisServer
from tests.topologies import free_port

TARGET = {"cluster": "lab", "namespace": "routers"}
SCRAPES = 5
"""As many as a rate over four seconds needs to tell of something and of its end."""


class Prometheus:
    """Its HTTP API. Times are seconds since the epoch."""

    def __init__(self, address: str) -> None:
        self._api = f"http://{address}/api/v1"
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self.since = time.time()

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer. Raises AssertionError with Prometheus' own words."""
        url = f"{self._api}/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with self._open(url, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def value(self, expr: str, at: float | None = None) -> dict[tuple[str, ...], float]:
        """An instant query, now unless said: values by the values of all labels."""
        when = str(time.time() if at is None else at)
        result = self.ask("query", query=expr, time=when)["result"]
        return {tuple(each["metric"].values()): float(each["value"][1]) for each in result}

    def course(self, expr: str) -> list[float]:
        """Every value, of any series, that is a number, each second since the beginning."""
        asked = {"query": expr, "start": str(self.since), "end": str(time.time()), "step": "1"}
        result = self.ask("query_range", **asked)["result"]
        values = [float(value) for series in result for _, value in series["values"]]
        return [value for value in values if value == value]  # noqa: PLR0124  # NaN is not

    def exemplars(self, expr: str) -> list[Mapping[str, str]]:
        """The labels of exemplars of what `expr` selects."""
        now = str(time.time() + 5)
        found = self.ask("query_exemplars", query=expr, start=str(self.since), end=now)
        return [exemplar["labels"] for each in found for exemplar in each["exemplars"]]

    def label_values(self, label: str, series: str) -> list[str]:
        values: list[str] = self.ask(f"label/{label}/values", **{"match[]": series})
        return values


class Lab:
    """The router, its Redis, the Redis exporter and the Prometheus that watches them."""

    def __init__(
        self, processes: Processes, server: RedisServer, router: "subprocess.Popen[str]"
    ) -> None:
        self._processes, self._server, self._router = processes, server, router
        port = int(self._line())
        redis_port, address = free_port(), f"127.0.0.1:{free_port()}"
        self._start_redis_exporter(redis_port)
        self.prometheus = Prometheus(address)
        child = self._start_prometheus(address, port, redis_port)
        processes.wait_until(
            child, partial(is_ready, f"http://{address}/-/ready"), threading.Event()
        )
        eventually(lambda: self.prometheus.value("routecache_requests_total"), 20)
        eventually(lambda: self.prometheus.value("redis_up == 1"), 20)

    def _line(self) -> str:
        assert self._router.stdout is not None
        line = self._router.stdout.readline()
        assert line, f"the router ended with {self._router.wait()}"
        return line

    def do(self, what: str) -> dict[str, int]:
        """Have the router do it, and wait until Prometheus has seen it and what came of it."""
        assert self._router.stdin is not None
        self._router.stdin.write(f"{what}\n")
        self._router.stdin.flush()
        done: dict[str, int] = json.loads(self._line())
        seen = self._scrapes()
        eventually(lambda: self._scrapes() >= seen + SCRAPES, 30)
        return done

    def _scrapes(self) -> float:
        return sum(self.prometheus.value("count_over_time(routecache_build_info[1h])").values())

    def survive_an_outage(self) -> None:
        self._server.stop()
        self.do("lose")
        self._server.start()
        self.do("recover")

    def _start_redis_exporter(self, port: int) -> None:
        program = shutil.which("prometheus-redis-exporter")
        assert program is not None
        flags = [f"-{flag}={value}" for flag, value in settings().items()]
        given = [f"-redis.addr={self._server.url}", f"-web.listen-address=127.0.0.1:{port}"]
        self._processes.start("redis-exporter", [program, *given, *flags])

    def _start_prometheus(self, address: str, router: int, redis: int) -> Child:
        directory = self._processes.directory("prometheus")
        for path in RULE_FILES:
            (directory / path.name).write_text(yaml.safe_dump(shorten_groups(load(path))))
        # One target that is down, and one that answers without our metrics.
        addresses = [f"127.0.0.1:{router}", f"127.0.0.1:{free_port()}", address]
        jobs = {"routecache": addresses, "redis": [f"127.0.0.1:{redis}"]}
        config = {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": ["*.yml"],
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [{"targets": targets, "labels": TARGET}],
                }
                for job, targets in jobs.items()
            ],
        }
        # Not *.yml: it would be read as rules.
        file = directory / "prometheus.yaml"
        file.write_text(yaml.safe_dump(config))
        return self._processes.start(
            "prometheus",
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
                "--enable-feature=exemplar-storage",
                "--query.lookback-delta=5s",
                "--log.level=warn",
            ],
        )


@contextmanager
def lab() -> Iterator[Lab]:
    """Everything started; ended with the context."""
    with (
        RedisServer() as server,
        Processes() as processes,
        # It ends when its stdin does.
        subprocess.Popen(
            [sys.executable, "-m", "tests.monitoring.busy", server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as router,
    ):
        yield Lab(processes, server, router)


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """`text` with Grafana's variables replaced, `$name` and `${name}`."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], found[0]), text)
