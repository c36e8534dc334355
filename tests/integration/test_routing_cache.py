"""RoutingCache on a real Redis: on, off, over restarts of the process and of Redis, under load."""

import asyncio
import json
import random
import subprocess
import sys
import textwrap
import threading
from functools import partial

import pytest

from routecache import MISS, AsyncRoutingCache, RequestContext, RoutingCache, RoutingSettings
from tests.helpers import eventually
from tests.servers import RedisServer

STORE = """
    from routecache import get_routing_cache
    cache = get_routing_cache()
    for i in range(40):
        cache.get_provider_status(f"p{i}", loader=lambda i=i: {"up": True, "i": i})
        cache.get_model_selection({"n": i}, loader=lambda i=i: f"model{i}", providers=[f"p{i}"])
        cache.get_fallback_chain({"n": i}, loader=lambda i=i: [f"model{i}", "last"])
"""
READ = """
    import json
    from routecache import get_routing_cache
    cache = get_routing_cache()
    wrong = 0
    for i in range(40):
        wrong += cache.get_provider_status(f"p{i}") != {"up": True, "i": i}
        wrong += cache.get_model_selection({"n": i}) != f"model{i}"
        wrong += cache.get_fallback_chain({"n": i}) != [f"model{i}", "last"]
    stats = cache.get_stats()
    print(json.dumps([wrong, [stats[n]["l2_hits"] for n in ("provider", "model", "fallback")]]))
"""


