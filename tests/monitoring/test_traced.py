"""An exemplar on its way: from a traced request to Prometheus' exemplar API."""

import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry

from routecache import BaseCacheManager, exemplars
from routecache.exemplars import set_exemplar_source
from routecache_exporters.demo.processes import Processes
from routecache_exporters.http import start_http_server
from tests.helpers import eventually
from tests.servers import RedisServer
from tests.topologies import free_port

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
