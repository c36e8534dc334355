"""A lane's router: a process with a cache, traffic and an exporter, that obeys commands.

    python -m bench.faults.router PORT REDIS_URL

It serves /metrics on PORT of the loopback interface. Each line of its stdin is a JSON object of
one command, and each is answered by a line:

    {"cache": {...}}             another cache of the same name, these fields of `Shape` changed
    {"habits": {...}}            the traffic, these fields of `Habits` changed
    {"exporter": "on"}           or "off", or "unmounted": /metrics without routecache
    {"providers": {"p": true}}   what is reported of the health of providers
    {"warm": "fails"}            the cache is warmed anew, by a loader that fails, or that "loads"
    {"unreadable": true}         a second cache cannot tell its state any more
    {"beats": 0.05}              seconds between two heartbeats of listeners that begin from now on

It ends with its stdin, so it outlives nobody.
"""

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIServer

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge

from bench.faults.traffic import Habits, LoaderError, Traffic
from routecache import BaseCacheManager, Policy, RoutingCache, RoutingSettings
from routecache.remote.listener import Listener
from routecache.serializers import JsonSerializer
from routecache_exporters.demo.switching import switching_often
from routecache_exporters.http import start_http_server
from routecache_exporters.ports import LOOPBACK

NAME = "answer"
"""The cache's name and prefix."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a router's cache is made; lives in seconds, short so that loads never cease."""

    l1_maxsize: int = 200
    l1_ttl: float = 2.0
    l2_ttl: float = 6.0
    stale_if_error: float = 0.0
    distributed_lock: bool = False
    l2_timeout: float = 0.05
    max_connections: int = 0

    def cache(self, url: str) -> BaseCacheManager:
        """A cache of this shape; `url` has no query of its own."""
        if self.max_connections:
            url = f"{url}?max_connections={self.max_connections}"
        policy = Policy(
            stale_if_error=self.stale_if_error, distributed_lock=self.distributed_lock,
            l2_timeout=self.l2_timeout,
        )  # fmt: skip
        return BaseCacheManager(
            self.l1_maxsize, self.l1_ttl, self.l2_ttl, cache_prefix=NAME, redis_url=url,
            policy=policy,
        )  # fmt: skip


class Forgetful(JsonSerializer):
    """A program's own serializer that may forget its name."""

    forgotten = False

    @property
    def name(self) -> str:
        """The name. Raises LookupError when it is forgotten."""
        if self.forgotten:
            raise LookupError
        return "json"


class Router:
    """The process's parts, by command."""

    def __init__(self, port: int, url: str) -> None:
        self._port = port
        self._url = url
        self._shape = Shape()
        self._stop_serving: Callable[[], None] = _nothing
        self._traffic: Traffic | None = None
        self._health: RoutingCache | None = None
        self._second: BaseCacheManager | None = None

    def obey(self, command: dict[str, Any]) -> None:
        """Do what one command says."""
        for name, value in command.items():
            getattr(self, f"_{name}")(value)

    def _cache(self, fields: dict[str, Any]) -> None:
        self._shape = replace(self._shape, **fields)
        cache = self._shape.cache(self._url)
        if self._traffic is None:
            self._traffic = Traffic(cache, Habits(rate=0))
            self._warm("loads")
        else:
            old, self._traffic.cache = self._traffic.cache, cache
            old.close()

    def _habits(self, fields: dict[str, Any]) -> None:
        assert self._traffic is not None
        self._traffic.habits = replace(self._traffic.habits, **fields)

    def _exporter(self, state: str) -> None:
        stop, self._stop_serving = self._stop_serving, _nothing
        stop()
        if state == "on":
            self._stop_serving = start_http_server(
                LOOPBACK, self._port, registry=CollectorRegistry()
            ).close
        elif state == "unmounted":
            other = CollectorRegistry()
            Gauge("other_program", "Something else answers here.", registry=other).set(1)
            server, _ = prometheus_client.start_http_server(self._port, LOOPBACK, other)
            self._stop_serving = partial(_stop, server)

    def _providers(self, reports: dict[str, bool]) -> None:
        if self._health is None:
            self._health = RoutingCache(RoutingSettings(enable_redis=False))
        for provider, healthy in reports.items():
            self._health.report_provider_health(provider, healthy)

    def _unreadable(self, unreadable: bool) -> None:
        serializer = Forgetful()
        self._second = BaseCacheManager(enable_redis=False, name="second", serializer=serializer)
        serializer.forgotten = unreadable

    def _warm(self, how: str) -> None:
        assert self._traffic is not None

        def load(key: str) -> str:
            if how == "fails":
                raise LoaderError
            return key

        self._traffic.cache.warm([f"warm{n}" for n in range(3)], loader=load)

    def _beats(self, interval: float) -> None:
        defaults = Listener.__init__.__kwdefaults__
        assert defaults is not None
        defaults["heartbeat_interval"] = interval


def _nothing() -> None:
    pass


def _stop(server: WSGIServer) -> None:
    server.shutdown()
    server.server_close()


def main() -> None:
    """Obey until the end of stdin."""
    logging.getLogger("routecache").setLevel(logging.CRITICAL)  # circuits open and close by order
    router = Router(int(sys.argv[1]), sys.argv[2])
    with switching_often():
        for line in sys.stdin:
            try:
                router.obey(json.loads(line))
            except Exception as error:  # whoever gave the command is told
                print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
            else:
                print("{}", flush=True)


if __name__ == "__main__":
    main()
