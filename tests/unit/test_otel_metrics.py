"""OpenTelemetry's metrics are those of the Prometheus page of the same moment."""

import logging
import math
import os
import threading
import warnings
from collections.abc import Iterable
from typing import Any

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.resources import Resource

from routecache import MISS, BaseCacheManager
from routecache.errors import ConfigurationError
from routecache.registry import ProcessSnapshot
from routecache.stats import LAG_BOUNDS, empty
from routecache.testing import FakeRemote, ManualTimer
from routecache_exporters import RoutecacheCollector
from routecache_exporters.catalog import METRICS
from routecache_exporters.opentelemetry import instrument, is_instrumented, uninstrument
from routecache_exporters.opentelemetry.meter import Observed
from routecache_exporters.opentelemetry.naming import base_name, instruments, unit
from tests.otel import Sdk, as_prometheus, by_name, instrumented, values
from tests.snapshots import Samples, cache, endpoint, scrape, source


def collected(observed: Observed) -> tuple[dict[str, Metric], InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], Resource({}), shutdown_on_exit=False)
    observed.create(provider.get_meter("routecache"))
    return by_name(reader.get_metrics_data()), reader


def without_durations(samples: Samples) -> Samples:
    return {key: n for key, n in samples.items() if not key[0].startswith("collect_duration")}


def used(name: str, remote: FakeRemote | None = None) -> BaseCacheManager:
    """A cache of which every kind of number has moved."""
    manager = BaseCacheManager(redis_client=remote or FakeRemote(ManualTimer()), name=name)
    manager.set("a", 1)
    for _ in range(500):
        manager.get("a")
    manager.get("absent")
    manager.get_or_load("b", lambda: [1, 2])
    manager.get_or_load("none", lambda: MISS)
    with pytest.raises(ZeroDivisionError):
        manager.get_or_load("c", lambda: 1 / 0)
    manager.delete("a")
    manager.invalidate_tags("t")
    manager.core.drop_all()
    manager.get("b")
    return manager


def test_every_number_is_that_of_the_prometheus_page_of_the_same_moment() -> None:
    with instrumented() as sdk, used("otel.same"):
        found = without_durations(as_prometheus(sdk.metrics()))
        page = scrape(RoutecacheCollector())
        assert found == page
        assert page["hits_total", frozenset({("cache", "otel.same"), ("tier", "l1")})] == 500


def test_endpoints_providers_and_all_else_of_a_snapshot_are_there_too() -> None:
    lag = empty(LAG_BOUNDS)
    snapshot = ProcessSnapshot(
        (cache("model"), cache("tool", None)),
        (endpoint(listeners={"connected": 1}, invalidation_lag=lag),),
        {"openai": True, "mistral": False},
    )
    observed = Observed(64, lambda: snapshot)
    found, _ = collected(observed)
    assert without_durations(as_prometheus(found)) == scrape(RoutecacheCollector(lambda: snapshot))
    assert values(found["routecache.provider.healthy"]) == {
        frozenset({("provider", "openai")}): 1.0,
        frozenset({("provider", "mistral")}): 0.0,
    }


def test_every_metric_of_the_catalogue_has_its_instruments() -> None:
    made = instruments()
    assert {instrument.metric for instrument in made} == set(METRICS)
    assert len({instrument.name for instrument in made}) == len(made)
    assert [i.name for i in made if i.metric.name == "routecache_request_duration_seconds"] == [
        "routecache.request.duration.count",
        "routecache.request.duration.sum",
        "routecache.request.duration.bucket",
    ]
    for one in made:
        assert "total" not in one.name
        assert "_" not in one.name
        assert one.unit != "1", "a translation to Prometheus would make it a ratio"
        assert one.unit or one.kind == "gauge", one


