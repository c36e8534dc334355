"""Registering: once per registry, only when asked, and without prometheus_client's extras."""

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, Counter, enable_created_metrics
from prometheus_client.exposition import choose_encoder

from routecache.errors import ConfigurationError
from routecache_exporters import RoutecacheCollector, register
from routecache_exporters.catalog import METRICS
from tests.snapshots import endpoint, router, source


def test_register_is_idempotent_per_registry() -> None:
    """A second call returns the same collector and adds no series; registries are independent."""
    one, other = CollectorRegistry(), CollectorRegistry()
    collector = register(one)
    assert register(one) is collector
    assert register(other) is not collector
    names = [family.name for family in one.collect()]
    assert len(names) == len(set(names)) == len(METRICS)
    one.unregister(collector)
    assert register(one) is collector
    assert list(one.collect())


def test_register_refuses_what_it_cannot_do() -> None:
    """A second bound for one registry, a bound of zero, and names of somebody else all raise."""
    taken, fresh = CollectorRegistry(), CollectorRegistry()
    register(fresh, max_caches=5)
    assert register(fresh).max_caches == 5
    with pytest.raises(ConfigurationError, match=r"max_caches=6.*max_caches=5"):
        register(fresh, max_caches=6)
    with pytest.raises(ConfigurationError, match="at least 1"):
        RoutecacheCollector(max_caches=0)
    Counter("routecache_requests", "Somebody else's.", registry=taken)
    with pytest.raises(ValueError, match=r"[Dd]uplicated"):
        register(taken)


def test_importing_the_exporters_registers_nothing() -> None:
    """An import alone puts no metric into the global registry and starts no thread."""
    code = (
        "import threading, prometheus_client as p, routecache_exporters.http\n"
        "assert not [m for m in p.REGISTRY.collect() if 'routecache' in m.name]\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_created_series_are_exported() -> None:
    """Neither format has `_created` series, although prometheus_client adds them by default."""
    # The exporter command of an earlier test turns them off for its whole process.
    enable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(RoutecacheCollector(source(router(), [endpoint()])))
    Counter("app_requests", "Of the program itself.", registry=registry)
    for accept in ("text/plain", "application/openmetrics-text"):
        text = choose_encoder(accept)[0](registry).decode()
        created = [line for line in text.splitlines() if "_created" in line]
        assert created
        assert not [line for line in created if "routecache_" in line]


FORK = """
import os, signal, sys, threading
from prometheus_client import CollectorRegistry
from routecache_exporters import register

registering, forked = threading.Event(), threading.Event()

class Slow(CollectorRegistry):
    def register(self, collector):
        registering.set()
        forked.wait()

threading.Thread(target=register, args=(Slow(),)).start()
registering.wait()
child = os.fork()
if not child:
    signal.alarm(10)  # a lock that nobody holds any more cannot be waited for
    register(CollectorRegistry())
    os._exit(0)
forked.set()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_forked_while_another_thread_registers_can_register() -> None:
    """The thread that held the lock is not there to release it."""
    run = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    subprocess.run(run, check=True, timeout=60)
