"""Exemplars: kept per bucket, bounded, asked for off the hit path alone, and OpenMetrics only."""

import threading
from collections.abc import Iterator, Mapping

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from routecache import BaseCacheManager, exemplars, snapshot
from routecache.cells import Cells, HistogramSnapshot
from routecache.exemplars import Exemplar, exemplar_of, set_exemplar_source
from routecache.stats import REQUEST_BOUNDS, EndpointStats
from routecache.testing import FakeRemote, ManualTimer
from routecache_exporters import RoutecacheCollector, register
from routecache_exporters.tracing import trace_labels
from tests.snapshots import cache, endpoint, source

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7


@pytest.fixture(autouse=True)
def no_source() -> Iterator[None]:
    before = exemplars._source
    set_exemplar_source(None)
    yield
    set_exemplar_source(before)


class Span(NonRecordingSpan):
    """A span that is recorded, without an SDK."""

    def __init__(self, *, sampled: bool = True, recording: bool = True) -> None:
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        super().__init__(SpanContext(TRACE, SPAN, is_remote=False, trace_flags=flags))
        self._recording = recording

    def is_recording(self) -> bool:
        return self._recording


def test_without_a_source_there_is_no_exemplar() -> None:
    assert exemplar_of(0.1) is None


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (None, False),
        ({}, False),
        ({"trace_id": "a" * 120}, True),  # 8 + 120 characters
        ({"trace_id": "a" * 121}, False),
        ({"trace_id": "a" * 60, "span_id": "b" * 54}, False),
    ],
)
def test_labels_beyond_what_openmetrics_allows_are_left_out(
    labels: Mapping[str, str] | None, *, kept: bool
) -> None:
    set_exemplar_source(lambda: labels)
    found = exemplar_of(0.1)
    assert (found is not None) == kept
    if found is not None:
        assert (dict(found.labels), found.value) == (labels, 0.1)


def test_a_source_that_raises_breaks_no_look_up_and_is_asked_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []

    def broken() -> Mapping[str, str]:
        asked.append(1)
        raise LookupError("sk-secret")

    set_exemplar_source(broken)
    with BaseCacheManager(enable_redis=False, name="ex.broken") as found:
        assert found.get("a") is None
        assert found.get("b") is None
    assert len(asked) == 1
    assert "LookupError" in caplog.text
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize(
    "labels",
    [{"trace id": "x"}, {"": "x"}, {"trace_id": "\ud800"}, {"spur\u0131d": "x"}, {"trace_id": 7}],
)
def test_labels_that_no_exposition_can_carry_break_no_page(labels: Mapping[str, str]) -> None:
    """prometheus_client writes names as they come and raises on a lone surrogate."""
    asked = 0

    def given() -> Mapping[str, str]:
        nonlocal asked
        asked += 1
        return labels

    set_exemplar_source(given)
    manager = BaseCacheManager(enable_redis=False, name="unreadable-exemplars")
    for key in ("k", "j"):
        manager.get_or_load(key, lambda: 1)
    assert asked == 1
    registry = CollectorRegistry()
    registry.register(RoutecacheCollector())
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    page = encode(registry).decode()
    assert 'cache="unreadable-exemplars"' in page
    assert " # {" not in "".join(line for line in page.splitlines() if "unreadable-" in line)


def test_hits_of_the_hit_path_ask_for_no_exemplar() -> None:
    asked = []
    with BaseCacheManager(enable_redis=False, name="ex.hits") as found:
        found.set("a", 1)
        set_exemplar_source(lambda: asked.append(1))
        for _ in range(1000):
            found.get("a")
        assert not asked
        found.get("absent")
        assert asked


