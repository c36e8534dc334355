"""Prometheus and Alertmanager for the demo, with the repository's own configuration.

Their configuration is derived from `deploy/`: targets, ports and the receivers' addresses are
replaced, jobs that the demo does not run are left out, and everything that waits is shortened
(`shorten.py`). Labels, routes, inhibitions and expressions are the deployed ones.
"""

import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from routecache_exporters.demo.deployed import deployed
from routecache_exporters.demo.processes import Child, Processes
from routecache_exporters.demo.shorten import shorten_groups
from routecache_exporters.redis_stats.groups import settings
from routecache_exporters.usage import UsageError, require

INTERVAL = "1s"
GROUP_WAIT = "8s"  # covers the difference between the `for` of a cause and of its symptoms
GROUP_INTERVAL = "2s"
LOOKBACK = "5s"

_NOTHING: Mapping[str, Path] = MappingProxyType({})
_ALERTMANAGER_NAMES = ("alertmanager", "prometheus-alertmanager")
_REDIS_EXPORTER_NAMES = ("redis_exporter", "prometheus-redis-exporter")


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of the programs; the Redis exporter may be missing."""

    prometheus: str
    alertmanager: str
    redis_exporter: str | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Who listens where, as host:port; `webhook` is a URL. None: there is no Redis exporter."""

    router: str
    prometheus: str
    alertmanager: str
    webhook: str
    redis_exporter: str | None = None


def find_binaries() -> Binaries:
    """What the monitoring needs.

    Raises:
        UsageError: a program, its configuration or the YAML library is missing.
    """
    prometheus = shutil.which("prometheus")
    alertmanager = _first(_ALERTMANAGER_NAMES)
    if prometheus is None or alertmanager is None:
        missing = "prometheus" if prometheus is None else "alertmanager"
        raise UsageError(f"{missing} is not on PATH")
    if deployed("prometheus") is None or deployed("alertmanager", "alertmanager.yml") is None:
        raise UsageError("this installation has no deploy/ directory")
    require("yaml", "cli")
    return Binaries(prometheus, alertmanager, _first(_REDIS_EXPORTER_NAMES))


