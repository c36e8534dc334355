"""Prometheus, Alertmanager and an inbox for all lanes, with the deployed rules and routes.

Lanes are told apart by a label of their targets that the rules group by and the inhibitions
compare: `namespace`, as two fleets on one Kubernetes are. So the rules are the deployed ones to
the letter, but for the durations, which `demo/shorten.py` maps.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

from bench.faults.background import Watchers
from bench.faults.lane import Lane, Plan
from bench.faults.verdict import Told
from routecache_exporters.demo.stack import Addresses, Monitoring, find_binaries
from routecache_exporters.demo.switching import switching_often
from routecache_exporters.demo.webhook import Inbox
from routecache_exporters.ports import LOOPBACK, choose_port


class Stack:
    """Watches `lanes` from its construction on.

    Raises:
        UsageError, StartError: a program is missing or does not start.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._parts = ExitStack()
        try:
            self._inbox = self._parts.enter_context(Inbox())
            processes = self._parts.enter_context(Watchers())
            directory = processes.directory("targets")
            self._files = {job: directory / f"{job}.json" for job in ("routecache", "redis")}
            self._watch(lanes)
            for lane in lanes:
                lane.moved = partial(self._watch, lanes)
            ports = [choose_port(0, 0, "")[0] for _ in range(2)]
            addresses = Addresses(
                "", f"{LOOPBACK}:{ports[0]}", f"{LOOPBACK}:{ports[1]}", self._inbox.url
            )
            self._monitoring = Monitoring(
                processes, find_binaries(), addresses, None, threading.Event(),
                discovered=self._files, rules=["optional/*.yml"],
            )  # fmt: skip
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Prometheus' address."""
        return self._monitoring.prometheus_url

    def _watch(self, lanes: Sequence[Lane]) -> None:
        for job, path in self._files.items():
            groups = [
                {"targets": lane.targets()[job], "labels": {"namespace": lane.name}}
                for lane in lanes
            ]
            new = path.with_suffix(".new")
            new.write_text(json.dumps(groups), encoding="utf-8")
            new.replace(path)

    def told(self) -> dict[str, list[Told]]:
        """What was notified so far, by lane; that of no lane is under an empty name."""
        found: dict[str, list[Told]] = {}
        for notice in self._inbox.notices():
            lane = notice.labels.get("namespace", "")
            told = Told.of(notice)
            found.setdefault(lane, []).append(told)
        return found

    def close(self) -> None:
        """End all of it."""
        self._parts.close()


@contextmanager
def fleets(plans: Mapping[str, Plan]) -> Iterator[tuple[dict[str, Lane], Stack]]:
    """Lanes as planned, by name, at work, and what watches them; ended with the context.

    Raises:
        UsageError, StartError, RouterError: they cannot be run.
    """
    with ExitStack() as parts:
        # All proxies are threads of this process: none may hold up another's bytes.
        parts.enter_context(switching_often())
        lanes: dict[str, Lane] = {}
        with ThreadPoolExecutor(len(plans)) as pool:
            for lane in pool.map(Lane, plans, plans.values()):
                parts.callback(lane.close)
                lanes[lane.name] = lane
        stack = Stack(list(lanes.values()))
        parts.callback(stack.close)
        for lane in lanes.values():
            lane.begin()
        yield lanes, stack
