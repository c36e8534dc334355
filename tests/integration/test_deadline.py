"""Promise 3: one deadline over all L2 steps of a call, whatever the server does.

The bounds are generous (a second against a deadline of 50 ms): they tell a bounded call from one
that hangs, not a fast machine from a slow one. `bench/` measures.
"""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from routecache import MISS, BaseCacheManager, ConfigurationError, snapshot
from tests.helpers import eventually
from tests.proxy import Proxy
from tests.servers import RedisServer

BOUND = 1.0


@pytest.fixture
def proxy(shared_redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(shared_redis.url.removeprefix("unix://")) as proxy:
        yield proxy


def bounded(call: Callable[[], object]) -> object:
    started = time.monotonic()
    result = call()
    assert time.monotonic() - started < BOUND
    return result


CALLS: dict[str, Callable[[BaseCacheManager], object]] = {
    "get": lambda cache: cache.get("absent", MISS),
    "get_many": lambda cache: cache.get_many(["absent", "absent2"]),
    "get_or_load": lambda cache: cache.get_or_load("loaded", lambda: 1),
    "set": lambda cache: cache.set("k", 1),
    "set_many": lambda cache: cache.set_many({"k": 1, "l": 2}),
    "delete": lambda cache: cache.delete("k"),
    "delete_many": lambda cache: cache.delete_many(["k", "l"]),
    "ttl": lambda cache: cache.ttl("absent"),
    "invalidate_tags": lambda cache: cache.invalidate_tags("t"),
}


@pytest.mark.parametrize("mode", ["black_hole", "drip"])
@pytest.mark.parametrize("name", CALLS)
def test_no_call_outlasts_its_deadline_on_an_open_connection(
    proxy: Proxy, mode: str, name: str
) -> None:
    with BaseCacheManager(redis_url=proxy.url, cache_prefix=f"dl.{mode}.{name}") as cache:
        cache.set("absent", "x" * 2000, ttl=30)
        cache.core.drop_all()
        proxy.mode = mode  # type: ignore[assignment]  # one of its modes
        bounded(lambda: CALLS[name](cache))


def test_a_dripped_reply_is_not_read_by_the_next_caller(proxy: Proxy) -> None:
    with BaseCacheManager(redis_url=proxy.url, cache_prefix="drip.wrong") as cache:
        cache.set_many({f"k{i}": f"value {i}" for i in range(50)})
        cache.core.drop_all()
        proxy.mode = "drip"
        assert cache.get("k0", MISS) is MISS
        proxy.mode = "pass"
        for i in range(1, 50):
            assert cache.get(f"k{i}", MISS) in (f"value {i}", MISS)
        assert eventually(lambda: cache.get("k7", MISS) == "value 7", 10)


@pytest.mark.parametrize("mode", ["black_hole", "drip"])
def test_connecting_to_a_silent_server_is_bounded_at_construction_and_in_calls(
    proxy: Proxy, mode: str
) -> None:
    proxy.mode = mode  # type: ignore[assignment]  # one of its modes
    started = time.monotonic()
    with BaseCacheManager(redis_url=proxy.url, cache_prefix=f"silent.{mode}") as cache:
        assert time.monotonic() - started < 2 * BOUND
        bounded(lambda: cache.get("k", MISS))
        proxy.mode = "pass"

        def connected() -> bool:
            cache.set("k", 1)
            return cache.redis_available

        assert eventually(connected, 10)


def test_a_refused_port_costs_no_time_out_and_no_exception() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with BaseCacheManager(redis_url=f"redis://127.0.0.1:{port}", cache_prefix="refused") as cache:
        bounded(lambda: [cache.get(f"k{i}", MISS) for i in range(200)])
        assert not cache.redis_available


def test_callers_beyond_the_pool_wait_for_a_connection_and_never_raise(
    shared_redis: RedisServer,
) -> None:
    url = f"{shared_redis.url}?max_connections=2"
    with BaseCacheManager(redis_url=url, cache_prefix="pool", l1_maxsize=1) as cache:
        cache.set_many({f"k{i}": i for i in range(64)})
        barrier = threading.Barrier(32)
        wrong: list[object] = []

        def work(i: int) -> None:
            barrier.wait(10)
            for _ in range(20):
                value = cache.get(f"k{i}", MISS)
                if value is not MISS and value != i:
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []
        endpoint = next(e for e in snapshot().endpoints if e.max_connections == 2)
        assert endpoint.connections_in_use == 0
        assert endpoint.connections_idle <= 2


def test_a_url_that_cannot_work_is_one_clear_error_without_its_password() -> None:
    for url, said in (
        ("http://user:hunter2@host", "redis://"),
        ("redis://:hunter2@localhost/0?bogus=1", "redis-py does not know"),
        ("redis://:hunter2@localhost/0?max_connections=many", "max_connections"),
    ):
        with pytest.raises(ConfigurationError, match=said) as caught:
            BaseCacheManager(redis_url=url)
        assert "hunter2" not in str(caught.value)


def test_a_manager_that_is_dropped_lets_go_of_its_connections(redis_server: RedisServer) -> None:
    for _ in range(3):
        cache = BaseCacheManager(redis_url=redis_server.url, cache_prefix="dropped")
        cache.set("k", 1)
        before = len(snapshot().endpoints)
        del cache
        gc.collect()
        assert len(snapshot().endpoints) == before - 1
