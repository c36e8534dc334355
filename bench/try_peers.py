"""What docs/migration says of other caches, tried: each line is a claim and what was seen.

Needs a redis-server; who is not installed is left out and named. Not a benchmark: where seconds are
printed, they are those of an outage.
"""

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Any

import redis

from bench.peers import Peers
from tests.topologies import One

_TASKS = 20
_MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_NOBODY = 1  # a port at which nobody listens


def main() -> None:
    """Try whoever is installed."""
    logging.disable(logging.CRITICAL)
    with Peers() as peers, One() as topology:
        port = topology.servers[0].port
        raw = redis.Redis(port=port)
        litellm, cashews = peers.find("litellm.caching"), peers.find("cashews")
        aiocache = peers.find("aiocache")
        if litellm is not None:
            _head("litellm")
            _dual_cache(litellm, raw, port)
        for module, name, tries in (
            (cashews, "cashews", _cashews),
            (aiocache, "aiocache", _aiocache),
        ):
            if module is not None:
                _head(name)
                raw.flushall()
                asyncio.run(tries(module, raw, port))
        if peers.note():
            print(peers.note())


def _head(name: str) -> None:
    print(f"\n{name} {metadata.version(name)}")


def _seen(claim: str, *values: object) -> None:
    print(f"  {claim}: {', '.join(repr(value)[:60] for value in values)}")


def _dual_cache(caching: Any, raw: Any, port: int) -> None:
    def dual(at: int = port, **options: float) -> Any:
        l2 = caching.RedisCache(host="127.0.0.1", port=at)
        return caching.DualCache(caching.InMemoryCache(), l2, **options)

    def left(cache: Any, key: str) -> int:
        seconds: int = round(cache.in_memory_cache.ttl_dict[key] - time.time())
        return seconds

    a, b = dual(default_in_memory_ttl=60), dual(default_in_memory_ttl=60)
    dual(default_in_memory_ttl=60, default_redis_ttl=10).set_cache("two", 1)
    _seen("life in Redis of in_memory 60, redis 10", raw.ttl("two"))
    a.set_cache("k", {"m": 1})
    _seen("on the wire", raw.get("k"))
    raw.expire("k", 5)
    b.get_cache("k")
    _seen("5 s left in Redis, in memory after reading", left(b, "k"))
    a.set_cache("k", {"m": 2})
    _seen("B after A's set", b.get_cache("k"))
    a.delete_cache("k")
    _seen("B after A's delete", b.get_cache("k"))
    a.set_cache("z", 1, ttl=5)
    a.set_cache("z", 2, ttl=60)
    _seen("set for 5 s, then for 60: in memory, in Redis", left(a, "z"), raw.ttl("z"))
    for name, value in (("s", "123"), ("g", "gpt-x"), ("d", _MOMENT)):
        a.set_cache(name, value)
        _seen(f"{value!r} from memory, from Redis", a.get_cache(name), b.get_cache(name))
    down = dual(_NOBODY)
    start = time.monotonic()
    _seen("Redis down, get and its seconds", down.get_cache("x"), time.monotonic() - start)


async def _cashews(cashews: Any, raw: Any, port: int) -> None:
    cache = cashews.Cache()
    cache.setup(f"redis://127.0.0.1:{port}/0")
    await cache.set("k", {"m": 1}, expire=60)
    _seen("on the wire", raw.get("k"))
    await cache.set("n", None, expire=60)
    _seen("a stored None, with a default", await cache.get("n", default="default"))
    await cache.set("t", (1, 2), expire=60)
    _seen("a tuple", await cache.get("t"))
    for protected in (True, False):
        decorate = cache(ttl=60, key=f"{protected}:{{x}}", protected=protected)
        _seen(f"calls of {_TASKS} tasks, protected={protected}", await _calls(decorate))
    nobody = cashews.Cache()
    nobody.setup(f"redis://127.0.0.1:{_NOBODY}/0")
    _seen("Redis down, get", await nobody.get("x", default="default"))
    await cache.close()


async def _aiocache(aiocache: Any, _raw: Any, port: int) -> None:
    cache = aiocache.Cache(aiocache.Cache.REDIS, endpoint="127.0.0.1", port=port)
    await cache.set("n", None, ttl=60)
    _seen("a stored None, with a default", await cache.get("n", default="default"))
    memory = aiocache.Cache(aiocache.Cache.MEMORY)
    for i in range(1001):
        await memory.set(f"k{i}", i)
    _seen("of 1,001 keys in memory are kept", len(memory._cache))  # noqa: SLF001  # has no len

    def key(_function: object, x: object) -> str:
        return f"{x}"

    decorate = aiocache.cached(ttl=60, key_builder=key)
    _seen(f"calls of {_TASKS} tasks", await _calls(decorate))
    calls = 0

    @aiocache.cached(ttl=60, key_builder=key)  # type: ignore[untyped-decorator]
    async def nothing(_x: str) -> None:
        nonlocal calls
        calls += 1

    for _ in range(2):
        await nothing("none")
    _seen("calls of a function that returns None, asked twice", calls)
    nobody = aiocache.Cache(aiocache.Cache.REDIS, endpoint="127.0.0.1", port=_NOBODY)
    try:
        _seen("Redis down, get", await nobody.get("x"))
    except Exception as error:
        _seen("Redis down, get raises", type(error).__name__)
    await cache.close()


async def _calls(decorate: Callable[[Any], Callable[[int], Awaitable[int]]]) -> int:
    """How often a decorated function runs when many tasks call it at once."""
    calls = 0

    async def slow(x: int) -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.05)
        return x

    decorated = decorate(slow)
    await asyncio.gather(*(decorated(1) for _ in range(_TASKS)))
    return calls


if __name__ == "__main__":
    main()
