"""What docs/redis.md says a user of Redis has to be allowed is enough, on every kind of server."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from routecache import (
    MISS,
    AsyncCacheManager,
    BaseCacheManager,
    Policy,
    RoutingCache,
    RoutingSettings,
)
from tests.helpers import eventually
from tests.pages_code import ROOT, blocks
from tests.topologies import Cluster, One, Topology, Valkey, WithSentinel

PAGE = ROOT / "docs/redis.md"
PATIENT = Policy(l2_timeout=5.0)
# A client library's name, which servers from Redis 7.2 on may be told and nothing depends on.
HARMLESS = {"client|setinfo"}

NEEDED = pytest.mark.needs("redis-server", "redis-cli")


@pytest.fixture(
    params=[
        pytest.param(One, marks=NEEDED),
        Valkey,
        pytest.param(WithSentinel, marks=NEEDED),
        pytest.param(Cluster, marks=NEEDED),
    ]
)
def topology(request: pytest.FixtureRequest) -> Iterator[Topology]:
    with request.param() as made:
        yield made


def rules() -> list[str]:
    """The words of the page's user."""
    (line,) = (block.text for block in blocks(PAGE, "") if block.text.startswith("ACL SETUSER"))
    return line.replace(">PASSWORD", ">of-the-router").split()


def test_the_user_of_the_page_is_refused_nothing(topology: Topology) -> None:
    servers = topology.data if isinstance(topology, WithSentinel) else topology.servers
    for server in servers:
        server.ask(*rules())
    url = re.sub(r"//(:[^@]*@)?", "//router:of-the-router@", topology.url, count=1)
    use(url)
    asyncio.run(use_awaited(url))
    use_routing(url)
    assert refused(servers) <= HARMLESS


def use(url: str) -> None:
    """All that a manager asks of Redis, another one listening."""
    made = [
        BaseCacheManager(cache_prefix="prices", name=name, redis_url=url, policy=PATIENT)
        for name in ("writes", "reads")
    ]
    one, other = made
    try:
        eventually(lambda: one.core.hears and other.core.hears)
        one.set_many({"a": 1, "b": 2}, tags=["t"])
        assert one.get_or_load("c", lambda: 3, tags=["t"]) == 3
        assert other.get_many(["a", "b", "c"]) == {"a": 1, "b": 2, "c": 3}
        one.invalidate_tags("t")
        eventually(lambda: other.get("c", MISS) is MISS)
        one.set("a", 1)
        assert one.delete("a")
        assert not one.delete("never there")
        one.explain("a")
        one.set_many({f"k{n}": n for n in range(5)})
        assert other.warm().from_l2 == 5
        assert other.warm(["new"], loader=lambda key: key).loaded == 1
        assert one.clear()
        assert [cache.get_stats()["errors"] for cache in made] == [0, 0]
    finally:
        for cache in made:
            cache.close()


async def use_awaited(url: str) -> None:
    async with AsyncCacheManager(
        cache_prefix="prices", name="awaited", redis_url=url, policy=PATIENT
    ) as cache:
        await cache.set("a", 1, tags=["t"])
        assert await cache.get_or_load("b", lambda: 2, tags=["t"]) == 2
        await cache.invalidate_tags("t")
        await cache.delete("a")
        await cache.warm()
        assert (await cache.warm(["new"], loader=lambda key: key)).loaded == 1
        assert await cache.clear()
        assert cache.get_stats()["errors"] == 0


def use_routing(url: str) -> None:
    with RoutingCache(RoutingSettings(redis_url=url)) as routing:
        routing.set_provider_status("openai", "up")
        routing.get_model_selection({"n": 1}, loader=lambda: "m", providers=["openai"])
        routing.report_provider_health("openai", healthy=False)
        routing.clear_all()


def refused(servers: Any) -> set[str]:
    """What any of them refused anybody, by its own log."""
    entries = [entry for server in servers for entry in server.ask("ACL", "LOG")]
    plain = [{_text(name): _text(value) for name, value in entry.items()} for entry in entries]
    return {entry["object"] for entry in plain}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize("left_out", ["+unlink", "~prices:*", "+scan"])
