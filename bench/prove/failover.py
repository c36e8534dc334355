"""Failover: primaries killed (-9) or paused under load, behind Sentinel and in a cluster.

A sync and an asyncio manager, whose L1 holds one entry, read a ledger of keys that are in L2 and
write others. What the ledger holds was acknowledged by L2 and, by the replicas' own offsets,
replicated before the primary dies. Afterwards none of it may be lost, and nothing that had been
deleted may be served. How long Sentinel and Redis take to promote a replica is theirs; the bound
is on what comes on top.
"""

import asyncio
import itertools
import threading
import time
from typing import Any, Final, Self

import redis

from bench.prove.findings import Findings
from routecache import MISS, AsyncCacheManager, BaseCacheManager, Policy
from tests.failing_over import promoted
from tests.helpers import eventually
from tests.topologies import Cluster, Server, Topology, WithSentinel

LEDGER: Final = 300
CHURN: Final = 200
WITHIN: Final = 1.5  # seconds from the promotion until L2 is used; it is probed every half second
TOPOLOGIES: Final[dict[str, type[Topology]]] = {"Sentinel": WithSentinel, "cluster": Cluster}
LONGEST: Final = (Policy().l2_timeout + 0.02) * 1e3  # milliseconds
# A look-up that took long for the machine's sake is no sign of a primary that is away.
CHECKING: Final = Policy(l2_timeout=2.0)


def prove(findings: Findings) -> None:
    """Each way to lose a primary, for sync and asyncio at once."""
    cases = list(itertools.product(TOPOLOGIES, ("killed", "paused")))
    for n, (name, how) in enumerate(cases):
        findings.advance(n / len(cases), f"{name}, {how}")
        with TOPOLOGIES[name]() as topology:
            _one(findings, topology, f"{name}, primary {how}", paused=how == "paused")


def _one(findings: Findings, topology: Topology, case: str, *, paused: bool) -> None:
    ledger = Ledger(topology)
    with SyncLoad(topology.url, ledger) as sync, AsyncioLoad(topology.url, ledger) as asyncio_:
        loads = {"sync": sync, "asyncio": asyncio_}
        eventually(lambda: all(load.fine() for load in loads.values()), 30)
        ledger.replicated()
        old = topology.primary()
        at = time.monotonic()
        old.pause() if paused else old.kill()
        there = promoted(topology, old)
        eventually(lambda: all(load.fine() for load in loads.values()), 60)
        used = {name: load.last_miss for name, load in loads.items()}
        ledger.delete_some()
        old.resume() if paused else old.start()
        # The old primary does not know yet that it is none any more.
        until = time.monotonic() + 2.0
        eventually(lambda: time.monotonic() > until)
    for name, load in loads.items():
        findings.case = f"{case}: {name}"
        findings.must("exceptions raised to callers", len(load.exceptions), "=", 0)
        findings.must("wrong or deleted values served", len(load.wrong), "=", 0)
        findings.saw("L2 is used again after", max(0.0, used[name] - at), "s")
        findings.timed("of that, after the promotion", max(0.0, used[name] - there), "≤", WITHIN,
                       "s")  # fmt: skip
        findings.saw("calls", load.calls)
        findings.timed("slowest look-up", load.slowest * 1e3, "≤", LONGEST, "ms")
    findings.case = case
    findings.saw("replica promoted after", there - at, "s")
    lost, back = ledger.compare()
    findings.must(f"of {len(ledger.kept)} acknowledged and replicated values, lost", lost, "=", 0)
    findings.must(f"of {len(ledger.gone)} deleted and replicated values, back", back, "=", 0)


