"""The compose stack and its image: what can be checked without running containers."""

import copy
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from routecache_exporters.cli import _parser
from tests.monitoring.compose_file import ComposeFile
from tests.monitoring.sources import DEPLOY, PROMETHEUS, ROOT, RUNBOOKS, load

COMPOSE: dict[str, Any] = load(DEPLOY / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PINNED = re.compile(r"[\w/.-]+:v?\d+\.\d+\.\d+(-[\w.]+)*")

every_service = pytest.mark.parametrize("name", SERVICES)


def test_the_stack_is_complete() -> None:
    """From the cache to the picture and the page."""
    assert set(SERVICES) == {
        "redis",
        "redis-exporter",
        "router",
        "inbox",
        "alertmanager",
        "prometheus",
        "grafana",
    }


def test_stack_is_what_the_compose_specification_knows() -> None:
    """Key by key, and names agree."""
    ComposeFile.model_validate(COMPOSE)


BREAK: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a key that is misspelt": lambda it: it["services"]["redis"].update(readonly=True),
    "a section that is not known": lambda it: it.update(service={}),
    "a number that should be text": lambda it: it["services"]["grafana"].update(user=472),
    "a wait for nobody": lambda it: it["services"]["grafana"].update(
        depends_on={"prom": {"condition": "service_healthy"}}
    ),
    "a volume that is not there": lambda it: it["services"]["redis"].update(volumes=["d:/data"]),
    "a duration without a unit": lambda it: it["services"]["redis"]["healthcheck"].update(
        interval="10"
    ),
}


@pytest.mark.parametrize("mistake", BREAK)
def test_what_compose_would_refuse_is_seen(mistake: str) -> None:
    """The check can fail."""
    compose = copy.deepcopy(COMPOSE)
    BREAK[mistake](compose)
    with pytest.raises(ValidationError):
        ComposeFile.model_validate(compose)


@every_service
def test_image_is_pinned(name: str) -> None:
    """A full version, no registry host; our own image is built here."""
    service = SERVICES[name]
    if "build" in service:
        assert service["image"] == "routecache:local"
    else:
        assert PINNED.fullmatch(service["image"])
        assert "." not in service["image"].split(":")[0]


@every_service
def test_service_has_no_privileges(name: str) -> None:
    """A numeric user that is not root, no capability, nothing to write but volumes and tmpfs."""
    service = SERVICES[name]
    uid, _ = service["user"].split(":")
    assert int(uid) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@every_service
def test_service_says_whether_it_is_healthy(name: str) -> None:
    """Everything has a health check, and waits for healthy, not for started."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    for awaited in service.get("depends_on", {}).values():
        assert awaited == {"condition": "service_healthy"}


@every_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    """The stack is for one's own machine."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@every_service
def test_mounts_exist_and_configuration_is_read_only(name: str) -> None:
    """A bind mount of a path that is not there would become an empty directory."""
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert (DEPLOY / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
        assert target.startswith("/")


def test_redis_keeps_the_cache_over_its_own_restart() -> None:
    """An append-only file on a named volume."""
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert "redis-data:/data" in SERVICES["redis"]["volumes"]


def test_the_routers_command_is_one_that_the_program_understands() -> None:
    """In compose and in the image."""
    command = SERVICES["router"]["command"]
    assert command[0] == "routecache"
    args = _parser().parse_args(command[1:])
    assert (args.router_only, args.listen) == (True, ["0.0.0.0:9464"])
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f"CMD {json.dumps(command)}" in dockerfile


def test_services_find_each_other() -> None:
    """Every host that a configuration names is a service, on the port that it listens on."""
    config = load(PROMETHEUS / "prometheus.yml")
    targets = {
        target
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    targets |= set(config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"])
    assert targets == {
        "router:9464",
        "redis-exporter:9121",
        "localhost:9090",
        "alertmanager:9093",
    }
    receivers = load(DEPLOY / "alertmanager" / "alertmanager.yml")["receivers"]
    urls = {way["url"] for receiver in receivers for way in receiver.get("webhook_configs", ())}
    (source,) = load(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert urls | {source["url"]} == {"http://inbox:9465/", "http://prometheus:9090"}
    assert SERVICES["redis-exporter"]["environment"]["REDIS_ADDR"] == "redis://redis:6379"
    assert SERVICES["router"]["environment"]["REDIS_URL"] == "redis://redis:6379/0"


def test_runbook_links_lead_to_files_that_prometheus_serves() -> None:
    """runbook_url is $externalURL/user/NAME.md."""
    prometheus = SERVICES["prometheus"]
    (assets,) = [c for c in prometheus["command"] if c.startswith("--web.user-assets=")]
    assert f"./runbooks:{assets.partition('=')[2]}:ro" in prometheus["volumes"]
    assert "--web.external-url=http://localhost:9090" in prometheus["command"]
    assert RUNBOOKS


def test_grafana_finds_its_dashboards_and_needs_no_password() -> None:
    """The provider's path is where the committed JSON is mounted; nobody can log in."""
    (provider,) = load(DEPLOY / "grafana/provisioning/dashboards/routecache.yaml")["providers"]
    assert f"../dashboards/json:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / "dashboards" / "json" / home.name).exists()


def test_image_is_pinned_small_and_not_root() -> None:
    """Pinned base, hash-checked requirements, a user of its own."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    assert PINNED.fullmatch(base)
    assert base == SERVICES["inbox"]["image"]
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]
    for line in re.findall(r"pip .*install.*-r \S+", text):
        assert "--require-hashes" in line
        (requirements,) = re.findall(r"-r (\S+)", line)
        assert (ROOT / requirements).is_file()
    (user,) = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert SERVICES["router"]["user"].split(":")[0] == user


def test_image_is_built_from_files_that_are_there_and_sent() -> None:
    """What the Dockerfile copies exists and is not left out of the build context."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    sources = {source.rstrip("/") for copy in copies for source in copy.split()}
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert "*" in ignore
    for source in sources:
        assert (ROOT / source).exists()
        assert any(path == source or path.startswith(f"{source}/") for path in sent), source
    # The build hook and what it puts into the wheel.
    assert "hatch_build.py" in sources
    assert {"deploy/prometheus", "deploy/alertmanager", "deploy/runbooks"} <= sent


@contextmanager
def inbox() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The stack's inbox on a free port: its URL and its process."""
    command = [sys.executable, str(DEPLOY / "inbox" / "inbox.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = process.stdout.readline().rpartition(":")[2].strip()
            yield f"http://127.0.0.1:{port}/", process
        finally:
            process.terminate()


def post(url: str, body: bytes) -> int:
    """POST and give the status, without asking a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=body), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_inbox_prints_what_alertmanager_posts() -> None:
    """One line per alert; what is no notification is refused and leaves it running."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "RouteCacheL2Down", "severity": "critical"},
        "annotations": {"summary": "Redis does not answer.", "runbook_url": "http://x/y.md"},
    }
    with inbox() as (url, process):
        assert post(url, b"{") == 400
        assert post(url, b"[]") == 400
        assert post(url, json.dumps({"receiver": "page", "alerts": [alert]}).encode()) == 200
        assert process.stdout
        line = process.stdout.readline()
    assert line == (
        "[page] FIRING critical RouteCacheL2Down: Redis does not answer. http://x/y.md\n"
    )
