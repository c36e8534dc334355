"""The Kubernetes objects agree with each other, with the compose stack and with the rules.

That each is what Kubernetes and the Prometheus operator know, field by field, is checked by
`make kubernetes-check`.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.generate.kustomize import build
from routecache_exporters.cli import _parser
from routecache_exporters.pack.config import Config
from tests.monitoring.sources import DASHBOARD_FILES, DEPLOY, ROOT, RULE_FILES, load

Object = dict[str, Any]

KUBERNETES = DEPLOY / "kubernetes"
TRY = build(KUBERNETES / "try")
COMPOSE: dict[str, Object] = load(DEPLOY / "compose.yaml")["services"]


def all_of(kind: str, objects: list[Object] = TRY) -> dict[str, Object]:
    """The objects of one kind, by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def one(kind: str, name: str) -> Object:
    """An object of the stack for trying."""
    return all_of(kind)[name]


WORKLOADS = all_of("Deployment")
every_workload = pytest.mark.parametrize("name", WORKLOADS)
SERVICE_OF = {"routecache": "router", "redis": "redis", "redis-exporter": "redis-exporter"}


def container(name: str) -> Object:
    """The one container of a Deployment."""
    (found,) = WORKLOADS[name]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def pods(selector: dict[str, str]) -> list[str]:
    """The Deployments whose pods a selector matches."""
    return [
        name
        for name, each in WORKLOADS.items()
        if selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    ]


def ports(name: str) -> dict[str, int]:
    """The ports of a container, by name."""
    return {port["name"]: port["containerPort"] for port in container(name)["ports"]}


def test_each_part_can_be_installed_alone() -> None:
    """Routers, rules, dashboards, Redis; the base is the first three with a ServiceMonitor."""
    base = all_kinds("base")
    assert base == {
        "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule",
        "Service", "ServiceMonitor",
    }  # fmt: skip
    assert all_kinds("router") == base - {"PrometheusRule", "ServiceMonitor"}
    assert all_kinds("rules") == {"PrometheusRule"}
    assert {each["kind"] for each in build(ROOT / "dashboards")} == {"ConfigMap"}
    assert set(all_of("Deployment", build(KUBERNETES / "redis"))) == {"redis", "redis-exporter"}


def all_kinds(folder: str) -> set[str]:
    """The kinds of objects in a folder of deploy/kubernetes."""
    return {each["kind"] for each in build(KUBERNETES / folder)}


def test_groups_of_rules_are_objects_one_by_one() -> None:
    """Each as it is committed for Prometheus, under a name that Kubernetes allows."""
    committed = {group["name"]: group for path in RULE_FILES for group in load(path)["groups"]}
    found = all_of("PrometheusRule")
    assert found.keys() == committed.keys()
    for name, each in found.items():
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name)
        assert each["spec"] == {"groups": [committed[name]]}


def test_optional_groups_are_objects_of_a_folder_that_nothing_builds_on() -> None:
    """Whoever wants them applies it beside the base."""
    (group,) = (
        group
        for path in (DEPLOY / "prometheus" / "optional").glob("*.yml")
        for group in load(path)["groups"]
    )
    found = all_of("PrometheusRule", build(KUBERNETES / "optional"))
    assert {name: each["spec"] for name, each in found.items()} == {
        group["name"]: {"groups": [group]}
    }
    assert not found.keys() & all_of("PrometheusRule").keys()


@pytest.mark.parametrize("path", DASHBOARD_FILES, ids=lambda path: path.stem)
def test_a_dashboard_is_a_config_map_that_grafanas_sidecar_finds(path: Any) -> None:
    """Under its label and in its folder, small enough for `kubectl apply`."""
    found = one("ConfigMap", path.stem)
    assert found["data"] == {path.name: path.read_text("utf-8")}
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (provider,) = load(DEPLOY / "grafana/provisioning/dashboards/routecache.yaml")["providers"]
    assert found["metadata"]["annotations"] == {"grafana_folder": provider["folder"]}
    # A ConfigMap may have 1 MiB. `kubectl apply` keeps a copy in an annotation, and those may have
    # 256 KiB together.
    assert len(json.dumps(found)) < 250_000


@every_workload
def test_image_is_that_of_the_compose_stack(name: str) -> None:
    """The same versions everywhere; our own is this project's."""
    image = container(name)["image"]
    if name == "routecache":
        version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
        assert image == f"routecache:{version}"
    else:
        assert image == COMPOSE[SERVICE_OF[name]]["image"]


