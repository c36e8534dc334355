"""The matrix: sync and asyncio managers, over the fake and over real servers of each topology."""

from collections.abc import Iterator

import pytest

from routecache import stats
from tests.books import check_books
from tests.contract.faulty import (
    FaultyCluster,
    FaultyRedis,
    FaultySentinel,
    FaultyValkey,
)
from tests.contract.kinds import ALL
from tests.contract.world import World
from tests.topologies import Cluster, One, Topology, Valkey, WithSentinel

# The shared servers, and those whose outages tests make.
SHARED: dict[str, type[Topology]] = {
    "redis": One,
    "valkey": Valkey,
    "sentinel": WithSentinel,
    "cluster": Cluster,
}
FAULTY: dict[str, type[Topology]] = {
    "redis": FaultyRedis,
    "valkey": FaultyValkey,
    "sentinel": FaultySentinel,
    "cluster": FaultyCluster,
}


@pytest.fixture(autouse=True)
def books_balance() -> Iterator[None]:
    """As everywhere. Then the names of the test are forgotten: each has its own, and with those of
    a thousand tests the check would take longer than the tests."""
    yield
    check_books()
    for name in [name for name in stats._stats if name.startswith("contract")]:
        del stats._stats[name]


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ALL)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Servers:
    """Topologies that are started when a test first asks for one, and kept for all."""

    def __init__(self) -> None:
        self._started: dict[type[Topology], Topology] = {}

    def of(self, topology: type[Topology]) -> Topology:
        if topology not in self._started:
            self._started[topology] = topology()
        return self._started[topology]

    def stop(self) -> None:
        for topology in self._started.values():
            topology.stop()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.stop()


@pytest.fixture
def world(driver: str, kind: str, servers: Servers) -> Iterator[World]:
    """Over servers that are left running. A busy machine must not turn a look-up into a miss."""
    shared = None if kind == "fake" else servers.of(SHARED[kind])
    made = World(driver, kind, shared, {"l2_timeout": 1.0})
    yield made
    made.close()


@pytest.fixture
def frail(driver: str, kind: str, servers: Servers) -> Iterator[World]:
    """Over servers that the test may have fail (`World.fail`); they are mended at its end."""
    faulty = None if kind == "fake" else servers.of(FAULTY[kind])
    made = World(driver, kind, faulty, {"l2_timeout": 0.2})
    yield made
    made.close()