@pytest.mark.parametrize(
    ("name", "expected", "kind"),
    [
        ("routecache_requests_total", ("routecache.requests", "{request}"), "counter"),
        ("routecache_misses_total", ("routecache.misses", "{miss}"), "counter"),
        ("routecache_refreshes_total", ("routecache.refreshes", "{refresh}"), "counter"),
        ("routecache_entries", ("routecache.entries", "{entry}"), "up_down_counter"),
        ("routecache_ttl_seconds", ("routecache.ttl", "s"), "gauge"),
        ("routecache_l1_size_bytes", ("routecache.l1.size", "By"), "up_down_counter"),
        ("routecache_l2_connection_wait_seconds_total", ("routecache.l2.connection.wait", "s"),
         "counter"),
        ("routecache_load_seconds_avoided_total", ("routecache.load.seconds.avoided", "s"),
         "counter"),
        ("routecache_build_info", ("routecache.build.info", ""), "gauge"),
    ],
)  # fmt: skip
def test_names_units_and_kinds_follow_from_the_catalogue(
    name: str, expected: tuple[str, str], kind: str
) -> None:
    (metric,) = [metric for metric in METRICS if metric.name == name]
    assert (base_name(metric), unit(metric)) == expected
    assert [i.kind for i in instruments() if i.metric is metric] == [kind]


def test_a_collection_is_one_snapshot_and_the_next_one_another() -> None:
    taken = []

    def snapshot() -> ProcessSnapshot:
        taken.append(1)
        return ProcessSnapshot((cache("a", l1_hits=len(taken)),), ())

    found, reader = collected(Observed(64, snapshot))
    assert len(taken) == 1
    for expected in (2, 3):
        found = by_name(reader.get_metrics_data())
        assert len(taken) == expected
        labels = frozenset({("cache", "a"), ("tier", "l1")})
        assert values(found["routecache.hits"])[labels] == expected


def test_two_readers_of_one_provider_both_get_everything() -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    provider = MeterProvider(readers, shutdown_on_exit=False)
    snapshot = source([cache("a", l1_hits=7)])
    Observed(64, snapshot).create(provider.get_meter("routecache"))
    first, second = (by_name(reader.get_metrics_data()) for reader in readers)
    assert without_durations(as_prometheus(first)) == without_durations(as_prometheus(second))
    assert len(first) == len(instruments()) - sum(
        not _reached(i.name, first) for i in instruments()
    )


def _reached(name: str, found: dict[str, Metric]) -> bool:
    return name in found


def test_cache_names_beyond_the_bound_add_up_under_other() -> None:
    found, _ = collected(Observed(1, source([cache(n, l1_hits=1) for n in ("a", "b", "c")])))
    assert values(found["routecache.hits"])[frozenset({("cache", "other"), ("tier", "l1")})] == 2
    assert values(found["routecache.label.overflow"])[frozenset({("label", "cache")})] == 2


def test_a_broken_snapshot_is_logged_once_without_its_text_and_says_so_in_collect_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> ProcessSnapshot:
        raise LookupError("sk-secret")

    found, reader = collected(Observed(64, broken))
    by_name(reader.get_metrics_data())
    assert set(values(found["routecache.collect.success"]).values()) == {0.0}
    assert "routecache.hits" not in found
    assert caplog.text.count("LookupError") == 1
    assert "sk-secret" not in caplog.text


def test_an_endless_ttl_is_no_number_that_opentelemetry_takes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found, _ = collected(Observed(64, source([cache("a"), cache("tool", None, l1_ttl=math.inf)])))
    assert {dict(labels)["cache"] for labels in values(found["routecache.ttl"])} == {"a"}
    assert not caplog.records


def test_one_instrument_that_cannot_be_read_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def observation(value: float, attributes: dict[str, str]) -> Observation:
        if "error" in attributes:
            raise ValueError("sk-secret")
        return Observation(value, attributes)

    monkeypatch.setattr("routecache_exporters.opentelemetry.meter.Observation", observation)
    found, _ = collected(Observed(64, source([cache("a")])))
    assert "routecache.errors" not in found
    assert "routecache.hits" in found
    assert "ValueError" in caplog.text
    assert "sk-secret" not in caplog.text


def test_instrumenting_again_does_nothing_and_differently_is_refused() -> None:
    with instrumented() as sdk:
        instrument(sdk.meters, sdk.tracers)
        with pytest.raises(ConfigurationError, match="uninstrument"):
            instrument(Sdk().meters, sdk.tracers)
        with pytest.raises(ConfigurationError, match="uninstrument"):
            instrument(sdk.meters, sdk.tracers, roots=True)
        assert is_instrumented()
    assert not is_instrumented()
    uninstrument()
    with pytest.raises(ConfigurationError, match="max_caches=0"):
        instrument(max_caches=0)
    assert not is_instrumented()


