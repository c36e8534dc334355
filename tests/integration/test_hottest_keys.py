"""What real servers tell of their hottest keys, under each policy and where the question is
forbidden."""

import math
from collections.abc import Iterator

import pytest
import redis

from routecache import BaseCacheManager, Policy
from tests.helpers import eventually
from tests.servers import RedisServer

CALM = Policy(l2_timeout=5.0)


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as made:
        yield made


def manager(server: RedisServer, name: str, size: int = 100) -> BaseCacheManager:
    return BaseCacheManager(
        size, cache_prefix="hottest", name=name, redis_url=server.url, policy=CALM
    )


def asked_for(server: RedisServer) -> set[str]:
    """The keys that a new process takes, which has room for two of twenty."""
    with manager(server, "hottest.new", 2) as new:
        result = new.warm()
        assert (result.from_l2, result.complete) == (2, True)
        assert new.redis_available
        return {key for key in (f"k{i}" for i in range(20)) if new.core.local.peek(key, -math.inf)}


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize("policy", ["allkeys-lfu", "volatile-lfu"])
def test_under_an_lfu_policy_what_is_read_most_comes_first(
    redis_server: RedisServer, client: redis.Redis, policy: str
) -> None:
    client.config_set("maxmemory-policy", policy)
    client.config_set("lfu-log-factor", 0)
    with manager(redis_server, "hottest.old") as old:
        old.set_many({f"k{i}": i for i in range(20)})
        for _ in range(60):
            client.get("hottest:v1:{k3}")
            client.get("hottest:v1:{k17}")
        assert asked_for(redis_server) == {"k3", "k17"}


@pytest.mark.needs("redis-server")
def test_under_any_other_policy_what_was_read_again_comes_first(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    with manager(redis_server, "hottest.old") as old:
        old.set_many({f"k{i}": i for i in range(20)})

        def read_again() -> bool:
            """Until the server's clock, which counts idle seconds, has gone on by three."""
            client.get("hottest:v1:{k3}")
            client.get("hottest:v1:{k17}")
            return int(client.object("idletime", "hottest:v1:{k0}")) >= 3

        eventually(read_again)
        assert asked_for(redis_server) == {"k3", "k17"}


@pytest.mark.needs("redis-server")
def test_where_the_question_is_forbidden_the_cache_goes_on_and_takes_what_lives_longest(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    client.acl_setuser("default", enabled=True, nopass=True, commands=["-object"])
    with manager(redis_server, "hottest.old") as old:
        for i in range(20):
            old.set(f"k{i}", i, ttl=100 + i)
        assert asked_for(redis_server) == {"k18", "k19"}