def test_the_latest_exemplar_of_each_bucket_is_kept_over_threads_living_and_dead() -> None:
    cells = Cells()

    def observe(value: float, at: float) -> None:
        with cells.recording() as cell:
            cell.observe((1.0, 2.0), value, "h", exemplar=Exemplar((("t", str(at)),), value, at))

    observe(0.5, 10.0)
    for value, at in ((0.6, 12.0), (0.7, 11.0), (5.0, 1.0)):
        thread = threading.Thread(target=observe, args=(value, at))
        thread.start()
        thread.join()
    with cells.recording() as cell:
        cell.observe((1.0, 2.0), 0.9, "h")
    frozen = cells.total().histograms[("h",)].freeze()
    assert {bucket: found.timestamp for bucket, found in frozen.exemplars.items()} == {
        0: 12.0,
        2: 1.0,
    }
    assert frozen.counts == (4, 0, 1)


def test_look_ups_loads_and_l2_operations_carry_the_trace_that_they_belong_to() -> None:
    set_exemplar_source(trace_labels)
    stats = EndpointStats()
    with (
        BaseCacheManager(redis_client=FakeRemote(ManualTimer()), name="ex.traced") as found,
        trace.use_span(Span()),
    ):
        found.get_or_load("a", lambda: 1)
        found.core.drop_all()
        found.get("a")
        stats.observe("get", 0.001)
        (seen,) = [seen for seen in snapshot().caches if seen.name == "ex.traced"]
    expected = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7"}
    for histogram in (
        seen.request_duration["load"],
        seen.request_duration["l2_hit"],
        seen.load_duration,
        stats.operation_duration()["get"],
    ):
        assert [dict(e.labels) for e in histogram.exemplars.values()] == [expected]


@pytest.mark.parametrize(
    "span", [trace.INVALID_SPAN, Span(recording=False), Span(sampled=False)], ids=str
)
def test_a_span_that_nobody_can_look_up_gives_no_exemplar(span: trace.Span) -> None:
    with trace.use_span(span):
        assert trace_labels() is None


def test_registering_the_collector_sets_the_source_unless_the_program_has_its_own() -> None:
    register(CollectorRegistry())
    assert exemplars._source is trace_labels

    def own() -> None:
        return None

    set_exemplar_source(own)
    register(CollectorRegistry())
    assert exemplars._source is own


def histogram(trace_id: str, at: float) -> HistogramSnapshot:
    counts = (0, 2, *(0,) * (len(REQUEST_BOUNDS) - 1))
    found = {1: Exemplar((("trace_id", trace_id), ("span_id", "def")), 0.0002, at)}
    return HistogramSnapshot(REQUEST_BOUNDS, counts, 0.0004, found)


def text(collector: RoutecacheCollector, accept: str) -> str:
    registry = CollectorRegistry()
    registry.register(collector)
    encode, _ = choose_encoder(accept)
    return encode(registry).decode()


def test_exemplars_are_in_openmetrics_with_their_time_and_not_in_the_classic_format() -> None:
    traced = cache("a", request_duration={"l2_hit": histogram("abc", 1700000000.25)})
    collector = RoutecacheCollector(source([traced], [endpoint()]))
    strict = text(collector, "application/openmetrics-text")
    assert (
        'routecache_request_duration_seconds_bucket{cache="a",le="0.00025",outcome="l2_hit"} 2.0 '
        '# {span_id="def",trace_id="abc"} 0.0002 1700000000.25\n'
    ) in strict
    assert strict.count(" # {") == 1
    assert "trace_id" not in text(collector, "text/plain")


@pytest.mark.parametrize("order", [("early", "late"), ("late", "early")])
def test_of_label_sets_that_fall_together_the_later_exemplar_stays(order: tuple[str, str]) -> None:
    at = {"early": 1700000000.25, "late": 1700000001.5}
    caches = [cache(name, request_duration={"l2_hit": histogram(name, at[name])}) for name in order]
    collector = RoutecacheCollector(source([cache("first"), *caches]), max_caches=1)
    strict = text(collector, "application/openmetrics-text")
    assert strict.count(" # {") == 1
    assert 'trace_id="late"' in strict
