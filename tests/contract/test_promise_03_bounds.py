"""Promise 3: an outage costs a bounded delay, and no call raises because of L2.

The bounds are generous: they tell a bounded call from one that hangs (a dripped reply would take
most of a minute), not a fast machine from a slow one. `bench/` measures.
"""

import threading
from typing import Any

import pytest

from routecache import MISS
from routecache.remote.cluster import Cluster
from tests.contract.kinds import REAL, on
from tests.contract.world import Blocking, World, gone, in_thread
from tests.helpers import eventually

pytestmark = pytest.mark.promise(3)

BOUND = 5.0  # seconds, of calls that may take 0.05
FAULTS = ["refused", "black-holed", "dripping", "paused"]
LONG = b"x" * 2000  # dripped, it takes 40 s


def close_circuits(made: Blocking) -> None:
    """Let the next call try L2, as if nothing had failed so far."""
    remote: Any = made.sync.remote
    endpoint = getattr(remote, "endpoint", None)
    if endpoint is not None:
        nodes = endpoint.nodes if isinstance(endpoint, Cluster) else ()
        for node in (endpoint, *nodes):
            node.breaker.reset_after_fork()


def calls(world: World, cache: Blocking) -> dict[str, Any]:
    return {
        "get": lambda: cache.get("long", MISS),
        "get_many": lambda: cache.get_many(["long", "absent"]),
        "get_or_load": lambda: cache.get_or_load("long", world.loader(lambda: 1)),
        "set": lambda: cache.set("k", 1),
        "set_many": lambda: cache.set_many({"k": 1, "l": 2}),
        "delete": lambda: cache.delete("k"),
        "delete_many": lambda: cache.delete_many(["k", "l"]),
        "ttl": lambda: cache.ttl("long"),
        "invalidate_tags": lambda: cache.invalidate_tags("t"),
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_no_call_outlasts_its_deadline_or_raises(frail: World, fault: str) -> None:
    cache = frail.make(policy={"l2_timeout": 0.05})
    frail.used_again(cache)
    frail.put_raw(frail.value_key("long"), LONG)
    frail.fail(fault)
    for name, call in calls(frail, cache).items():
        cache.core.recovery.cleared()
        cache.core.recovery.done(cache.core.recovery.mark(), ["k", "l", "long"], ["t"])
        cache.core.drop_all()
        close_circuits(cache)
        thread, got = in_thread(call)
        thread.join(BOUND)
        assert not thread.is_alive(), f"{name} hangs"
        assert not isinstance(got[0], Exception), f"{name} raised {got[0]!r}"
    assert set(cache.stats.misses) <= {"cold", "l2_unavailable"}


@pytest.mark.parametrize("fault", ["refused", "black-holed"])
def test_l1_goes_on_alone(frail: World, fault: str) -> None:
    cache = frail.make(policy={"l2_timeout": 0.1})
    frail.used_again(cache)
    frail.fail(fault)
    cache.set("k", "v", tags=("t",))
    assert cache.get("k") == "v"
    assert cache.get_or_load("loaded", frail.loader(lambda: 7)) == 7
    assert cache.get("loaded") == 7
    cache.set_many({"x": 1, "y": 2})
    assert cache.get_many(["k", "x", "nope"]) == {"k": "v", "x": 1}
    assert cache.delete("x") is True
    assert cache.delete_many(["y", "nope"]) == 1
    assert cache.ttl("loaded") is not None
    cache.invalidate_tags("t")
    assert gone(cache, "k")
    assert cache.clear() is False, "it says that L2 was not cleared"
    assert gone(cache, "loaded")
    assert cache.get_stats()["errors"] > 0


def tried(cache: Blocking) -> int:
    """The commands that failed; one that the circuit held back is none."""
    return sum(n for (tier, _, _), n in cache.stats.errors.items() if tier == "l2")


@pytest.mark.parametrize("fault", ["refused", "black-holed"])
def test_an_open_circuit_holds_all_calls_back_but_its_probes(frail: World, fault: str) -> None:
    cache = frail.make(policy={"l2_timeout": 0.1})
    frail.used_again(cache)
    frail.fail(fault)
    absent = [f"absent{n}" for n in range(40)]  # on all primaries
    assert eventually(lambda: cache.get_many(absent) == {} and not cache.redis_available, 20)
    before = tried(cache)
    for n in range(2000):
        assert gone(cache, f"absent{n}")
    # The fake has no circuit: each call is answered with its failure.
    assert tried(cache) - before < (100 if frail.real else 2001)
    assert cache.stats.misses["l2_unavailable"] >= 2000


@on(*REAL)
def test_without_a_server_from_the_start_nothing_raises(frail: World) -> None:
    frail.fail("refused")
    cache = frail.make()
    cache.set("k", 1, tags=("t",))
    assert cache.get("k") == 1
    cache.invalidate_tags("t")
    assert gone(cache, "k")
    assert cache.delete("k") is False
    assert cache.clear() is False
    assert cache.get_or_load("k", frail.loader(lambda: 2)) == 2


@on(*REAL)
def test_callers_beyond_the_pool_wait_and_never_raise(world: World) -> None:
    assert world.servers is not None
    url = world.servers.url
    cache = world.make(
        redis_url=f"{url}{'&' if '?' in url else '?'}max_connections=2",
        l1_maxsize=1,
        policy={"l2_timeout": 5.0},
    )
    cache.set_many({f"k{i}": i for i in range(32)})
    barrier = threading.Barrier(32)

    def work(i: int) -> list[Any]:
        barrier.wait(30)
        return [cache.get(f"k{i}", MISS) for _ in range(10)]

    threads = [in_thread(lambda i=i: work(i)) for i in range(32)]  # type: ignore[misc]
    for i, (thread, got) in enumerate(threads):
        thread.join(60)
        assert got == [[i] * 10]


@pytest.mark.promise(4)
def test_an_outage_under_load_raises_nothing_answers_rightly_and_ends(frail: World) -> None:
    wrong: list[Any] = []
    done = threading.Event()
    cache = frail.make(l1_maxsize=20, policy={"l2_timeout": 0.05})

    def work(seed: int) -> None:
        i = seed
        while not done.is_set():
            i += 7
            key = str(i % 60)
            try:
                value = cache.get_or_load(key, frail.loader(lambda key=key: {"answer": key}))  # type: ignore[misc]
                if value != {"answer": key}:
                    wrong.append((key, value))
                if i % 11 == 0:
                    cache.delete(key)
            except Exception as error:  # whatever it is, the router's request would have failed
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    before = cache.get_stats()["requests"]
    assert eventually(lambda: cache.get_stats()["requests"] > before + 300, 30)
    frail.fail("killed")
    assert eventually(lambda: not cache.redis_available, 20)
    frail.mend()
    assert eventually(lambda: cache.redis_available, 30)
    done.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