def in_new_process(script: str, url: str) -> str:
    """Run `script` in a process of its own, as a router that was started anew."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"REDIS_URL": url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("restart_redis", [False, True])
def test_a_new_process_finds_in_l2_what_the_last_one_stored(
    redis_server: RedisServer, restart_redis: bool
) -> None:
    in_new_process(STORE, redis_server.url)
    if restart_redis:
        redis_server.stop()
        redis_server.start()
    wrong, l2_hits = json.loads(in_new_process(READ, redis_server.url))
    assert wrong == 0
    assert l2_hits == [40, 40, 40]


def test_with_redis_off_everything_works_in_memory_and_nothing_survives() -> None:
    settings = RoutingSettings(enable_redis=False)
    with RoutingCache(settings) as cache:
        cache.set_model_selection({"n": 1}, "m")
        assert cache.get_model_selection({"n": 1}) == "m"
        assert cache.get_stats()["model"]["redis_available"] is False
    with RoutingCache(settings) as cache:
        assert cache.get_model_selection({"n": 1}, MISS) is MISS


def test_tasks_and_threads_of_two_caches_hear_of_each_other(shared_redis: RedisServer) -> None:
    settings = RoutingSettings(redis_url=shared_redis.url)
    request = RequestContext({"n": 1})

    async def main(threads: RoutingCache) -> None:
        async with AsyncRoutingCache(settings) as tasks:
            hears = [manager.core for manager in (*tasks.sync._caches(), *threads._caches())]
            assert eventually(lambda: all(core.hears is not False for core in hears))
            await tasks.set_provider_status("azure", "up")
            await tasks.set_model_selection(request, "m", providers=["azure"])
            await tasks.set_fallback_chain(request, ["n"], providers=["openai"])
            assert threads.get_provider_status("azure") == "up"
            assert threads.get_model_selection(request) == "m"
            await tasks.report_provider_health("azure", False)
            assert eventually(lambda: threads.get_model_selection(request) is None)
            assert eventually(lambda: threads.get_provider_status("azure") is None)
            assert threads.get_fallback_chain(request) == ["n"]

            threads.set_provider_status("azure", "up")
            assert await tasks.get_provider_status("azure", loader=lambda: "loaded") == "up"
            threads.invalidate_fallback_chain(request)
            gone = partial(eventually, lambda: tasks.sync.get_fallback_chain(request) is None)
            assert await asyncio.to_thread(gone)
            assert await tasks.get_fallback_chain(request) is None
            await tasks.clear_all()
            assert threads.get_provider_status("azure") is None

    with RoutingCache(settings) as threads:
        threads.clear_all()
        asyncio.run(main(threads))


def test_routers_with_prefixes_of_their_own_share_one_redis_and_nothing_in_it(
    shared_redis: RedisServer,
) -> None:
    one, other = (
        RoutingSettings(redis_url=shared_redis.url, prefix=prefix) for prefix in ("one:", "other:")
    )
    with RoutingCache(one) as mine, RoutingCache(other) as yours:
        for cache, value in ((mine, "mine"), (yours, "yours")):
            cache.set_provider_status("openai", value)
            cache.set_model_selection({"n": 1}, value, providers=["openai"])
            cache.set_fallback_chain({"n": 1}, [value], providers=["openai"])
        mine.invalidate_provider("openai")
        assert mine.clear_all()
    with RoutingCache(one) as mine, RoutingCache(other) as yours:
        assert mine.get_provider_status("openai") is None
        assert yours.get_provider_status("openai") == "yours"
        assert yours.get_model_selection({"n": 1}) == "yours"
        assert yours.get_fallback_chain({"n": 1}) == ["yours"]
        assert yours.clear_all()


def test_emptying_all_caches_tells_whether_redis_went_along(redis_server: RedisServer) -> None:
    settings = RoutingSettings(redis_url=redis_server.url)

    async def emptied(threads: RoutingCache) -> bool:
        async with AsyncRoutingCache.from_sync(threads) as tasks:
            return await tasks.clear_all()

    with RoutingCache(settings) as cache:
        assert cache.clear_all() is asyncio.run(emptied(cache)) is True
        redis_server.stop()
        assert cache.clear_all() is asyncio.run(emptied(cache)) is False


def test_an_invalidation_reaches_every_layer(shared_redis: RedisServer) -> None:
    settings = RoutingSettings(redis_url=shared_redis.url)
    with RoutingCache(settings) as cache:
        cache.clear_all()
        cache.set_provider_status("openai", "up")
        cache.set_model_selection({"n": 1}, "m", providers=["openai"])
        cache.set_fallback_chain({"n": 1}, ["m", "n"], providers=["openai", "azure"])
        cache.set_fallback_chain({"n": 2}, ["n"], providers=["azure"])
        cache.report_provider_health("openai", False)
        assert cache.get_provider_status("openai", MISS) is MISS
        assert cache.get_model_selection({"n": 1}, MISS) is MISS
        assert cache.get_fallback_chain({"n": 1}, MISS) is MISS
        assert cache.get_fallback_chain({"n": 2}) == ["n"]
    with RoutingCache(settings) as fresh:
        assert fresh.get_provider_status("openai", MISS) is MISS
        assert fresh.get_model_selection({"n": 1}, MISS) is MISS
        assert fresh.get_fallback_chain({"n": 1}, MISS) is MISS
        assert fresh.get_fallback_chain({"n": 2}) == ["n"]
        fresh.clear_all()


def test_the_hit_ratio_under_load_is_what_the_popularity_of_contexts_allows(
    shared_redis: RedisServer,
) -> None:
    """8 threads, 400 contexts by Zipf's law, 50 to 100 of them in L1: the rest comes from L2."""
    contexts, per_thread = 400, 1500
    weights = [1 / rank for rank in range(1, contexts + 1)]
    loads: list[int] = []
    with RoutingCache(RoutingSettings(redis_url=shared_redis.url)) as cache:
        cache.clear_all()
        before = cache.get_stats()["model"]

        def choose(n: int) -> str:
            loads.append(n)
            return f"model{n}"

        def work(seed: int) -> None:
            for n in random.Random(seed).choices(range(contexts), weights, k=per_thread):
                value = cache.get_model_selection({"n": n}, loader=partial(choose, n))
                assert value == f"model{n}"

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        after = cache.get_stats()["model"]
        requests = after["requests"] - before["requests"]
        hits = sum(after[k] - before[k] for k in ("l1_hits", "l2_hits"))
        assert requests == 8 * per_thread
        # Each context is computed once, but for look-ups and fills that a busy machine's Redis did
        # not answer within the deadline; each of these is counted.
        unavailable = after["misses_by_reason"].get("l2_unavailable", 0)
        excused = after["errors"] - before["errors"] + 2 * unavailable
        assert len(loads) - len(set(loads)) <= excused
        assert hits / requests >= 1 - (2 * contexts + excused) / requests
        assert after["l1_hits"] - before["l1_hits"] > after["l2_hits"] - before["l2_hits"] > 0
        cache.clear_all()