class Ledger:
    """What L2 holds for sure, and what it does not hold any more for sure."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.kept = {f"kept{n}": n for n in range(LEDGER)}
        doomed = {f"gone{n}": n for n in range(LEDGER // 3)}
        self.gone: set[str] = set(doomed)
        with self._manager() as manager:
            for key, value in (self.kept | doomed).items():
                manager.set(key, value)
            for key in doomed:
                assert manager.delete(key)
            assert manager.get_stats()["errors"] == 0, "not all was acknowledged"

    def _manager(self) -> BaseCacheManager:
        return BaseCacheManager(
            1, redis_url=self._topology.url, cache_prefix="failover", name="ledger", policy=CHECKING
        )

    def replicated(self) -> None:
        """Wait until every replica has what its primary has now."""
        for server in self._topology.servers:
            state = _replication(server)
            if state.get("role") == "master" and state.get("connected_slaves"):
                offset = int(state["master_repl_offset"])
                eventually(lambda s=server, o=offset: _behind(s) >= o, 20)  # type: ignore[misc]

    def delete_some(self) -> None:
        """Delete a third of what is kept, and wait until that is replicated."""
        doomed = list(self.kept)[: LEDGER // 3]
        with self._manager() as manager:
            for key in doomed:
                del self.kept[key]
                assert manager.delete(key), "it was there"
                self.gone.add(key)
        self.replicated()

    def right(self, key: str, value: object) -> bool:
        """Whether `value` may be served for `key`. Asked before a look-up, `gone` is certain."""
        return value == int(key.removeprefix("kept").removeprefix("gone"))

    def compare(self) -> tuple[int, int]:
        """How many values are lost, and how many deleted ones are back."""
        with self._manager() as manager:
            lost = sum(manager.get(key, MISS) != value for key, value in self.kept.items())
            back = sum(manager.get(key, MISS) is not MISS for key in self.gone)
        return lost, back


def _replication(server: Server) -> dict[str, Any]:
    try:
        state: dict[str, Any] = server.ask("INFO", "replication")
    except redis.RedisError:
        return {}
    return state


def _behind(primary: Server) -> int:
    """What all replicas of `primary` have acknowledged."""
    state = _replication(primary)
    replicas = [
        value for key, value in state.items() if key.startswith("slave") and key[5:].isdigit()
    ]
    return min((int(replica["offset"]) for replica in replicas), default=-1)


class Load:
    """What the callers of one manager got, and when the ledger was last not answered from L2."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self.exceptions: list[BaseException] = []
        self.wrong: list[tuple[str, object]] = []
        self.calls = 0
        self.slowest = 0.0
        self.last_miss = time.monotonic()
        self._url = url
        self._ledger = ledger
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def fine(self) -> bool:
        """Whether all of the ledger has been answered for a second, and something was asked."""
        before = self.calls
        quiet = time.monotonic() - self.last_miss > 1.0
        return quiet and bool(eventually(lambda: self.calls > before, 5))

    def _keys(self, n: int) -> tuple[str, str, bool]:
        """A key of the ledger, one to churn, and whether the first is deleted for sure."""
        ledger = self._ledger
        names = [*ledger.kept, *ledger.gone] if n % 4 == 0 else list(ledger.kept)
        key = names[n % len(names)]
        return key, f"churn{n % CHURN}", key in ledger.gone

    def _judge(self, key: str, value: object, started: float, *, gone: bool) -> None:
        now = time.monotonic()
        self.calls += 2
        self.slowest = max(self.slowest, now - started)
        if value is not MISS and (gone or not self._ledger.right(key, value)):
            self.wrong.append((key, value))
        if value is MISS and key in self._ledger.kept:
            self.last_miss = now

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


class SyncLoad(Load):
    """Two threads."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        super().__init__(url, ledger)
        self._manager = BaseCacheManager(1, redis_url=url, cache_prefix="failover", name="sync")
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(2)]

    def _run(self, n: int) -> None:
        manager = self._manager
        while not self._stop.wait(0.001):
            n += 7
            key, churned, gone = self._keys(n)
            try:
                started = time.monotonic()
                value = manager.get(key, MISS)
                self._judge(key, value, started, gone=gone)
                if n % 3:
                    manager.set(churned, n)
                else:
                    manager.delete(churned)
            except BaseException as error:
                self.exceptions.append(error)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._manager.close()


class AsyncioLoad(Load):
    """Two tasks on an event loop in a thread."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        super().__init__(url, ledger)
        self._threads = [threading.Thread(target=asyncio.run, args=(self._main(),))]

    async def _main(self) -> None:
        async with AsyncCacheManager(
            1, redis_url=self._url, cache_prefix="failover", name="asyncio"
        ) as manager:
            await asyncio.gather(*(self._run(manager, n) for n in range(2)))

    async def _run(self, manager: AsyncCacheManager, n: int) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(0.001)
            n += 7
            key, churned, gone = self._keys(n)
            try:
                started = time.monotonic()
                value = await manager.get(key, MISS)
                self._judge(key, value, started, gone=gone)
                if n % 3:
                    await manager.set(churned, n)
                else:
                    await manager.delete(churned)
            except BaseException as error:
                self.exceptions.append(error)