def test_uninstrumented_a_provider_gets_nothing_and_instrumented_again_everything_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sdk = Sdk()
    with BaseCacheManager(enable_redis=False, name="otel.again") as manager:
        manager.get("a")
        for _ in range(2):
            instrument(sdk.meters, sdk.tracers)
            misses = values(sdk.metrics()["routecache.misses"])
            assert misses[frozenset({("cache", "otel.again"), ("reason", "cold")})] == 1
            uninstrument()
            assert sdk.metrics() == {}
    assert not caplog.records


def test_meters_and_spans_can_be_had_apart() -> None:
    with instrumented(meters=False) as sdk, BaseCacheManager(enable_redis=False) as manager:
        with sdk.tracer.start_as_current_span("request"):
            manager.get_or_load("a", lambda: 1)
        assert sdk.metrics() == {}
        assert len(sdk.spans()) == 2
    with instrumented(spans=False) as sdk, BaseCacheManager(enable_redis=False) as manager:
        with sdk.tracer.start_as_current_span("request"):
            manager.get_or_load("a", lambda: 1)
        assert "routecache.loads" in sdk.metrics()
        assert len(sdk.spans()) == 1


def test_threads_that_instrument_and_uninstrument_at_once_leave_a_clear_state() -> None:
    sdk = Sdk()
    failures: list[Exception] = []

    def turn() -> None:
        try:
            for _ in range(50):
                instrument(sdk.meters, sdk.tracers)
                uninstrument()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not is_instrumented()
    assert sdk.metrics() == {}
    instrument(sdk.meters, sdk.tracers)
    assert "routecache.collect.success" in sdk.metrics()
    uninstrument()


def test_collections_while_threads_look_up_never_show_books_that_do_not_balance() -> None:
    done, mine = threading.Event(), ("cache", "otel.books")

    def look_up() -> None:
        while not done.is_set():
            manager.get("a")
            manager.get("absent")

    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="otel.books") as manager:
        manager.set("a", 1)
        thread = threading.Thread(target=look_up)
        thread.start()
        for _ in range(30):
            found = sdk.metrics()
            requests, hits, misses = (
                sum(n for labels, n in values(found[name]).items() if mine in labels)
                for name in ("routecache.requests", "routecache.hits", "routecache.misses")
            )
            assert requests == hits + misses
        done.set()
        thread.join()


def in_child(work: Any) -> str:
    """What `work()` returns in a forked child."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads
        pid = os.fork()
    if pid == 0:  # pragma: no cover
        os.close(read)
        try:
            said = str(work())
        except BaseException as error:
            said = f"raised {error!r}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def test_a_forked_child_stays_instrumented_counts_from_zero_and_holds_no_lock() -> None:
    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="otel.fork") as manager:
        manager.get("a")
        labels = frozenset({("cache", "otel.fork"), ("reason", "cold")})
        assert values(sdk.metrics()["routecache.misses"])[labels] == 1

        def child() -> list[float]:
            manager.get("b")
            manager.get("c")
            inherited = sdk.metrics()
            fresh = Sdk()
            uninstrument()
            instrument(fresh.meters, fresh.tracers)
            return [values(m["routecache.misses"])[labels] for m in (inherited, fresh.metrics())]

        assert in_child(child) == "[2.0, 2.0]"
        from routecache_exporters.opentelemetry import _state

        observed = _state.observed
        assert observed is not None
        with _state.lock, observed._lock:  # held by another thread, as far as the child can tell
            assert in_child(child) == "[2.0, 2.0]"
        assert values(sdk.metrics()["routecache.misses"])[labels] == 1


def test_nothing_is_logged_and_nothing_fails_without_an_sdk(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    instrument()
    try:
        with BaseCacheManager(enable_redis=False) as manager:
            assert manager.get_or_load("a", lambda: 1) == 1
    finally:
        uninstrument()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def attributes_of(metrics: Iterable[Metric]) -> set[str]:
    found: set[str] = set()
    for metric in metrics:
        found |= {name for labels in values(metric) for name, _ in labels}
    return found


def test_attributes_are_the_labels_of_the_catalogue_and_hold_no_key() -> None:
    with instrumented() as sdk, used("otel.labels"):
        found = sdk.metrics()
        assert attributes_of(found.values()) <= {
            label for metric in METRICS for label in metric.labels
        } | {"le"}
        assert "absent" not in str(found)
