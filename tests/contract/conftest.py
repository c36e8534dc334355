"""Each L2 that the contract suite runs on: the public fake, and a real Redis or Valkey."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from routecache import BaseCacheManager, Policy
from routecache.testing import FakeRemote, ManualTimer
from tests.contract.world import World
from tests.helpers import eventually
from tests.servers import RedisServer

_prefixes = itertools.count(1)


@pytest.fixture(params=["fake", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    timer = ManualTimer()
    prefix = f"contract{next(_prefixes)}"
    made: list[BaseCacheManager] = []
    where: dict[str, Any]
    if request.param == "fake":
        where = {"redis_client": FakeRemote(timer)}
    else:
        server: RedisServer = request.getfixturevalue("shared_redis")
        where = {"redis_url": server.url}

    def make(**options: Any) -> BaseCacheManager:
        merged: dict[str, Any] = {
            "cache_prefix": prefix,
            "name": f"{prefix}.{len(made)}",
            "timer": timer,
            # A busy machine must not turn a look-up into a miss.
            "policy": Policy(l2_timeout=1.0),
        }
        merged.update(where)
        merged.update(options)
        manager = BaseCacheManager(**merged)
        made.append(manager)
        # When a listener connects, what is under way begins anew; no test is about that moment.
        assert eventually(lambda: manager.core.hears is not False, 10)
        return manager

    yield World(request.param, timer, prefix, make)
    for manager in made:
        manager.close()
