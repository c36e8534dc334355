"""What a runbook says to paste is run: PromQL by a Prometheus, redis-cli against a Redis."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from routecache import RoutingCache, RoutingSettings
from routecache_exporters.demo.processes import Processes
from routecache_exporters.demo.stack import Addresses, Monitoring, find_binaries
from routecache_exporters.http import start_http_server
from routecache_exporters.ports import choose_port
from tests.commands import environment
from tests.helpers import eventually
from tests.monitoring.sources import RUNBOOKS, runbook_queries
from tests.topologies import One

# Goes on until the reader has seen enough.
UNTIL_CTRL_C = "# Ctrl-C to end"
# What a server that is no cluster rightly answers.
NOT_HERE = "This instance has cluster support disabled"

# The `routecache` command of this environment.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

every_runbook = pytest.mark.parametrize("name", RUNBOOKS)


def shell_lines(path: Path) -> list[str]:
    """The commands of a runbook that talk to Redis."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if "$REDIS_URL" in line]


@pytest.fixture(scope="module")
def cache(redis_url: str) -> Iterator[RoutingCache]:
    """A router's caches after some traffic."""
    with RoutingCache(RoutingSettings(redis_url=redis_url)) as made:
        for n in range(150):
            made.get_model_selection({"n": n}, loader=lambda: "m", providers=["openai"])
            made.get_provider_status("openai", loader=lambda: {"up": True})
            made.set_fallback_chain({"n": n % 7}, ["a", "b"])
        made.report_provider_health("openai", healthy=True)
        made.warm()
        yield made


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis with a listener and a few keys."""
    with One() as redis, RoutingCache(RoutingSettings(redis_url=redis.url)) as made:
        made.set_provider_status("openai", {"up": True})
        eventually(lambda: b"flags=t" in _clients(redis) or b"B" in _clients(redis))
        yield redis.url


def _clients(redis: One) -> bytes:
    return str(redis.primary().ask("CLIENT", "LIST")).encode()


@pytest.mark.needs("redis-server", "redis-cli", "bash")
@every_runbook
def test_commands_for_redis_work(name: str, redis_url: str) -> None:
    """Each line as it stands: no complaint of the shell, of redis-cli or of Redis."""
    for line in shell_lines(RUNBOOKS[name]):
        command = f"timeout -s INT 2 {line}" if UNTIL_CTRL_C in line else line
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False,
            env=environment({"REDIS_URL": redis_url, "PATH": PATH}),
        )  # fmt: skip
        assert done.stderr == "", line
        refused = re.findall(
            r"^\(error\).*|^(?:ERR|NOAUTH|WRONGPASS|NOPERM)\b.*", done.stdout, re.MULTILINE
        )
        assert all(NOT_HERE in answer for answer in refused), f"{line}\n{done.stdout}"
        # 1: grep found nothing; 124: time was up.
        assert done.returncode in {0, 1, 124}, line


@pytest.mark.needs("redis-server", "redis-cli", "bash")
@pytest.mark.parametrize("refused", ["", "-client|tracking"])
def test_what_cuts_the_listeners_cuts_ours_and_they_connect_anew(refused: str) -> None:
    """Either line of the runbook, each where it is for: with CLIENT TRACKING, and where that is
    refused."""
    tracked, subscribed = (
        line for line in shell_lines(RUNBOOKS["RouteCacheInvalidationStalled"]) if "xargs" in line
    )
    with One() as redis:
        redis.primary().ask("ACL", "SETUSER", "router", "on", ">pass", "~*", "&*", "+@all", refused)
        theirs = redis.url.replace("://", "://router:pass@")
        with RoutingCache(RoutingSettings(redis_url=theirs)):
            before = eventually(partial(_listeners, redis))
            done = subprocess.run(
                ["bash", "-c", subscribed if refused else tracked], capture_output=True, text=True,
                timeout=30, check=True, env=environment({"REDIS_URL": redis.url, "PATH": PATH}),
            )  # fmt: skip
            assert (done.stdout, done.stderr) == ("1\n" * len(before), "")
            after = eventually(lambda: _listeners(redis) - before)
            assert len(after) == len(before) == 1


def _listeners(redis: One) -> set[bytes]:
    """The ids of the clients that hear of changed keys."""
    lines = bytes(redis.primary().ask("CLIENT", "LIST")).splitlines()
    return {line.split()[0] for line in lines if re.search(rb" sub=[1-9]", line)}


@every_runbook
def test_advice_about_a_policy_says_that_the_routing_caches_take_none(name: str) -> None:
    text = " ".join(RUNBOOKS[name].read_text(encoding="utf-8").split())
    assert "Policy(" not in text or "of your own" in text


class Prometheus:
    """The deployed rules over one router and its Redis, with short windows."""

    def __init__(self, processes: Processes, exporter: str, redis: str) -> None:
        ports = [choose_port(0, 0, "")[0] for _ in range(3)]
        addresses = Addresses(
            router=exporter.removeprefix("http://"), prometheus=f"127.0.0.1:{ports[0]}",
            alertmanager=f"127.0.0.1:{ports[1]}", webhook="http://127.0.0.1:9/",
            redis_exporter=f"127.0.0.1:{ports[2]}",
        )  # fmt: skip
        made = Monitoring(processes, find_binaries(), addresses, redis, threading.Event())
        self._url = f"{made.prometheus_url}/api/v1/query"

    def ask(self, query: str) -> dict[str, Any]:
        """The whole answer."""
        body = urllib.parse.urlencode({"query": query}).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self._url, data=body, timeout=10) as answer:
            return dict(json.load(answer))


@pytest.fixture(scope="module")
def prometheus(cache: RoutingCache, redis_url: str) -> Iterator[Prometheus]:
    with Processes() as processes, start_http_server(port=0) as exporter:
        made = Prometheus(processes, exporter.url, redis_url)
        recorded = 'count({__name__=~".+:routecache_.+"}) > 50'
        eventually(lambda: made.ask(recorded)["data"]["result"], seconds=40, every=0.5)
        yield made


@pytest.mark.needs(
    "prometheus", "prometheus-alertmanager", "prometheus-redis-exporter", "redis-server"
)
@every_runbook
def test_queries_are_answered(name: str, prometheus: Prometheus) -> None:
    """Prometheus evaluates each, without an error (a join that matches many to many is one) or a
    warning; and what is there in a healthy router shows something."""
    for query in runbook_queries(RUNBOOKS[name]):
        answer = prometheus.ask(query)
        assert answer["status"] == "success", query
        assert not answer.get("warnings"), query
        if not _may_be_empty(query):
            eventually(partial(_shows, prometheus, query), seconds=20, every=0.5)


def _shows(prometheus: Prometheus, query: str) -> bool:
    return bool(prometheus.ask(query)["data"]["result"])


def _may_be_empty(query: str) -> bool:
    """Whether a healthy young router rightly answers with nothing: it is a filter for what is
    wrong, or looks at the past, or at what happens only when something is wrong."""
    return bool(re.search(r"[<>=]=? *\d|offset|unless|ALERTS|" + "|".join(RARE), query))


RARE = (
    "load_failures", "errors_total", "coalesced", "whatif", 'outcome="error"', "removals",
    'cache="other"', "prometheus_sd", "key_group", "redis_memory_max",
    "_failures_total", "_errors_total",
)  # fmt: skip
"""Series that are born with their first event, or not scraped in this stack."""
