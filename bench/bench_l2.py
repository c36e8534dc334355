"""What the Redis tier costs: hit, tagged hit, set, batches and an open circuit, against peers.

    python bench/bench_l2.py [--quick] [--json] [--check] [--collect]

A private Redis server runs beside the benchmark and answers on a Unix socket; every value has
about 200 bytes of JSON. To make each look-up of routecache an L2 hit, its L1 holds one entry and
the keys alternate, so a figure contains the promotion into L1 and an eviction from it. The
benchmark fails if one of these look-ups was answered by L1 or missed.

Timed by the wall, since the server's time belongs to it; a second table has the CPU time of the
client alone, which is what a program pays in throughput.
"""

import itertools
import logging
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.interleave import Clock, Contestant, Result, compete
from bench.peers import Peers
from bench.private_redis import private_redis
from routecache import BaseCacheManager, Policy
from routecache_exporters.demo.embedded import EmbeddedRedis

KEYS: Final = 50
BATCH: Final = 20
TTL: Final = 300
OPEN_GOAL: Final = 20.0  # µs
VALUE: Final = {
    "model": "large-2025-01",
    "provider": "northwind",
    "reasons": ["context fits", "cheapest healthy", "tenant allows"],
    "score": 0.8125,
    "limits": {"tokens": 128000, "rpm": 3000, "usd": 0.25},
    "retries": 2,
    "note": "x" * 17,
}
PATIENT: Final = Policy(l2_timeout=1.0)  # a disturbed machine must not turn a hit into a miss

GET: Final = "redis-py GET"
DIRECT: Final = "redis-py Connection, used directly"
SET: Final = "orjson + redis-py SET"
MGET: Final = f"redis-py MGET of {BATCH} + orjson"
OFF: Final = "miss, Redis off"
OPEN: Final = "miss, circuit open"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a look-up went astray, or with `--check` a goal missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("l2", options)
    with private_redis() as server, Peers() as peers:
        bench = _Bench(server, peers, options, result)
        bench.hits()
        bench.sets()
        bench.batches()
        bench.check()
        bench.circuit()
        result.note(f"values of {len(orjson.dumps(VALUE))} bytes, server: {server.server}")
        result.note(peers.note())
    return result.finish()