@every_workload
def test_workload_has_no_privileges(name: str) -> None:
    """The user of the compose stack, no capability, a file system that is read only, no token."""
    spec = WORKLOADS[name]["spec"]["template"]["spec"]
    inner = container(name)
    assert spec["securityContext"].items() >= {"runAsNonRoot": True}.items()
    user = f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    assert user == COMPOSE[SERVICE_OF[name]]["user"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


@every_workload
def test_workload_says_what_it_needs_and_how_it_is(name: str) -> None:
    """Requests, a limit of memory and none of CPU, both probes on a port that it has."""
    inner = container(name)
    assert inner["resources"]["requests"].keys() == {"cpu", "memory"}
    assert inner["resources"]["limits"].keys() == {"memory"}
    for probe in (inner["livenessProbe"], inner["readinessProbe"]):
        way = probe.get("httpGet") or probe.get("tcpSocket") or {}
        assert way.get("port", next(iter(ports(name)))) in ports(name)
    volumes = {
        each["name"] for each in WORKLOADS[name]["spec"]["template"]["spec"].get("volumes", ())
    }
    assert {each["name"] for each in inner.get("volumeMounts", ())} == volumes


def test_the_routers_probes_are_the_exporters_own_pages() -> None:
    """Alive is not ready."""
    inner = container("routecache")
    assert inner["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    assert inner["readinessProbe"]["httpGet"]["path"] == "/-/ready"


def test_the_routers_command_is_one_that_the_program_understands() -> None:
    """And it listens on the port that the Service has."""
    command = container("routecache")["command"]
    assert command[0] == "routecache"
    args = _parser().parse_args(command[1:])
    (port,) = ports("routecache").values()
    assert (args.router_only, args.listen) == (True, [f":{port}"])


def test_redis_and_its_exporter_run_as_in_the_compose_stack() -> None:
    """The same command, the same address, the same settings."""
    assert container("redis")["command"] == COMPOSE["redis"]["command"]
    (address,) = container("redis-exporter")["env"]
    assert {address["name"]: address["value"]} == COMPOSE["redis-exporter"]["environment"]
    (settings,) = container("redis-exporter")["envFrom"]
    data = one("ConfigMap", settings["configMapRef"]["name"])["data"]
    env_file = (DEPLOY / COMPOSE["redis-exporter"]["env_file"]).read_text("utf-8")
    assert data == dict(line.split("=", 1) for line in env_file.splitlines())


def test_routers_look_for_redis_where_the_stack_has_it() -> None:
    """A Secret of one's own, under the same key, comes after the default and wins."""
    default, own = container("routecache")["envFrom"]
    url = urlsplit(one("ConfigMap", default["configMapRef"]["name"])["data"]["REDIS_URL"])
    (port,) = one("Service", str(url.hostname))["spec"]["ports"]
    assert port["port"] == url.port
    assert own == {"secretRef": {"name": "routecache-redis-url", "optional": True}}


@pytest.mark.parametrize("name", WORKLOADS)
def test_service_and_workload_belong_together(name: str) -> None:
    """A Service under the workload's name selects its pods, and no others, by ports they have."""
    service = one("Service", name)
    assert pods(service["spec"]["selector"]) == [name]
    assert pods(WORKLOADS[name]["spec"]["selector"]["matchLabels"]) == [name]
    (port,) = service["spec"]["ports"]
    assert ports(name)[port["targetPort"]] == port["port"]


def monitored() -> Iterator[tuple[Object, Object]]:
    """Every ServiceMonitor with the Service that it selects."""
    for monitor in all_of("ServiceMonitor").values():
        selector = monitor["spec"]["selector"]["matchLabels"].items()
        services = all_of("Service").values()
        (service,) = [each for each in services if selector <= each["metadata"]["labels"].items()]
        yield monitor, service


def test_targets_have_the_jobs_and_the_interval_that_the_rules_expect() -> None:
    """Each ServiceMonitor selects one Service, by a port that it has."""
    config, jobs = Config(), {}
    for monitor, service in monitored():
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["targetLabel"] == "job"
        jobs[service["metadata"]["name"]] = (relabeling["replacement"], endpoint["interval"])
    scraped = {
        job["job_name"]: job for job in load(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    }
    assert jobs == {
        "routecache": (config.jobs.routers, config.scrape_interval),
        "redis-exporter": (config.jobs.redis, scraped["redis"]["scrape_interval"]),
    }


def test_a_budget_of_disruptions_keeps_a_router_up() -> None:
    """Of several, one may be away."""
    (budget,) = all_of("PodDisruptionBudget").values()
    assert pods(budget["spec"]["selector"]["matchLabels"]) == ["routecache"]
    assert budget["spec"]["maxUnavailable"] < WORKLOADS["routecache"]["spec"]["replicas"]


def test_network_policies_let_through_what_is_needed() -> None:
    """Routers: scrapes from the monitoring, DNS, Redis. Redis: routers and its exporter."""
    routers = one("NetworkPolicy", "routecache")["spec"]
    assert pods(routers["podSelector"]["matchLabels"]) == ["routecache"]
    assert routers["policyTypes"] == ["Ingress", "Egress"]
    (scrapes,) = routers["ingress"]
    assert {port["port"] for port in scrapes["ports"]} == set(ports("routecache"))
    out = {
        (port["port"], port.get("protocol", "TCP"))
        for way in routers["egress"]
        for port in way["ports"]
    }
    assert out == {(53, "UDP"), (53, "TCP"), (ports("redis")["redis"], "TCP")}

    redis = one("NetworkPolicy", "redis")["spec"]
    assert pods(redis["podSelector"]["matchLabels"]) == ["redis"]
    (commands,) = redis["ingress"]
    callers = [name for way in commands["from"] for name in pods(way["podSelector"]["matchLabels"])]
    assert callers == ["routecache", "redis-exporter"]
    assert {port["port"] for port in commands["ports"]} == set(ports("redis"))
    assert "egress" not in redis
