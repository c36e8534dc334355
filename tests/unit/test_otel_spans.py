"""Spans of loads, refreshes, waits and invalidations, and none of an L1 hit."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from routecache import MISS, AsyncCacheManager, BaseCacheManager, Policy, tracing
from routecache.errors import LoadTimeoutError
from routecache.testing import FakeRemote, ManualTimer
from tests.helpers import eventually
from tests.otel import inside, instrumented, linked, names, one


def test_no_l1_hit_has_a_span_whatever_is_around_it() -> None:
    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="model") as manager:
        manager.set("a", 1)
        with sdk.tracer.start_as_current_span("request"):
            for _ in range(1000):
                manager.get("a")
                manager.get_or_load("a", lambda: 2)
            manager.get_many(["a"])
        assert names(sdk.spans()) == ["request"]


def test_no_l1_hit_of_asyncio_has_a_span() -> None:
    async def run() -> None:
        async with AsyncCacheManager(enable_redis=False, name="model") as manager:
            await manager.set("a", 1)
            with sdk.tracer.start_as_current_span("request"):
                for _ in range(1000):
                    await manager.get("a")
                    await manager.get_or_load("a", lambda: 2)

    with instrumented() as sdk:
        asyncio.run(run())
        assert names(sdk.spans()) == ["request"]


def test_a_load_is_inside_the_request_and_the_call_of_the_provider_inside_the_load() -> None:
    def loader() -> int:
        with sdk.tracer.start_as_current_span("provider"):
            return 1

    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="model") as manager:
        with sdk.tracer.start_as_current_span("request"):
            assert manager.get_or_load("secret-key", loader) == 1
            with sdk.tracer.start_as_current_span("after"):
                pass
        spans = sdk.spans()
    request, load, provider = (one(spans, n) for n in ("request", "load model", "provider"))
    assert inside(load, request)
    assert inside(provider, load)
    assert inside(one(spans, "after"), request)
    assert load.kind is SpanKind.INTERNAL
    assert dict(load.attributes or {}) == {
        "routecache.cache": "model",
        "routecache.outcome": "value",
    }
    assert "secret-key" not in "".join(span.to_json() for span in spans)


def test_a_load_of_asyncio_is_inside_its_own_tasks_request() -> None:
    async def loader(n: int) -> int:
        with sdk.tracer.start_as_current_span(f"provider {n}"):
            await asyncio.sleep(0)
            return n

    async def request(manager: AsyncCacheManager, n: int) -> None:
        with sdk.tracer.start_as_current_span(f"request {n}"):
            await manager.get_or_load(str(n), lambda: loader(n))
            assert trace.get_current_span().name == f"request {n}"  # type: ignore[attr-defined]

    async def run() -> None:
        async with AsyncCacheManager(enable_redis=False, name="model") as manager:
            await asyncio.gather(*(request(manager, n) for n in range(20)))

    with instrumented() as sdk:
        asyncio.run(run())
        spans = sdk.spans()
    assert len(spans) == 60
    for n in range(20):
        provider = one(spans, f"provider {n}")
        (load,) = [s for s in spans if s.name == "load model" and inside(provider, s)]
        assert inside(load, one(spans, f"request {n}"))


def test_threads_have_each_their_own_load() -> None:
    def request(n: int) -> None:
        with sdk.tracer.start_as_current_span(f"request {n}"):
            manager.get_or_load(str(n), lambda: n)

    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="model") as manager:
        threads = [threading.Thread(target=request, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spans = sdk.spans()
    loads = [span for span in spans if span.name == "load model"]
    assert len(loads) == 8
    assert len({span.context.trace_id for span in loads}) == 8
    for n in range(8):
        assert any(inside(load, one(spans, f"request {n}")) for load in loads)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(ZeroDivisionError("sk-secret"), "error"), (TimeoutError("sk-secret"), "timeout"),
     (KeyboardInterrupt("sk-secret"), "cancelled")],
)  # fmt: skip
def test_a_failed_load_says_how_by_a_bounded_word_and_nothing_else(
    raised: BaseException, kind: str
) -> None:
    def loader() -> int:
        raise raised

    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="model") as manager:
        with sdk.tracer.start_as_current_span("request"), pytest.raises(type(raised)):
            manager.get_or_load("a", loader)
        load = one(sdk.spans(), "load model")
    assert load.attributes is not None
    assert load.attributes["error.type"] == kind
    assert load.attributes["routecache.outcome"] == "error"
    assert load.status.status_code is StatusCode.ERROR
    assert load.status.description is None
    assert not load.events
    assert "sk-secret" not in load.to_json()


def test_a_loader_that_says_there_is_none_is_told_from_one_that_gives_a_value() -> None:
    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="model") as manager:
        with sdk.tracer.start_as_current_span("request"):
            manager.get_or_load("a", lambda: MISS)
        attributes = one(sdk.spans(), "load model").attributes
    assert attributes is not None
    assert attributes["routecache.outcome"] == "none"


def waits(manager: BaseCacheManager, key: str, n: int) -> Callable[[], bool]:
    """Whether `n` callers wait for the flight of `key`."""

    def count() -> bool:
        flight = manager.core.flights._flying.get(key)
        return flight is not None and len(flight.future._condition._waiters) >= n  # type: ignore[attr-defined]

    return count


def test_who_waits_for_anothers_load_has_a_span_linked_to_it() -> None:
    started, go = threading.Event(), threading.Event()

    def slow() -> int:
        started.set()
        go.wait(10)
        return 1

    def request(name: str, loader: Callable[[], int]) -> None:
        with sdk.tracer.start_as_current_span(name):
            assert manager.get_or_load("a", loader) == 1

    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="model") as manager:
        leader = threading.Thread(target=request, args=("leader", slow))
        leader.start()
        started.wait(10)
        waiter = threading.Thread(target=request, args=("waiter", lambda: 2))
        waiter.start()
        eventually(waits(manager, "a", 1))
        go.set()
        leader.join()
        waiter.join()
        spans = sdk.spans()
    wait, load = one(spans, "wait model"), one(spans, "load model")
    assert inside(wait, one(spans, "waiter"))
    assert inside(load, one(spans, "leader"))
    assert linked(wait) == [load.context.span_id]
    assert wait.attributes is not None
    assert wait.attributes["routecache.outcome"] == "load"
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert wait.start_time <= wait.end_time


def test_a_waiter_that_loses_patience_says_so() -> None:
    started, go = threading.Event(), threading.Event()

    def slow() -> int:
        started.set()
        go.wait(10)
        return 1

    policy = Policy(hard_timeout=0.01)
    with (
        instrumented() as sdk,
        BaseCacheManager(enable_redis=False, name="model", policy=policy) as manager,
    ):
        leader = threading.Thread(target=manager.get_or_load, args=("a", slow))
        leader.start()
        started.wait(10)
        with sdk.tracer.start_as_current_span("request"), pytest.raises(LoadTimeoutError):
            manager.get_or_load("a", lambda: 2)
        go.set()
        leader.join()
        wait = one(sdk.spans(), "wait model")
    assert wait.attributes is not None
    assert wait.attributes["error.type"] == "timeout"
    assert not wait.links, "the leader was in no trace"


def expired(manager: Any, timer: ManualTimer) -> None:
    manager.get_or_load("a", lambda: 1)
    timer.advance(11)


def test_a_refresh_is_a_trace_of_its_own_linked_to_the_request_that_asked_for_it() -> None:
    timer = ManualTimer()

    def loader() -> int:
        with sdk.tracer.start_as_current_span("provider"):
            return 2

    with (
        instrumented() as sdk,
        BaseCacheManager(10, 10, enable_redis=False, name="model", policy=Policy(stale_ttl=60),
                         timer=timer) as manager,
    ):  # fmt: skip
        expired(manager, timer)
        with sdk.tracer.start_as_current_span("request"):
            assert manager.get_or_load("a", loader) == 1
        eventually(lambda: manager.get("a") == 2)
        spans = sdk.spans(until="refresh model")
    refresh, load = one(spans, "refresh model"), one(spans, "load model")
    assert refresh.parent is None
    assert linked(refresh) == [one(spans, "request").context.span_id]
    assert inside(load, refresh)
    assert inside(one(spans, "provider"), load)
    assert dict(refresh.attributes or {}) == {
        "routecache.cache": "model",
        "routecache.operation": "stale",
        "routecache.outcome": "load",
    }


def test_a_refresh_of_asyncio_leaves_the_trace_of_the_task_that_asked_for_it() -> None:
    timer = ManualTimer()

    async def run() -> None:
        async with AsyncCacheManager(10, 10, enable_redis=False, name="model", timer=timer,
                                     policy=Policy(stale_ttl=60)) as manager:  # fmt: skip
            await manager.get_or_load("a", lambda: 1)
            timer.advance(11)
            with sdk.tracer.start_as_current_span("request"):
                assert await manager.get_or_load("a", lambda: 2) == 1
            await asyncio.gather(*manager.tiers._waits._running)
            assert await manager.get("a") == 2

    with instrumented() as sdk:
        asyncio.run(run())
        spans = sdk.spans()
    refresh = one(spans, "refresh model")
    assert refresh.parent is None
    assert linked(refresh) == [one(spans, "request").context.span_id]
    assert inside(one(spans, "load model"), refresh)


def test_a_failed_refresh_is_an_error_of_its_own_trace() -> None:
    timer = ManualTimer()
    with (
        instrumented() as sdk,
        BaseCacheManager(10, 10, enable_redis=False, name="model", policy=Policy(stale_ttl=60),
                         timer=timer) as manager,
    ):  # fmt: skip
        expired(manager, timer)
        with sdk.tracer.start_as_current_span("request"):
            assert manager.get_or_load("a", lambda: 1 // 0) == 1
        spans = sdk.spans(until="refresh model")
    assert (one(spans, "refresh model").attributes or {})["routecache.outcome"] == "error"
    assert one(spans, "load model").status.status_code is StatusCode.ERROR


def test_invalidations_have_spans_that_count_and_name_no_key() -> None:
    remote = FakeRemote(ManualTimer())
    with instrumented() as sdk, BaseCacheManager(redis_client=remote, name="model") as manager:
        with sdk.tracer.start_as_current_span("request"):
            manager.delete("secret-key")
            manager.delete_many(["a", "b", "c"])
            manager.invalidate_tags("secret-tag", "t")
            manager.clear()
        spans = [span for span in sdk.spans() if span.name == "invalidate model"]
    told = [
        (
            (s.attributes or {})["routecache.operation"],
            (s.attributes or {}).get("routecache.batch.size"),
        )
        for s in spans
    ]
    assert told == [("delete", None), ("delete", 3), ("tags", 2), ("clear", None)]
    assert "secret" not in "".join(span.to_json() for span in spans)


def everything(manager: BaseCacheManager) -> None:
    manager.get_or_load("a", lambda: 1)
    manager.get("b")
    manager.delete("a")
    manager.invalidate_tags("t")
    manager.clear()


def test_outside_of_any_span_nothing_is_traced_unless_roots_are_wanted() -> None:
    remote = FakeRemote(ManualTimer())
    with instrumented() as sdk, BaseCacheManager(redis_client=remote, name="model") as manager:
        everything(manager)
        assert sdk.spans() == []
    with instrumented(roots=True) as sdk, BaseCacheManager(redis_client=remote) as manager:
        everything(manager)
        spans = sdk.spans()
    assert names(spans) == ["load cache", *["invalidate cache"] * 3]
    assert all(span.parent is None for span in spans)


def test_in_a_span_that_is_not_recorded_the_tracer_is_not_even_asked_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    with instrumented(ALWAYS_OFF, roots=True) as sdk, BaseCacheManager(enable_redis=False) as m:
        assert tracing.hook is not None
        monkeypatch.setattr(tracing.hook, "begin", asked.append)
        with sdk.tracer.start_as_current_span("request"):
            everything(m)
        assert asked == []
        assert sdk.spans() == []


def test_uninstrumented_there_is_no_hook_and_no_span() -> None:
    with instrumented() as sdk:
        hooks = [tracing.hook]
    hooks.append(tracing.hook)
    assert [hook is None for hook in hooks] == [False, True]
    with BaseCacheManager(enable_redis=False) as manager, sdk.tracer.start_as_current_span("r"):
        everything(manager)
    assert names(sdk.spans()) == ["r"]


def test_a_tracer_of_the_programs_own_is_left_alone_by_uninstrument() -> None:
    other: Any = object()
    with instrumented():
        tracing.set_tracer(other)
    left, tracing.hook = tracing.hook, None
    assert left is other


def test_a_load_that_begins_instrumented_and_ends_uninstrumented_ends_its_span() -> None:
    with instrumented() as sdk, BaseCacheManager(enable_redis=False, name="model") as manager:

        def loader() -> int:
            tracing.set_tracer(None)
            return 1

        with sdk.tracer.start_as_current_span("request") as request:
            manager.get_or_load("a", loader)
            assert trace.get_current_span() is request
        assert names(sdk.spans()) == ["load model", "request"]
