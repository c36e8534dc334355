"""What the Redis exporter, with the settings that we ship, says of our keys in a real Redis."""

import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from routecache import BaseCacheManager, RoutingCache, RoutingSettings
from routecache.errors import ConfigurationError
from routecache.routing.cache import L2_PREFIXES
from routecache_exporters import catalog
from routecache_exporters.cli import main
from routecache_exporters.demo.processes import Processes
from routecache_exporters.ports import choose_port
from routecache_exporters.redis_stats.groups import KINDS, environment, key_group, patterns
from tests.helpers import eventually
from tests.monitoring import promql
from tests.monitoring.sources import DEPLOY, load
from tests.servers import RedisServer

SHIPPED = DEPLOY / "redis-exporter" / "routecache.env"
SECRET = "tenant-4711"


class Exporter:
    """The Redis exporter beside one Redis, with the shipped settings."""

    def __init__(self, processes: Processes, server: RedisServer, settings: str) -> None:
        program = shutil.which("prometheus-redis-exporter")
        assert program is not None
        port, _ = choose_port(0, 0, "")
        self._url = f"http://127.0.0.1:{port}/metrics"
        variables = ["-redis.addr", server.url, "-web.listen-address", f"127.0.0.1:{port}"]
        # As a container would: by the environment.
        argv = ["env", *settings.split(), program, *variables]
        processes.start("redis-exporter", argv)
        eventually(lambda: "redis_up 1" in self.text())

    def text(self) -> str:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as response:
                return str(response.read().decode())
        except OSError:
            return ""

    def groups(self, name: str) -> dict[str, float]:
        """A key group's metric by group."""
        return {
            sample.labels["key_group"]: sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
            if sample.name == name
        }


@pytest.fixture
def exporter(redis_server: RedisServer) -> Iterator[Exporter]:
    with Processes() as processes:
        yield Exporter(processes, redis_server, SHIPPED.read_text())


pytestmark = pytest.mark.needs("redis-server")
real = pytest.mark.needs("prometheus-redis-exporter")


@real
def test_keys_and_bytes_are_told_by_prefix_and_kind(
    redis_server: RedisServer, exporter: Exporter
) -> None:
    """As many as were written, and of other applications only that there are some."""
    settings = RoutingSettings(redis_url=redis_server.url)
    with RoutingCache(settings) as cache, redis.Redis.from_url(redis_server.url) as client:
        for i in range(7):
            cache.set_model_selection({"tenant": i}, {"model": "x" * 500}, providers=["openai"])
        for i in range(3):
            cache.set_provider_status(f"{SECRET}-{i}", {"up": True})
        cache.report_provider_health("openai", healthy=False)
        client.set(f"routing:model:{SECRET}:v1:x", "another application's")
        client.set("session:1", "x")
        counts = exporter.groups("redis_key_group_count")
        memory = exporter.groups("redis_key_group_memory_usage_bytes")
        usage = client.memory_usage
        provider_bytes = sum(int(usage(key)) for key in client.scan_iter("routing:provider:v1:*"))
    assert counts[key_group("routing:model", "v1")] == 7
    assert counts[key_group("routing:provider", "v1")] == 3
    assert counts[key_group("routing:model", "tag")] == 1
    assert counts[key_group("routing:fallback", "tag")] == 1
    assert counts["unclassified"] >= 2
    assert memory[key_group("routing:model", "v1")] > 7 * 500
    assert memory[key_group("routing:provider", "v1")] == provider_bytes
    known = {key_group(prefix, kind) for prefix in L2_PREFIXES for kind in KINDS}
    assert counts.keys() <= known | {"unclassified"}
    assert SECRET not in exporter.text(), "no part of a key becomes a label"


@real
def test_the_exporter_has_every_metric_that_we_ask_it_for(
    redis_server: RedisServer, exporter: Exporter
) -> None:
    """Dashboards, rules and runbooks name nothing that this release does not have."""
    with RoutingCache(RoutingSettings(redis_url=redis_server.url)) as cache:
        cache.set_provider_status("openai", {"up": True})
        found = set(re.findall(r"^(redis_\w+)", exporter.text(), re.MULTILINE))
    asked = {name for name in promql.FOREIGN if name.startswith("redis_")}
    # Until a command was slow there is no slowest.
    assert asked - found <= {"redis_last_slow_execution_duration_seconds"}


@real
def test_prefixes_of_ones_own_are_taken_literally(redis_server: RedisServer) -> None:
    """A dot and a hyphen mean more to Lua, and here only themselves."""
    with (
        BaseCacheManager(cache_prefix="my-app.x", name="own", redis_url=redis_server.url) as cache,
        redis.Redis.from_url(redis_server.url) as client,
        Processes() as processes,
    ):
        cache.set_many({"a": 1, "b": 2})
        client.set("my-appyx:v1:{c}", "another application's")
        exporter = Exporter(processes, redis_server, environment(["my-app.x"]))
        counts = exporter.groups("redis_key_group_count")
    assert counts[key_group("my-app.x", "v1")] == 2
    assert counts["unclassified"] >= 1


def test_the_shipped_settings_are_what_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`routecache redis-exporter` and the file beside compose.yaml are the same."""
    assert main(["redis-exporter"]) == 0
    assert capsys.readouterr().out == SHIPPED.read_text()
    service = load(DEPLOY / "compose.yaml")["services"]["redis-exporter"]
    assert DEPLOY / service["env_file"] == SHIPPED


def test_the_command_writes_a_file_and_names_what_is_no_prefix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for a mistake, and nothing written."""
    path = tmp_path / "routecache.env"
    assert main(["redis-exporter", "--prefix", "a", "--prefix", "b", "--write", str(path)]) == 0
    assert path.read_text() == environment(["a", "b"])
    assert main(["redis-exporter", "--prefix", "a*"]) == 2
    assert "cache_prefix 'a*'" in capsys.readouterr().err
    assert main(["redis-exporter", "--write", f"{tmp_path}/none/x"]) == 2
    with pytest.raises(ConfigurationError):
        patterns(["{x}"])


def test_no_replica_tells_the_servers_numbers() -> None:
    """What is the server's is told once, by the exporter beside it: of L2 a router tells its own
    circuits, connections, commands and TTL."""
    for metric in catalog.METRICS:
        assert not metric.name.startswith("redis_")
        assert not re.search(r"l2_(keys|memory|bytes|evict|clients)", metric.name), metric.name
