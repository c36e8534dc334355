"""A tracer that breaks, at any of its methods, breaks no call of the cache."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from routecache import AsyncCacheManager, BaseCacheManager, Policy, tracing
from routecache.errors import CircuitOpenError, RemoteError
from routecache.testing import FakeRemote, ManualTimer
from routecache.tracing import Details, L2Step, Span, SpanKind
from routecache.typing import Leased
from tests.helpers import eventually

METHODS = ("wants", "here", "begin", "record", "place", "end")


class Broken:
    """A tracer that raises in one of its methods, and notes what it was told."""

    def __init__(self, at: str = "") -> None:
        self.at = at
        self.told: list[Details] = []
        self.ended: list[tuple[str | None, str | None]] = []

    def _maybe(self, method: str) -> None:
        if method == self.at:
            raise LookupError("sk-secret")

    def wants(self, kind: SpanKind) -> bool:
        self._maybe("wants")
        return True

    def here(self) -> object:
        self._maybe("here")
        return "here"

    def begin(self, details: Details) -> Span:
        self._maybe("begin")
        self.told.append(details)
        return self

    def record(self, details: Details, seconds: float) -> None:
        self._maybe("record")
        assert seconds >= 0
        self.told.append(details)

    @property
    def place(self) -> object:
        self._maybe("place")
        return "there"

    def end(self, outcome: str | None, error: str | None) -> None:
        self._maybe("end")
        self.ended.append((outcome, error))


@pytest.fixture(autouse=True)
def no_tracer() -> Iterator[None]:
    yield
    tracing.set_tracer(None)


def stale(timer: ManualTimer) -> dict[str, Any]:
    return {
        "l1_ttl": 10, "enable_redis": False, "name": "model", "timer": timer,
        "policy": Policy(stale_ttl=60),
    }  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_broken_tracer_is_logged_by_type_and_asked_no_more(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    timer = ManualTimer()
    tracer = Broken(method)
    tracing.set_tracer(tracer)
    with BaseCacheManager(**stale(timer)) as manager:
        assert manager.get_or_load("a", lambda: 1) == 1
        timer.advance(11)
        assert manager.get_or_load("a", lambda: 2) == 1
        eventually(lambda: manager.get("a") == 2)
        assert manager.delete("a")
        manager.invalidate_tags("t")
        assert manager.clear()
        tracing.record(Details("wait", "model"), 0.0)
    assert tracing.hook is None
    assert caplog.text.count("LookupError") >= 1
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize("method", METHODS)
def test_a_broken_tracer_breaks_no_call_of_asyncio(method: str) -> None:
    timer = ManualTimer()

    async def run() -> None:
        async with AsyncCacheManager(**stale(timer)) as manager:
            found = await asyncio.gather(
                *(manager.get_or_load("a", lambda: asyncio.sleep(0, 1)) for _ in range(5))
            )
            assert found == [1] * 5
            timer.advance(11)
            assert await manager.get_or_load("a", lambda: 2) == 1
            await asyncio.gather(*manager.tiers._waits._running)
            assert await manager.get("a") == 2
            assert await manager.delete("a")
            await manager.invalidate_tags("t")
            assert await manager.clear()

    tracing.set_tracer(Broken(method))
    asyncio.run(run())


def test_a_tracer_that_came_after_the_broken_one_stays() -> None:
    sound = Broken()

    class Late(Broken):
        def wants(self, kind: SpanKind) -> bool:
            tracing.set_tracer(sound)
            raise LookupError

    tracing.set_tracer(Late())
    assert not tracing.wanted("load")
    assert tracing.hook is sound


@pytest.mark.parametrize(
    ("operation", "results", "expected"),
    [
        ("get", [b"1"], ("hit", None)),
        ("get", [None], ("miss", None)),
        ("get", [b"1", None], ("partial", None)),
        ("get", [Leased(None, "t")], ("miss", None)),
        ("get", [Leased(b"1", None)], ("hit", None)),
        ("get", [b"1", RemoteError("timeout")], ("error", "timeout")),
        ("set", [True, False], ("done", None)),
        ("set", [RemoteError("oom")], ("error", "oom")),
        ("tags", [RemoteError("noscript")], ("error", "other")),
        ("delete", [CircuitOpenError(), RemoteError("busy")], ("error", "busy")),
    ],
)
def test_a_step_of_l2_tells_its_outcome_by_bounded_words(
    operation: Any, results: list[Any], expected: tuple[str, str | None]
) -> None:
    tracer = Broken()
    tracing.set_tracer(tracer)
    with L2Step("model", "redis", operation, len(results)) as step:
        step.results = results
    (told,) = tracer.told
    assert (told.outcome, told.error) == expected
    assert (told.kind, told.cache, told.l2, told.size) == ("l2", "model", "redis", len(results))


def test_what_an_open_circuit_held_back_was_no_step() -> None:
    tracer = Broken()
    tracing.set_tracer(tracer)
    with L2Step("model", "redis", "get", 2) as step:
        step.results = [CircuitOpenError(), CircuitOpenError()]
    assert tracer.told == []


def test_a_cancelled_step_of_l2_is_told_of_and_goes_on_being_cancelled() -> None:
    tracer = Broken()
    tracing.set_tracer(tracer)
    with pytest.raises(asyncio.CancelledError), L2Step("model", "redis", "get", 3):
        raise asyncio.CancelledError
    (told,) = tracer.told
    assert (told.outcome, told.error, told.size) == ("error", "cancelled", 3)


def test_details_hold_no_key_no_tag_and_no_value() -> None:
    tracer = Broken()
    tracing.set_tracer(tracer)
    with BaseCacheManager(redis_client=FakeRemote(ManualTimer()), name="model") as manager:
        manager.get_or_load("secret-key", lambda: "secret-value", tags=("secret-tag",))
        manager.delete("secret-key")
        manager.invalidate_tags("secret-tag")
    assert len(tracer.told) == 3
    assert len(tracer.ended) == 3
    assert "secret" not in repr(tracer.told)
