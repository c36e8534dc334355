"""Exemplars on their way: from traced requests, of threads and tasks, to Prometheus' API."""

import asyncio
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry

from routecache import AsyncCacheManager, BaseCacheManager, exemplars, snapshot
from routecache.exemplars import set_exemplar_source
from routecache_exporters.demo.processes import Processes
from routecache_exporters.http import start_http_server
from routecache_exporters.tracing import trace_labels
from tests.helpers import eventually
from tests.servers import RedisServer
from tests.topologies import free_port

TASKS = (1, 4, 20, 60)
TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7


class _Span(NonRecordingSpan):
    """A span that is recorded, as an SDK's is."""

    def is_recording(self) -> bool:
        return True


@pytest.fixture
def source_of_the_exporter() -> Iterator[None]:
    before = exemplars._source
    set_exemplar_source(None)
    yield
    set_exemplar_source(before)


def _ask(url: str, **parameters: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=5) as response:
        return json.load(response)["data"]


def _is_up(url: str) -> bool:
    try:
        _ask(url, query="vector(1)")
    except OSError:
        return False
    return True


@pytest.mark.needs("prometheus")
def test_a_traced_request_is_found_through_prometheus(
    shared_redis: RedisServer, source_of_the_exporter: None
) -> None:
    context = SpanContext(TRACE, SPAN, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    address = f"127.0.0.1:{free_port()}"
    api = f"http://{address}/api/v1"
    with (
        start_http_server(port=0, registry=CollectorRegistry()) as server,
        BaseCacheManager(redis_url=shared_redis.url, cache_prefix="traced") as cache,
        Processes() as processes,
    ):
        with trace.use_span(_Span(context)):
            cache.get_or_load("k", lambda: 1)
        cache.get_or_load("untraced", lambda: 1)
        config = processes.directory("prometheus") / "prometheus.yml"
        targets = [{"targets": [f"127.0.0.1:{server.port}"]}]
        job = {"job_name": "router", "scrape_interval": "1s", "static_configs": targets}
        config.write_text(yaml.safe_dump({"scrape_configs": [job]}))
        prometheus = processes.start(
            "prometheus",
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={config.parent / 'data'}",
                f"--web.listen-address={address}",
                "--enable-feature=exemplar-storage",
            ],
        )
        processes.wait_until(prometheus, lambda: _is_up(f"{api}/query"), threading.Event())
        now = time.time()

        def found(series: str) -> list[Any]:
            parameters = {"query": series, "start": str(now - 600), "end": str(now + 600)}
            answer = _ask(f"{api}/query_exemplars", **parameters)
            return [exemplar for each in answer for exemplar in each["exemplars"]]

        for series in (
            'routecache_request_duration_seconds_bucket{cache="traced",outcome="load"}',
            'routecache_load_duration_seconds_bucket{cache="traced"}',
            'routecache_l2_operation_duration_seconds_bucket{operation="get"}',
        ):
            labels = [
                exemplar["labels"]
                for exemplar in eventually(lambda series=series: found(series), 20)  # type: ignore[misc]
            ]
            assert {
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                "span_id": "00f067aa0ba902b7",
            } in labels, series


@pytest.mark.usefixtures("source_of_the_exporter")
def test_tasks_of_one_loop_are_found_by_their_own_traces(shared_redis: RedisServer) -> None:
    set_exemplar_source(trace_labels)

    async def traced(cache: AsyncCacheManager, trace_id: int) -> None:
        context = SpanContext(trace_id, SPAN, is_remote=False, trace_flags=TraceFlags(1))
        with trace.use_span(_Span(context)):
            # Long enough apart for a bucket each, unless the machine is busy.
            await cache.get_or_load(f"k{trace_id}", partial(asyncio.sleep, 0.002 * trace_id))

    async def storm() -> None:
        async with AsyncCacheManager(
            redis_url=shared_redis.url, cache_prefix="traced.tasks"
        ) as cache:
            await asyncio.gather(*(traced(cache, trace_id) for trace_id in TASKS))
            assert cache.sync.remote is not None
            alias = cache.sync.remote.alias
            (endpoint,) = [each for each in snapshot().endpoints if each.alias == alias]
            operations = endpoint.operation_duration["get"].exemplars.values()
            assert {dict(e.labels)["trace_id"] for e in operations} & {f"{n:032x}" for n in TASKS}

    asyncio.run(storm())
    (seen,) = [cache for cache in snapshot().caches if cache.name == "traced.tasks"]
    found = {
        int(dict(exemplar.labels)["trace_id"], 16): exemplar.value
        for exemplar in seen.load_duration.exemplars.values()
    }
    assert found.keys() <= set(TASKS)
    assert found
    for trace_id, seconds in found.items():
        assert seconds >= 0.002 * trace_id * 0.9, "the value belongs to the trace"
