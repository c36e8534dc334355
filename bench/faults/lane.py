"""One lane: routers of one fleet, their Redis and its exporter, as processes of their own."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bench.faults.background import Watchers
from bench.faults.router import NAME
from bench.faults.traffic import Habits
from routecache_exporters.demo.embedded import EmbeddedRedis
from routecache_exporters.demo.processes import Processes
from routecache_exporters.demo.stack import is_ready
from routecache_exporters.ports import LOOPBACK, choose_port
from tests.proxy import Proxy

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a lane is made of while it is well.

    routers: how many.
    proxied: whether each reaches Redis through a proxy of its own, which a fault may turn bad.
    cache: fields of `router.Shape` that are other than usual.
    habits: fields of `traffic.Habits`, likewise.
    beats: seconds between two heartbeats of a listener.
    """

    routers: int = 2
    proxied: bool = False
    cache: Mapping[str, Any] = field(default_factory=dict[str, Any])
    habits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    beats: float = 1.0


class RouterError(Exception):
    """A router that did not do what it was told."""


class RouterProcess:
    """A router that runs. Not safe for threads."""

    def __init__(self, port: int, url: str, plan: Plan) -> None:
        self.port = port
        self._url = url
        self._plan = plan
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.faults.router", str(self.port), self._url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT,
            start_new_session=True,
        )  # fmt: skip
        self.tell(beats=self._plan.beats)
        self.tell(cache=dict(self._plan.cache))
        self.tell(exporter="on")

    def begin(self) -> None:
        """Let it ask as its plan says; until then it asks nothing."""
        self.tell(habits={"rate": Habits().rate, **self._plan.habits})

    def tell(self, **command: Any) -> None:
        """Give it a command and wait until it is done.

        Raises:
            RouterError: it failed.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline() or '{"error": "it is gone"}')
        if "error" in answer:
            raise RouterError(f"{command}: {answer['error']}")

    def restart(self, plan: Plan | None = None) -> None:
        """Another process in its place, on the same port; with a plan, another release."""
        self._plan = plan or self._plan
        self.close()
        self._start()
        self.begin()

    def close(self) -> None:
        """End it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _nobody() -> None:
    """Who watches a lane that nobody watches."""


class Lane:
    """A fleet that is well, in a lane called `name`, until a fault is put into it.

    `moved` is called when its targets have changed.

    Args:
        name: the `namespace` label of all its targets.
        plan: what it is made of.

    Raises:
        StartError: a process does not start.
    """

    def __init__(self, name: str, plan: Plan) -> None:
        self.name = name
        self.plan = plan
        self.proxies: list[Proxy] = []
        self.routers: list[RouterProcess] = []
        self.lost = False
        self.moved: Callable[[], None] = _nobody
        self._again: threading.Event | None = None
        self._parts = ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        stop = threading.Event()
        processes = self._parts.enter_context(Processes())
        self.server = EmbeddedRedis(processes, stop)
        self.server.start()
        for _ in range(self.plan.routers):
            url = self.server.url
            if self.plan.proxied:
                proxy = self._parts.enter_context(Proxy(url.removeprefix("unix://")))
                self.proxies.append(proxy)
                url = proxy.url
            port, _ = choose_port(0, 0, "")
            router = RouterProcess(port, url, self.plan)
            self._parts.callback(router.close)
            self.routers.append(router)
        self.exporter_port, _ = choose_port(0, 0, "")
        watchers = self._parts.enter_context(Watchers())
        exporter = watchers.start("redis-exporter", [
            "prometheus-redis-exporter",
            f"-redis.addr={self.server.url}",
            f"-web.listen-address={LOOPBACK}:{self.exporter_port}",
        ])  # fmt: skip
        health = f"http://{LOOPBACK}:{self.exporter_port}/health"
        watchers.wait_until(exporter, partial(is_ready, health), stop)

    def lose(self, lost: bool) -> None:
        """Have Prometheus know no target of this lane, or know them again."""
        self.lost = lost
        self.moved()

    def targets(self) -> dict[str, list[str]]:
        """What Prometheus scrapes, by job."""
        if self.lost:
            return {"routecache": [], "redis": []}
        return {
            "routecache": [f"{LOOPBACK}:{router.port}" for router in self.routers],
            "redis": [f"{LOOPBACK}:{self.exporter_port}"],
        }

    def begin(self) -> None:
        """Let the routers ask, once everything runs: what starts is slow, and slows others."""
        for router in self.routers:
            router.begin()

    def tell(self, **command: Any) -> None:
        """Give all routers a command."""
        for router in self.routers:
            router.tell(**command)

    def mode(self, mode: Any, *, delay: float = 0.0, every: int = 1) -> None:
        """Turn all proxies bad, or "pass"."""
        for proxy in self.proxies:
            proxy.delay, proxy.slow_every = delay, every
            proxy.mode = mode

    def ask(self, *command: object) -> Any:
        """Redis' answer to a command."""
        with redis.Redis.from_url(self.server.url, socket_timeout=5) as client:
            return client.execute_command(*command)

    def values(self) -> list[bytes]:
        """Where the cache's values lie in this lane's own Redis."""
        found: list[bytes] = self.ask("KEYS", f"{NAME}:v1:*")
        return found

    def again(self, action: Callable[[], object], every: float) -> None:
        """Do `action` now and every so many seconds, until `enough`."""
        self._again = stopped = threading.Event()

        def repeat() -> None:
            action()
            while not stopped.wait(every):
                action()

        threading.Thread(target=repeat, daemon=True).start()

    def enough(self) -> None:
        """End what `again` began."""
        if self._again is not None:
            self._again.set()

    def close(self) -> None:
        """End all of it."""
        self.enough()
        self._parts.close()