def test_a_user_who_lacks_something_is_noticed(left_out: str) -> None:
    """So the test above can fail."""
    with One() as redis:
        redis.primary().ask(*(word for word in rules() if word != left_out))
        url = redis.url.replace("//", "//router:of-the-router@")
        with BaseCacheManager(
            cache_prefix="prices", name="lacks", redis_url=url, policy=PATIENT
        ) as cache:
            cache.set("a", 1)
            cache.clear()
        assert refused(redis.servers) - HARMLESS


@pytest.mark.needs("redis-server")
def test_an_evicted_tag_no_longer_hides_what_it_invalidated() -> None:
    """The page's reason for `noeviction`."""
    with (
        One() as redis,
        BaseCacheManager(
            cache_prefix="prices", name="evicted", redis_url=redis.url, policy=PATIENT
        ) as cache,
    ):
        cache.get_or_load("k", lambda: "old", tags=["t"])
        cache.invalidate_tags("t")
        assert cache.get("k", MISS) is MISS
        assert redis.primary().ask("DEL", "prices:tag:t") == 1
        eventually(lambda: cache.get("k", MISS) == "old")


@pytest.mark.needs("redis-server")
def test_a_full_redis_that_evicts_nothing_refuses_writes_and_answers_all_else() -> None:
    with (
        One() as redis,
        BaseCacheManager(
            cache_prefix="prices", name="full", redis_url=redis.url, policy=PATIENT
        ) as one,
        BaseCacheManager(
            cache_prefix="prices", name="beside", redis_url=redis.url, policy=PATIENT
        ) as other,
    ):
        eventually(lambda: one.core.hears and other.core.hears)
        one.get_or_load("tagged", lambda: "old", tags=["t"])
        assert other.get("tagged") == "old"
        ask = redis.primary().ask
        ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        ask("CONFIG", "SET", "maxmemory", "1")
        one.set("set", 2)
        eventually(lambda: one.get("set", MISS) is MISS)
        one.invalidate_tags("t")
        assert one.get("tagged", MISS) is MISS
        assert one.get_or_load("loaded", lambda: 3) == one.get("loaded") == 3
        assert one.get_stats()["errors"] > 0
        ask("CONFIG", "SET", "maxmemory", "0")
        eventually(lambda: other.get("tagged", MISS) is MISS)


@pytest.mark.needs("redis-server")
def test_the_connections_of_a_process_are_as_many_as_the_page_says() -> None:
    with One() as redis, contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(
                BaseCacheManager(cache_prefix=f"c{n}", redis_url=redis.url, policy=PATIENT)
            )
            for n in range(4)
        ]
        eventually(lambda: all(cache.core.hears for cache in made))
        idle = connections(redis)
        # The first that was made and the listener's; one more if that was in use for a moment.
        assert 1 + 2 <= idle <= 2 + 2
        with ThreadPoolExecutor(200) as pool:
            start = threading.Barrier(200)
            list(pool.map(partial(ask_much, made, start), range(200)))
        busy = connections(redis)
        assert idle < busy <= 50 + 2
        assert asyncio.run(with_tasks(redis, made)) == busy + 1


def ask_much(made: list[BaseCacheManager], start: threading.Barrier, n: int) -> None:
    start.wait()
    for k in range(20):
        made[n % 4].get(f"{n} {k}")


async def with_tasks(redis: One, made: list[BaseCacheManager]) -> int:
    faces = [AsyncCacheManager.from_sync(cache) for cache in made]
    await asyncio.gather(*(faces[n % 4].get(f"task {n}") for n in range(500)))
    seen = connections(redis)
    for face in faces:
        await face.close()
    return seen


def connections(redis: One) -> int:
    """Of all clients but the one that asks."""
    return len(bytes(redis.primary().ask("CLIENT", "LIST")).splitlines()) - 1