class _Bench:
    """The private server's clients, and one measurement for each question."""

    def __init__(
        self,
        server: EmbeddedRedis,
        peers: Peers,
        options: report.Options,
        result: report.Report,
    ) -> None:
        self._server = server
        self._options = options
        self._result = result
        self._keys = [f"key:{i:04d}" for i in range(KEYS)]
        self._region_keys = [f"dogpile:{key}" for key in self._keys]
        self._client = redis.Redis.from_url(server.url)
        peers.callback(self._client.close)
        for key in self._keys:
            self._client.set(key, orjson.dumps(VALUE), px=TTL * 1000)
        self._l2 = self._manager("l2", 1)
        self._tagged = self._manager("tagged", 1)
        self._l1 = self._manager("l1", KEYS)
        self._l2.set_many(dict.fromkeys(self._keys, VALUE))
        self._tagged.set_many(dict.fromkeys(self._keys, VALUE), tags=("provider:northwind",))
        self._l1.set_many(dict.fromkeys(self._keys, VALUE))
        self._region: Any = None
        if (dogpile := peers.find("dogpile.cache")) is not None:
            self._region = dogpile.make_region().configure(
                "dogpile.cache.redis",
                arguments={"url": server.url, "redis_expiration_time": TTL},
            )
            self._region.set_multi(dict.fromkeys(self._region_keys, VALUE))

    def _manager(self, name: str, l1_maxsize: int) -> BaseCacheManager:
        return BaseCacheManager(
            l1_maxsize, cache_prefix=f"bench:{name}", redis_url=self._server.url, policy=PATIENT
        )

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

    def hits(self) -> None:
        """An L2 hit, by time on the wall and by the client's CPU time."""
        keys, client, l1, l2, tagged = self._keys, self._client, self._l1, self._l2, self._tagged

        def client_get() -> None:
            for key in keys:
                client.get(key)

        def client_get_orjson() -> None:
            for key in keys:
                orjson.loads(client.get(key))  # type: ignore[arg-type]

        def l2_hit() -> None:
            for key in keys:
                l2.get(key)

        def tagged_hit() -> None:
            for key in keys:
                tagged.get(key)

        def l1_hit() -> None:
            for key in keys:
                l1.get(key)

        path = self._server.url.removeprefix("unix://")
        contestants = [
            Contestant(GET, client_get, KEYS),
            Contestant("redis-py GET + orjson", client_get_orjson, KEYS),
            Contestant(DIRECT, _direct(path, keys), KEYS),
            Contestant("a bare socket GET", _bare(path, keys), KEYS),
            Contestant("routecache L2 hit", l2_hit, KEYS),
            Contestant("routecache L2 hit, tagged", tagged_hit, KEYS),
            Contestant("routecache L1 hit", l1_hit, KEYS),
        ]
        if (region := self._region) is not None:

            def dogpile_get() -> None:
                for key in self._region_keys:
                    region.get(key)

            contestants.append(Contestant("dogpile redis region", dogpile_get, KEYS))
        by_wall = self._compete(contestants, 9.0)
        by_cpu = self._compete(contestants, 5.0, clock=time.thread_time)
        self._result.results(f"L2 hit, relative to {GET}", by_wall, "µs")
        self._result.results(f"L2 hit, the client's CPU time, relative to {GET}", by_cpu, "µs")
        wall = {r.name: r.seconds.median for r in by_wall}
        self._result.note(
            f"an L2 hit takes {wall['routecache L2 hit'] / wall['routecache L1 hit']:.0f} times as "
            f"long as an L1 hit; redis-py's GET {wall[GET] / wall[DIRECT]:.2f} times as long as on "
            f"its Connection"
        )

    def sets(self) -> None:
        """A set of one value."""
        keys, client, l2, tagged = self._keys, self._client, self._l2, self._tagged

        def client_set() -> None:
            for key in keys:
                client.set(key, orjson.dumps(VALUE), px=TTL * 1000)

        def ours() -> None:
            for key in keys:
                l2.set(key, VALUE)

        def ours_tagged() -> None:
            for key in keys:
                tagged.set(key, VALUE, tags=("provider:northwind",))

        contestants = [
            Contestant(SET, client_set, KEYS),
            Contestant("routecache set", ours, KEYS),
            Contestant("routecache set, tagged", ours_tagged, KEYS),
        ]
        if (region := self._region) is not None:

            def dogpile_set() -> None:
                for key in self._region_keys:
                    region.set(key, VALUE)

            contestants.append(Contestant("dogpile redis region", dogpile_set, KEYS))
        self._result.results(f"set, relative to {SET}", self._compete(contestants, 5.0), "µs")

    def batches(self) -> None:
        """20 keys at once against 20 times one key."""
        client, l2 = self._client, self._l2
        # Two sets of keys in turn, so that what L1 still holds of one is not in the other.
        halves = self._keys[:BATCH], self._keys[BATCH : 2 * BATCH]
        mappings = [dict.fromkeys(half, VALUE) for half in halves]

        def mget() -> None:
            for half in halves:
                for payload in client.mget(half):
                    assert payload is not None
                    orjson.loads(payload)

        def one_by_one() -> None:
            for key in itertools.chain(*halves):
                l2.get(key)

        def get_many() -> None:
            for half in halves:
                l2.get_many(half)

        def set_one_by_one() -> None:
            for mapping in mappings:
                for key, value in mapping.items():
                    l2.set(key, value)

        def set_many() -> None:
            for mapping in mappings:
                l2.set_many(mapping)

        contestants = [
            Contestant(MGET, mget, 2),
            Contestant(f"routecache get_many of {BATCH}", get_many, 2),
            Contestant(f"routecache get, {BATCH} times", one_by_one, 2),
            Contestant(f"routecache set_many of {BATCH}", set_many, 2),
            Contestant(f"routecache set, {BATCH} times", set_one_by_one, 2),
        ]
        self._result.results(
            f"{BATCH} keys, relative to {MGET}", self._compete(contestants, 5.0), "µs"
        )

    def check(self) -> None:
        """Every look-up that was meant to reach L2 did, and was answered there."""
        for manager in (self._l2, self._tagged):
            stats = manager.get_stats()
            self._result.must(
                stats["requests"] == stats["l2_hits"] > 0 and not stats["errors"],
                f"{manager.name}: not all look-ups were L2 hits: {stats}",
            )

    def circuit(self) -> None:
        """A miss while the circuit is open, against one without Redis; stops the server."""
        absent = [f"absent:{i:04d}" for i in range(KEYS)]
        cut_off = BaseCacheManager(
            KEYS, cache_prefix="bench:open", redis_url=self._server.url, policy=PATIENT
        )
        alone = BaseCacheManager(KEYS, enable_redis=False, cache_prefix="bench:off")
        logging.getLogger("routecache").setLevel(logging.ERROR)  # the outage is meant
        self._server.stop()
        while cut_off.redis_available:
            cut_off.get(absent[0])

        def off() -> None:
            for key in absent:
                alone.get(key)

        def circuit_open() -> None:
            for key in absent:
                cut_off.get(key)

        contestants = [Contestant(OFF, off, KEYS), Contestant(OPEN, circuit_open, KEYS)]
        results = self._compete(contestants, 3.0, clock=time.thread_time)
        self._result.results(f"a look-up during an outage, relative to {OFF}", results, "µs")
        more = (results[1].seconds.median - results[0].seconds.median) * 1e6
        self._result.goal("µs that an open circuit adds to a miss", more, OPEN_GOAL)
        self._result.must(not cut_off.redis_available, "the circuit closed without a server")


def _direct(path: str, keys: Sequence[str]) -> Callable[[], None]:
    make: Any = redis.UnixDomainSocketConnection  # redis-py leaves it untyped
    connection = make(path=path, protocol=2)
    connection.connect()

    def batch() -> None:
        for key in keys:
            connection.send_command("GET", key)
            connection.read_response()

    return batch


def _bare(path: str, keys: Sequence[str]) -> Callable[[], None]:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    commands = [f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode() for key in keys]

    def batch() -> None:
        for command in commands:
            connection.sendall(command)
            connection.recv(4096)

    return batch


if __name__ == "__main__":
    raise SystemExit(main())
