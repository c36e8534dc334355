"""Spans of L2's round trips on a real server, and what redis-py's own metrics show of ours."""

import asyncio
import json
import subprocess
import sys
import textwrap

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from routecache import AsyncCacheManager, BaseCacheManager, Policy
from routecache.testing import ManualTimer
from tests.helpers import eventually
from tests.otel import inside, instrumented, linked, names, one
from tests.servers import RedisServer

PATIENT = Policy(l2_timeout=5.0)  # a busy machine


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_each_round_trip_of_a_load_has_a_span_beside_it(shared_redis: RedisServer) -> None:
    with (
        instrumented() as sdk,
        BaseCacheManager(redis_url=shared_redis.url, cache_prefix="os", policy=PATIENT) as manager,
    ):
        with sdk.tracer.start_as_current_span("request"):
            manager.get_or_load("secret-key", lambda: 1)
        spans = sdk.spans()
    assert names(spans) == ["get os", "load os", "set os", "request"]
    assert all(inside(span, one(spans, "request")) for span in spans[:3])
    get = one(spans, "get os")
    assert get.kind is SpanKind.CLIENT
    alias = attributes(get).pop("routecache.l2")
    assert attributes(get) == {
        "routecache.cache": "os",
        "routecache.operation": "get",
        "routecache.tier": "l2",
        "routecache.l2": alias,
        "routecache.outcome": "miss",
        "db.system.name": "redis",
    }
    text = "".join(span.to_json() for span in spans)
    assert "secret-key" not in text
    assert shared_redis.url.removeprefix("unix://").partition("?")[0] not in text


def test_hits_of_l2_batches_and_invalidations(shared_redis: RedisServer) -> None:
    with (
        instrumented() as sdk,
        BaseCacheManager(redis_url=shared_redis.url, cache_prefix="ob", policy=PATIENT) as manager,
    ):
        manager.set_many({"a": 1, "b": 2})
        manager.core.drop_all()
        with sdk.tracer.start_as_current_span("request"):
            assert manager.get("a") == 1
            manager.core.drop_all()
            assert manager.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
            manager.delete_many(["a", "b"])
            manager.invalidate_tags("t")
        spans = sdk.spans()
    gets = [span for span in spans if span.name == "get ob"]
    assert [attributes(s)["routecache.outcome"] for s in gets] == ["hit", "partial"]
    assert [attributes(s).get("db.operation.batch.size") for s in gets] == [None, 3]
    deleting, tagging = (s for s in spans if s.name == "invalidate ob")
    assert inside(one(spans, "delete ob"), deleting)
    assert attributes(one(spans, "delete ob"))["db.operation.batch.size"] == 2
    assert inside(one(spans, "tags ob"), tagging)


def test_asyncio_has_the_same_spans_in_each_tasks_own_request(shared_redis: RedisServer) -> None:
    async def request(manager: AsyncCacheManager, n: int) -> None:
        with sdk.tracer.start_as_current_span(f"request {n}"):
            await manager.get_or_load(str(n), lambda: n)
            await manager.delete(str(n))

    async def run() -> None:
        async with AsyncCacheManager(
            redis_url=shared_redis.url, cache_prefix="oa", policy=PATIENT
        ) as manager:
            await manager.get("connected")
            await asyncio.gather(*(request(manager, n) for n in range(10)))

    with instrumented() as sdk:
        asyncio.run(run())
        spans = sdk.spans()
    for n in range(10):
        mine = one(spans, f"request {n}")
        trace = [s for s in spans if s.context.trace_id == mine.context.trace_id]
        assert names(trace) == [
            "get oa", "load oa", "set oa", "delete oa", "invalidate oa", f"request {n}",
        ]  # fmt: skip
        (deleted,) = [s for s in trace if s.name == "invalidate oa"]
        assert [s.name for s in trace if not inside(s, mine)] == ["delete oa", mine.name]
        assert inside(one(trace, "delete oa"), deleted)


def test_a_refresh_holds_its_own_round_trips(shared_redis: RedisServer) -> None:
    timer = ManualTimer(1e9)
    policy = Policy(l2_timeout=5.0, early_refresh=1e5)  # every look-up that finds a copy asks

    def slow() -> int:
        timer.advance(1.0)
        return 1

    with (
        instrumented() as sdk,
        BaseCacheManager(redis_url=shared_redis.url, cache_prefix="of", policy=policy,
                         timer=timer) as manager,
    ):  # fmt: skip
        manager.get_or_load("a", slow)

        def refreshed() -> bool:
            with sdk.tracer.start_as_current_span("request"):
                manager.get_or_load("a", slow)  # the echo of a write may cost L1 its copy
            return "refresh of" in names(sdk.spans())

        eventually(refreshed)
        spans = sdk.spans()
    refresh = next(span for span in spans if span.name == "refresh of")
    assert refresh.parent is None
    assert attributes(refresh)["routecache.operation"] == "early"
    assert [s.name for s in spans if inside(s, refresh)] == ["get of", "load of", "set of"]
    requests = {s.context.span_id for s in spans if s.name == "request"}
    assert set(linked(refresh)) <= requests
    assert len(linked(refresh)) == 1


def test_an_outage_shows_as_an_error_of_the_step_and_then_as_no_step(
    redis_server: RedisServer,
) -> None:
    with (
        instrumented() as sdk,
        BaseCacheManager(redis_url=redis_server.url, cache_prefix="oo", policy=PATIENT) as manager,
    ):
        manager.get("connected")
        redis_server.stop()
        with sdk.tracer.start_as_current_span("outage"):
            for n in range(30):
                manager.get(str(n))
        steps = [attributes(span) for span in sdk.spans() if span.name == "get oo"]
        assert manager.get_stats()["redis_available"] is False
    assert 0 < len(steps) < 30, "the circuit opened, and what it holds back is no step"
    assert {step["error.type"] for step in steps} <= {"connection", "timeout"}


REDIS_PY = """
    import json, os
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    from redis.observability.config import MetricGroup, OTelConfig
    from redis.observability.providers import get_observability_instance
    groups = list(MetricGroup)
    assert MetricGroup.COMMAND in groups and MetricGroup.CONNECTION_ADVANCED in groups
    get_observability_instance().init(OTelConfig(metric_groups=groups))

    def found():
        data = reader.get_metrics_data()
        return sorted(
            m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics
        ) if data else []

    from routecache import BaseCacheManager, Policy
    with BaseCacheManager(redis_url=os.environ["REDIS_URL"], policy=Policy(l2_timeout=5)) as cache:
        cache.set("a", 1)
        cache.core.drop_all()
        assert cache.get("a") == 1
    ours = found()
    import redis
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.get("a")
    client.close()
    print(json.dumps([ours, found()]))
"""


def test_redis_pys_own_metrics_see_its_own_clients_and_not_the_caches_round_trips(
    shared_redis: RedisServer,
) -> None:
    """What docs/opentelemetry.md says of `db.client.*`; an upgrade that changes it is seen."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REDIS_PY)],
        env={"REDIS_URL": shared_redis.url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours, with_a_client = json.loads(done.stdout)
    assert ours == ["redis.client.connection.closed"]
    assert {"db.client.operation.duration", "db.client.connection.create_time"} <= {*with_a_client}
