"""Cancellation: 10,000 tasks cancelled at random points leave nothing behind.

Tasks set, get, load, delete and read batches. About half of them are to be cancelled, after a few
turns of the event loop or within 10 ms, and one of seven has an `asyncio.timeout` of up to 5 ms;
who is done before has luck.
On one server, behind Sentinel and in a cluster.
"""

import asyncio
import contextlib
import random
from typing import Any, Final

from bench.prove.findings import Findings
from routecache import MISS, AsyncCacheManager, Policy, snapshot
from routecache.tiered._core import LEASE_MS
from tests.helpers import eventually
from tests.topologies import Cluster, One, Topology, WithSentinel

TASKS: Final = 10_000
AT_ONCE: Final = 200
KEYS: Final = 97
TOPOLOGIES: Final[dict[str, type[Topology]]] = {
    "one server": One,
    "Sentinel": WithSentinel,
    "cluster": Cluster,
}
# Cancellation shall meet calls that wait, and not calls that have timed out.
POLICY: Final = Policy(l2_timeout=5.0)


def prove(findings: Findings) -> None:
    """The storm on each topology."""
    for n, (name, topology) in enumerate(TOPOLOGIES.items()):
        findings.case = f"{TASKS:,} tasks, {name}"
        findings.advance(n / len(TOPOLOGIES), name)
        with topology() as servers:
            Storm(findings, servers, name).run()


class Storm:
    """10,000 tasks on one manager, and what they leave."""

    def __init__(self, findings: Findings, topology: Topology, name: str) -> None:
        self._findings = findings
        self._topology = topology
        self._prefix = f"storm.{name.replace(' ', '.')}"
        self._chance = random.Random(findings.seed)
        self._wrong: list[tuple[str, Any]] = []
        self._errors: list[BaseException] = []
        self._left: list[int] = []
        self._ended = self._cancelled = self._timed_out = 0

    def run(self) -> None:
        """Rage, then look at what is left."""
        before, after = asyncio.run(self._rage())
        findings = self._findings
        (cache,) = [c for c in snapshot().caches if c.name == self._prefix]
        findings.must("wrong values", len(self._wrong), "=", 0)
        findings.must("exceptions of other kinds", len(self._errors), "=", 0)
        findings.must("tasks cancelled or timed out", self._cancelled + self._timed_out, "≥",
                      TASKS // 10)  # fmt: skip
        findings.saw("of these by asyncio.timeout", self._timed_out)
        findings.must("tasks that ended", self._ended, "≥", TASKS // 10)
        # One more for each server: the background, which has L2 forget what interrupted writes did.
        extra = after - before
        findings.must("connections more than before", extra, "≤", len(self._topology.servers))
        findings.must("loads in flight", cache.loads_in_flight, "=", 0)
        self._leases(findings)

    async def _rage(self) -> tuple[int, int]:
        async with AsyncCacheManager(
            redis_url=self._topology.url, cache_prefix=self._prefix, policy=POLICY
        ) as cache:
            await asyncio.gather(*(cache.set(f"k{n}", f"k{n}") for n in range(KEYS)))
            await asyncio.gather(*(cache.get_or_load(f"k{n}", str) for n in range(KEYS)))
            before = await asyncio.to_thread(self._connections)
            for start in range(0, TASKS, AT_ONCE):
                await self._gust(cache, start)
            self._left = await asyncio.to_thread(self._lease_lives)
            for n in range(KEYS):
                value = await cache.get_or_load(f"k{n}", lambda n=n: f"k{n}")  # type: ignore[misc]
                self._judge(f"k{n}", value)
            after = await asyncio.to_thread(self._settled, before)
        return before, after

    async def _gust(self, cache: AsyncCacheManager, start: int) -> None:
        loop, chance = asyncio.get_running_loop(), self._chance
        tasks = [loop.create_task(self._use(cache, n)) for n in range(start, start + AT_ONCE)]
        for task in tasks:
            fate = chance.random()
            if fate < 0.25:
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                task.cancel()
            elif fate < 0.5:
                loop.call_later(chance.random() * 0.01, task.cancel)
        for outcome in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60):
            if isinstance(outcome, asyncio.CancelledError):
                self._cancelled += 1
            elif isinstance(outcome, BaseException):
                self._errors.append(outcome)

    async def _use(self, cache: AsyncCacheManager, n: int) -> None:
        limit = self._chance.random() * 0.005 if n % 7 == 0 else None
        try:
            async with asyncio.timeout(limit):
                await self._call(cache, f"k{n % KEYS}", n % 5)
        except TimeoutError:
            self._timed_out += 1
        else:
            self._ended += 1

    async def _call(self, cache: AsyncCacheManager, key: str, kind: int) -> None:
        async def load() -> str:
            await asyncio.sleep(0)
            return key

        if kind == 0:
            await cache.set(key, key)
        elif kind == 1:
            await cache.delete(key)
        elif kind == 2:
            self._judge(key, await cache.get_or_load(key, load))
        elif kind == 3:
            self._judge(key, await cache.get(key, MISS))
        else:
            others = [f"k{self._chance.randrange(KEYS)}" for _ in range(5)]
            for name, value in (await cache.get_many([key, *others])).items():
                self._judge(name, value)

    def _judge(self, key: str, value: object) -> None:
        if value is not MISS and value != key:
            self._wrong.append((key, value))

    def _connections(self) -> int:
        return sum(
            len(server.ask("CLIENT", "LIST").splitlines()) for server in self._topology.servers
        )

    def _settled(self, before: int) -> int:
        """The number of connections, once those that cancelled calls closed are gone."""
        with contextlib.suppress(AssertionError):
            eventually(lambda: self._connections() <= before, 3)
        return self._connections()

    # A lease that a cancelled load left ends by itself.

    def _lease_lives(self) -> list[int]:
        """Milliseconds that each lease has left; negative for one that would never end."""
        lives: list[int] = []
        topology = self._topology  # a replica of a cluster answers MOVED
        for server in (
            topology.primaries() if isinstance(topology, Cluster) else [topology.primary()]
        ):
            leases = server.ask("KEYS", f"{self._prefix}:lease:*")
            lives += [int(server.ask("PTTL", lease)) for lease in leases]
        return [life for life in lives if life != -2]  # which has ended meanwhile

    def _leases(self, findings: Findings) -> None:
        lives = self._left
        findings.saw("leases left for the moment", len(lives))
        findings.must("the longest of them lives", max(lives, default=0), "≤", LEASE_MS, "ms")
        findings.must("the shortest of them lives", min(lives, default=0), "≥", 0, "ms")
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self._lease_lives(), LEASE_MS / 1000 + 1, 0.5)
        findings.must("leases left after their time", len(self._lease_lives()), "=", 0)