def _first(names: Iterable[str]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def prometheus_config(
    config: dict[str, Any],
    addresses: Addresses,
    discovered: Mapping[str, Path] = _NOTHING,
) -> dict[str, Any]:
    """The deployed `prometheus.yml` with the demo's targets and intervals.

    discovered: by job, a file of targets (`file_sd_configs`) to scrape instead of an address.
    """
    derived = deepcopy(config)
    derived["global"] |= {
        "scrape_interval": INTERVAL,
        "scrape_timeout": INTERVAL,
        "evaluation_interval": INTERVAL,
    }
    derived["alerting"]["alertmanagers"] = [
        {"static_configs": [{"targets": [addresses.alertmanager]}]}
    ]
    targets = {
        "routecache": addresses.router,
        "prometheus": addresses.prometheus,
        "alertmanager": addresses.alertmanager,
    }
    if addresses.redis_exporter is not None:
        targets["redis"] = addresses.redis_exporter
    jobs = [job for job in derived["scrape_configs"] if job["job_name"] in {*targets, *discovered}]
    for job in jobs:
        job.pop("scrape_interval", None)
        job.pop("scrape_timeout", None)
        if job["job_name"] in discovered:
            del job["static_configs"]
            job["file_sd_configs"] = [{"files": [str(discovered[job["job_name"]])]}]
            continue
        job["static_configs"][:] = [
            job["static_configs"][0] | {"targets": [targets[job["job_name"]]]}
        ]
    derived["scrape_configs"] = jobs
    return derived


def alertmanager_config(config: dict[str, Any], addresses: Addresses) -> dict[str, Any]:
    """The deployed `alertmanager.yml` with the demo's inbox as every webhook, and short waits."""
    derived = deepcopy(config)
    _shorten_route(derived["route"])
    for receiver in derived["receivers"]:
        # Whatever a receiver would notify, here it is the inbox; one without a way stays silent.
        ways = [key for key in receiver if key.endswith("_configs")]
        for way in ways:
            del receiver[way]
        if ways:
            receiver["webhook_configs"] = [{"url": addresses.webhook, "send_resolved": True}]
    return derived


def _shorten_route(route: dict[str, Any]) -> None:
    for key, short in (("group_wait", GROUP_WAIT), ("group_interval", GROUP_INTERVAL)):
        if key in route and route[key] != "0s":
            route[key] = short
    for child in route.get("routes", ()):
        _shorten_route(child)


class Monitoring:
    """The programs, started.

    Args:
        processes: what starts them, and ends them in any case.
        binaries: from `find_binaries()`.
        addresses: where they and the others listen.
        redis: the URL of the Redis that the Redis exporter tells of, if there is that exporter.
        stop: set when the demo is to end; waiting for them ends then.
        discovered: see `prometheus_config`.
        rules: patterns of further rule files, relative to deploy/prometheus.

    Raises:
        StartError: one of them does not start.
    """

    def __init__(
        self, processes: Processes, binaries: Binaries, addresses: Addresses, redis: str | None,
        stop: threading.Event, *, discovered: Mapping[str, Path] = _NOTHING,
        rules: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._processes = processes
        self._addresses = addresses
        self._discovered = discovered
        self._more_rules = rules
        self.prometheus_url = f"http://{addresses.prometheus}"
        self.alertmanager_url = f"http://{addresses.alertmanager}"
        self.children: tuple[Child, ...] = (
            self._alertmanager(binaries),
            self._prometheus(binaries),
        )
        for child, url in zip(
            self.children, (self.alertmanager_url, self.prometheus_url), strict=True
        ):
            processes.wait_until(child, partial(is_ready, f"{url}/-/ready"), stop)
        if redis is not None and binaries.redis_exporter and addresses.redis_exporter:
            exporter = self._redis_exporter(binaries.redis_exporter, redis)
            self.children = (*self.children, exporter)
            health = f"http://{addresses.redis_exporter}/health"
            processes.wait_until(exporter, partial(is_ready, health), stop)

    def ended(self) -> str | None:
        """What went wrong if one of them ended by itself, else None."""
        for child in self.children:
            code = self._processes.exit_code(child)
            if code is not None:
                return f"{child.name} ended with {code}: {child.last_output()}"
        return None

    def _alertmanager(self, binaries: Binaries) -> Child:
        directory = self._processes.directory("alertmanager")
        source = _deployed("alertmanager", "alertmanager.yml")
        config = directory / "alertmanager.yml"
        _write(config, alertmanager_config(_read(source), self._addresses))
        return self._processes.start(
            "alertmanager",
            [
                binaries.alertmanager,
                f"--config.file={config}",
                f"--storage.path={directory / 'data'}",
                f"--web.listen-address={self._addresses.alertmanager}",
                f"--web.external-url={self.alertmanager_url}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
        )

    def _prometheus(self, binaries: Binaries) -> Child:
        directory = self._processes.directory("prometheus")
        source = _deployed("prometheus", "prometheus.yml")
        content = _read(source)
        content["rule_files"] += self._more_rules
        for pattern in content["rule_files"]:
            for rules in sorted(source.parent.glob(pattern)):
                target = directory / rules.relative_to(source.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(target, shorten_groups(_read(rules)))
        config = directory / "prometheus.yml"
        _write(config, prometheus_config(content, self._addresses, self._discovered))
        runbooks = deployed("runbooks")
        return self._processes.start(
            "prometheus",
            [
                binaries.prometheus,
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={self._addresses.prometheus}",
                f"--web.external-url={self.prometheus_url}",
                f"--query.lookback-delta={LOOKBACK}",
                "--log.level=warn",
                *([f"--web.user-assets={runbooks}"] if runbooks else []),
            ],
        )

    def _redis_exporter(self, binary: str, redis: str) -> Child:
        # One dash: older releases know no other.
        return self._processes.start(
            "redis-exporter",
            [
                binary,
                f"-redis.addr={redis}",
                f"-web.listen-address={self._addresses.redis_exporter}",
                *(f"-{flag}={value}" for flag, value in settings().items()),
            ],
        )


def is_ready(url: str) -> bool:
    """Whether a GET of `url` on loopback answers 200, without asking a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _deployed(*parts: str) -> Path:
    path = deployed(*parts)
    if path is None:
        raise UsageError(f"deploy/{'/'.join(parts)} is missing")
    return path


def _read(path: Path) -> Any:
    return require("yaml", "cli").safe_load(path.read_text(encoding="utf-8"))


def _write(path: Path, content: object) -> None:
    text = require("yaml", "cli").safe_dump(content, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
