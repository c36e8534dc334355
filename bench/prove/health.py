"""Health: a provider turns unhealthy in one process; how long until another routes around it.

Two processes with a RoutingCache on one real Redis. B asks all the time for the model of a request,
with a loader that takes the first provider whose status is not down, and has the answers in memory.
A reports the provider in use unhealthy; noted is when B is first answered with the other one. Both
read the same monotonic clock. Then it recovers, and B is brought back, for the next trial.
"""

import logging
import multiprocessing
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

from bench.prove.findings import Findings, quantile
from routecache import HealthPolicy, RoutingCache, RoutingSettings, snapshot
from routecache.stats import CacheSnapshot
from tests.helpers import eventually
from tests.topologies import One

TRIALS: Final = 300
UNRELATED: Final = 40
ROUTED: Final = 0.05  # seconds at p99: promise 5, to which B's own choice is added
FLAPS: Final = 1000
DOWN: Final = "down"
# Each trial is a provider of its own, so that none is held for flapping.
HEALTH: Final = HealthPolicy(unhealthy_status=DOWN)


def prove(findings: Findings) -> None:
    """Times of routing around, and what was dropped besides; then what flapping costs."""
    spawn = multiprocessing.get_context("spawn")
    with One() as topology:
        settings = RoutingSettings(redis_url=topology.url, provider_maxsize=2 * TRIALS)
        pipe, theirs = spawn.Pipe()
        other = spawn.Process(target=_router_b, args=(theirs, settings), daemon=True)
        other.start()
        theirs.close()
        try:
            with RoutingCache(settings, health=HEALTH) as a:
                _settle(a)
                assert _take(pipe) == "ready"
                _route(findings, a, pipe)
                _flap(findings, a, pipe)
                pipe.send(None)
                other.join(10)
        finally:
            pipe.close()
            if other.is_alive():
                other.kill()
                other.join()


def _route(findings: Findings, a: RoutingCache, pipe: Connection) -> None:
    findings.case = f"{TRIALS} providers reported unhealthy in A, one after the other"
    lags, calls, dropped, resolved = [], [], 0, 0
    for n in range(TRIALS):
        findings.advance(n / TRIALS, "reports")
        pipe.send(n)
        assert _take(pipe) == "in use"
        # Out of step with B's own rhythm.
        time.sleep(0.002 + 0.003 * (n * 0.618 % 1))
        began = time.monotonic()
        a.report_provider_health(_provider(n), False, reason="503")
        returned = time.monotonic()
        seen, lost = _take(pipe)
        calls.append((returned - began) * 1e3)
        lags.append((seen - began) * 1e3)
        resolved += seen > 0
        dropped += lost
    findings.must("trials in which B routed around it", resolved, "=", TRIALS)
    findings.must("unrelated entries that B dropped", dropped, "=", 0)
    findings.saw("p50 from the report's begin to B's new choice", quantile(lags, 0.5), "ms")
    findings.timed("p99 of the same", quantile(lags, 0.99), "≤", ROUTED * 1e3, "ms")
    findings.saw("max of the same", max(lags), "ms")
    findings.saw("p50 of the report itself", quantile(calls, 0.5), "ms")


def _flap(findings: Findings, a: RoutingCache, pipe: Connection) -> None:
    findings.case = f"a provider that turns {FLAPS:,} times, as fast as it can"
    findings.advance(1.0, "flapping")
    pipe.send("count")
    before = _take(pipe)
    for _ in range(FLAPS):
        a.report_provider_health("flaps", False)
        a.report_provider_health("flaps", True)
    stats = a.get_stats()["health"]
    # Redis tells in the order in which it did things: what follows is heard after all of them.
    a.set_model_selection("mark", "m")
    pipe.send("mark")
    heard = _take(pipe) - before
    findings.must("turns that were damped", stats["damped"], "=", FLAPS - 3)
    findings.must("messages about models that B heard, the mark's included", heard, "≤", 4)


def _provider(n: int) -> str:
    return f"provider{n}"


def _take(pipe: Connection) -> Any:
    assert pipe.poll(60), "the other process does not answer"
    return pipe.recv()


def _settle(cache: RoutingCache) -> None:
    cores = [manager.core for manager in cache._caches()]  # noqa: SLF001  # no caller waits for it
    assert eventually(lambda: all(core.hears is not False for core in cores), 30)


def _router_b(pipe: Connection, settings: RoutingSettings) -> None:
    logging.getLogger("routecache").setLevel(logging.ERROR)
    with RoutingCache(settings) as cache:
        _settle(cache)
        pipe.send("ready")
        while (order := pipe.recv()) is not None:
            if order == "count":
                pipe.send(_heard())
            elif order == "mark":
                assert eventually(lambda: cache.get_model_selection("mark") is not None, 30)
                assert eventually(_quiet, 30)
                pipe.send(_heard())
            else:
                _watch(cache, pipe, order)


def _watch(cache: RoutingCache, pipe: Connection, n: int) -> None:
    """One trial: use provider n, and note when it is not used any more."""
    candidates = (_provider(n), "spare")

    def choose() -> str:
        return next(
            name
            for name in candidates
            if cache.get_provider_status(name, loader=lambda: "up") != DOWN
        )

    ask = partial(cache.get_model_selection, n, loader=choose, providers=lambda chosen: [chosen])
    unrelated = _unrelated(cache)
    # The echoes of B's own fills may cost its copies once; then all are in memory.
    assert eventually(lambda: ask() == candidates[0] and _not_in_memory(cache, unrelated) == 0, 30)
    pipe.send("in use")
    give_up = time.monotonic() + 30
    while (chosen := ask()) == candidates[0] and time.monotonic() < give_up:
        time.sleep(0.0002)
    seen = time.monotonic() if chosen == "spare" else 0.0
    pipe.send((seen, _not_in_memory(cache, unrelated)))
    cache.invalidate_model_selection(n)


def _unrelated(cache: RoutingCache) -> list[str]:
    """Selections that name another provider."""
    keys = [f"unrelated{i}" for i in range(UNRELATED)]
    for key in keys:
        cache.get_model_selection(key, loader=lambda: "m", providers=["spare"])
    return keys


def _heard() -> int:
    return _model().invalidations_received


def _quiet() -> bool:
    """Whether nothing more came for a while."""
    before = _heard()
    time.sleep(0.1)
    return _heard() == before


def _not_in_memory(cache: RoutingCache, keys: list[str]) -> int:
    """How many of the selections are not answered by L1."""
    before = _model().l1_misses
    assert all(cache.get_model_selection(key) == "m" for key in keys)
    after = _model().l1_misses
    return sum(after.values()) - sum(before.values())


def _model() -> CacheSnapshot:
    return next(cache for cache in snapshot().caches if cache.name == "model")
