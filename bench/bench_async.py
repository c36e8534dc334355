"""What tasks pay for the Redis tier: one GET, 32 and 500 at once, against redis.asyncio.

    python bench/bench_async.py [--quick] [--json] [--check] [--collect]

A private Redis server runs beside the benchmark and answers on a Unix socket; every value has
about 200 bytes. All contestants run in one event loop. "At once" is one task each, under one
`asyncio.gather`, whose price is in every figure.

If redis-server and redis-cli are installed, 32 at once are also measured behind Sentinel and over
a cluster of three primaries, on TCP, against redis.asyncio's clients for these, and against our
own sync transport in threads, which is how asyncio managers once reached them.

redis.asyncio's default pool makes at most 100 connections and raises for the tasks beyond that,
so that its 500 at once are measured on its blocking pool.

Timed by the wall, since the server's time belongs to it; a second table has the CPU time of the
client alone, which is what a program pays in throughput.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.interleave import Clock, Contestant, Result, compete
from bench.private_redis import private_redis
from routecache.remote import endpoint as endpoints
from routecache.remote.aio_server import AsyncServerTransport
from routecache.remote.topology import async_transport_for, transport_for
from tests.topologies import SERVICE, Cluster, WithSentinel

VALUE: Final = b"x" * 200
MANY: Final = 500
PATIENCE: Final = 10.0  # seconds; a disturbed machine must not turn a hit into a failure
# How many tasks at once, and the ratio to redis.asyncio that is to be kept there.
CROWDS: Final = ((1, 1.1), (32, 0.5), (MANY, 0.5))
CROWD: Final = 32


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a look-up went astray, or with `--check` a goal missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("async", options)
    with private_redis() as server, asyncio.Runner() as runner:
        bench = _Bench(server.url, runner, options, result)
        for crowd, goal in CROWDS:
            bench.measure(crowd, goal)
        bench.too_many()
        runner.run(bench.close())
        result.note(f"values of {len(VALUE)} bytes, server: {server.server}")
    if all(map(shutil.which, ("redis-server", "redis-cli"))):
        with WithSentinel() as sentinel:
            _measure_moving(
                "behind Sentinel", sentinel.url, _of_sentinel(sentinel), options, result
            )
        with Cluster() as cluster:
            _measure_moving("in a cluster", cluster.url, _of_cluster(cluster), options, result)
    else:
        result.note("Sentinel and cluster were left out: redis-server or redis-cli is missing")
    return result.finish()


class _Bench:
    """The private server's clients, and one measurement for each size of a crowd."""

    def __init__(
        self, url: str, runner: asyncio.Runner, options: report.Options, result: report.Report
    ) -> None:
        self._url = url
        self._runner = runner
        self._options = options
        self._result = result
        self._keys = [f"key:{i:04d}" for i in range(MANY)]
        with redis.Redis.from_url(url) as client:
            client.mset(dict.fromkeys(self._keys, VALUE))
        self._endpoint = endpoints.acquire(url, None)
        self._transport = AsyncServerTransport(self._endpoint)
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, protocol=2, timeout=PATIENCE)
        self._theirs = redis.asyncio.Redis.from_pool(pool)

    async def _our_get(self, key: str) -> bytes:
        replies = await self._transport.execute("get", time.monotonic() + PATIENCE, (("GET", key),))
        assert replies[0] == VALUE, replies
        return VALUE

    async def _their_get(self, key: str) -> bytes:
        value = await self._theirs.get(key)
        assert value == VALUE, value
        return VALUE

    def _contestant(
        self, name: str, get: Callable[[str], Awaitable[bytes]], crowd: int
    ) -> Contestant:
        keys = self._keys[:crowd]
        rounds = max(1, 64 // crowd)

        async def ask() -> None:
            for _ in range(rounds):
                if crowd == 1:
                    await get(keys[0])
                else:
                    await asyncio.gather(*map(get, keys))

        return Contestant(name, lambda: self._runner.run(ask()), rounds * crowd)

    def measure(self, crowd: int, goal: float) -> None:
        """So many tasks at once, by time on the wall and by the client's CPU time."""
        baseline = "redis.asyncio GET"
        contestants = [
            self._contestant(baseline, self._their_get, crowd),
            self._contestant("routecache's transport", self._our_get, crowd),
        ]
        if crowd > 1:
            contestants.append(self._pipeline(crowd))
        results = self._compete(contestants, 6.0)
        title = f"{crowd} at once, relative to {baseline}"
        self._result.results(title, results, "µs")
        by_cpu = self._compete(contestants, 3.0, time.thread_time)
        self._result.results(f"{title}, the client's CPU time", by_cpu, "µs")
        ratio = results[1].ratio.median
        self._result.goal(f"ratio to redis.asyncio, {crowd} at once", ratio, goal)

    def _pipeline(self, crowd: int) -> Contestant:
        keys = self._keys[:crowd]

        async def ask() -> None:
            pipeline = self._theirs.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            assert await pipeline.execute() == [VALUE] * crowd

        return Contestant("redis.asyncio pipeline, one task", lambda: self._run(ask()), crowd)

    def _run(self, main: Any) -> None:
        self._runner.run(main)

    def _compete(
        self, contestants: list[Contestant], share: float, clock: Clock = time.perf_counter
    ) -> list[Result]:
        return compete(
            contestants,
            contestants[0].name,
            self._options.seconds(share),
            clock=clock,
            collect=self._options.collect,
        )

    def too_many(self) -> None:
        """How many of 500 at once redis.asyncio's default pool turns away, and how many we do."""

        async def ask() -> int:
            async with redis.asyncio.Redis.from_url(self._url, protocol=2) as client:
                asked = (client.get(key) for key in self._keys)
                replies = await asyncio.gather(*asked, return_exceptions=True)
            return sum(isinstance(reply, Exception) for reply in replies)

        turned_away = self._runner.run(ask())
        self._result.note(
            f"redis.asyncio's default pool raised for {turned_away} of {MANY} tasks at once, "
            f"routecache's transport for none"
        )

    async def close(self) -> None:
        """End all connections."""
        self._result.must(
            self._endpoint.breaker.state == "closed", "the circuit opened beside a sound server"
        )
        await self._transport.aclose()
        endpoints.release(self._endpoint)
        await self._theirs.aclose()


def _of_sentinel(topology: WithSentinel) -> Any:
    make: Any = redis.asyncio.Sentinel  # untyped
    sentinel = make(
        [("127.0.0.1", server.port) for server in topology.sentinels],
        sentinel_kwargs={"password": topology.sentinel_password},
        password=topology.password,
        protocol=2,
    )
    return sentinel.master_for(SERVICE)


def _of_cluster(topology: Cluster) -> Any:
    nodes = [ClusterNode("127.0.0.1", server.port) for server in topology.servers[:3]]
    return redis.asyncio.RedisCluster(startup_nodes=nodes, protocol=2)


def _measure_moving(
    where: str, url: str, theirs: Any, options: report.Options, result: report.Report
) -> None:
    """One GET and 32 at once, ours and redis.asyncio's, and our sync transport in threads."""
    endpoint = endpoints.acquire(url, None)
    sync, ours = transport_for(endpoint), async_transport_for(endpoint)
    keys = [f"key:{i:04d}" for i in range(CROWD)]
    stored = sync.execute("set", time.monotonic() + PATIENCE, [("SET", key, VALUE) for key in keys])
    result.must(stored == [b"OK"] * CROWD, f"{where}: the values could not be stored")

    async def their_get(key: str) -> bytes:
        value: bytes = await theirs.get(key)
        return value

    async def our_get(key: str) -> bytes:
        deadline = time.monotonic() + PATIENCE
        return bytes((await ours.execute("get", deadline, (("GET", key),)))[0])

    async def threaded_get(key: str) -> bytes:
        deadline = time.monotonic() + PATIENCE
        replies = await asyncio.to_thread(sync.execute, "get", deadline, (("GET", key),))
        return bytes(replies[0])

    with asyncio.Runner() as runner:

        def contestant(name: str, get: Callable[[str], Awaitable[bytes]], crowd: int) -> Contestant:
            rounds = 64 // crowd

            async def ask() -> None:
                for _ in range(rounds):
                    assert await asyncio.gather(*map(get, keys[:crowd])) == [VALUE] * crowd

            return Contestant(name, lambda: runner.run(ask()), rounds * crowd)

        for crowd in (1, CROWD):
            contestants = [
                contestant("redis.asyncio GET", their_get, crowd),
                contestant("routecache's transport", our_get, crowd),
                contestant("the sync transport in threads", threaded_get, crowd),
            ]
            for clock, suffix in ((time.perf_counter, ""), (time.process_time, ", CPU time")):
                seconds = options.seconds(6.0)
                results = compete(
                    contestants,
                    contestants[0].name,
                    seconds,
                    clock=clock,
                    collect=options.collect,
                )
                title = f"{crowd} at once {where}, relative to redis.asyncio GET{suffix}"
                result.results(title, results, "µs")
        runner.run(ours.aclose())
        runner.run(theirs.aclose())
    result.must(sync.available, f"{where}: the circuit opened beside sound servers")
    endpoints.release(endpoint)


if __name__ == "__main__":
    raise SystemExit(main())
