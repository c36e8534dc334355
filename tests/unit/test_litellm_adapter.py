"""The callback for LiteLLM's Router, on what LiteLLM hands it; the real one is in test_gateways."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from routecache import AsyncRoutingCache, RoutingSettings
from tests.helpers import in_loop
from tests.litellm_fake import (
    APIConnectionError,
    LateError,
    LostError,
    attempt,
    break_log,
    installed,
    retried,
    stream_log,
)

if TYPE_CHECKING:
    from routecache.adapters.litellm import Deployment, RoutingCacheCallback


@pytest.fixture(autouse=True)
def fake_litellm() -> Iterator[None]:
    with installed("routecache.adapters.litellm"):
        yield


class Refused(Exception):
    """An exception of LiteLLM's, which name an HTTP status."""

    def __init__(self, status: int, headers: Mapping[str, Any] | None = None) -> None:
        super().__init__("a secret")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers or {}})()


class Choose:
    """Chooses the first of those offered, or what it is told to, and remembers for whom."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, list[str]]] = []

    async def __call__(self, content: Any, deployments: "Sequence[Deployment]") -> str:
        names = [d["model_info"]["id"] for d in deployments]
        self.asked.append((content, names))
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: str = names[0] if self.answer is None else self.answer
        return answer


def memory() -> AsyncRoutingCache:
    return AsyncRoutingCache(RoutingSettings(enable_redis=False))


def callback(cache: AsyncRoutingCache, **arguments: Any) -> "RoutingCacheCallback":
    import litellm

    from routecache.adapters.litellm import RoutingCacheCallback

    made = RoutingCacheCallback(cache, **arguments)
    litellm.callbacks.append(made)
    return made


async def left(
    asked: "RoutingCacheCallback", *names: str, request: dict[str, Any] | None = None
) -> list[str]:
    """Which of the deployments `names` the callback leaves to the Router."""
    deployments = [{"model_info": {"id": name}} for name in names]
    answer = await asked.async_filter_deployments("chat", deployments, None, request or {})
    return [d["model_info"]["id"] for d in answer]


async def fail(
    told: "RoutingCacheCallback", name: str, error: Exception | None = None, **more: Any
) -> None:
    await told.async_post_call_failure_deployment_hook(
        attempt(name, **more), error or Refused(500), None
    )


@in_loop
async def test_without_a_choice_those_that_are_up_are_left_to_the_router() -> None:
    async with memory() as cache:
        routing = callback(cache, failures=1)
        assert await left(routing, "a", "b", "c") == ["a", "b", "c"]
        await fail(routing, "b")
        assert await left(routing, "a", "b", "c") == ["a", "c"]
        await fail(routing, "a")
        await fail(routing, "c")
        assert await left(routing, "a", "b", "c") == ["a", "b", "c"], "all are down: none left out"


@pytest.mark.parametrize("streams", [False, True])
@in_loop
async def test_a_success_between_failures_begins_them_anew_be_it_a_stream_or_not(
    streams: bool,
) -> None:
    async with memory() as cache:
        routing = callback(cache, failures=3)
        for _ in range(4):
            await fail(routing, "a")
            await fail(routing, "a")
            if streams:
                await routing.async_log_success_event(stream_log("a"), None, None, None)
            else:
                await routing.async_post_call_success_deployment_hook(attempt("a"), None, None)
        assert await left(routing, "a", "b") == ["a", "b"]
        for _ in range(3):
            await fail(routing, "a")
        assert await left(routing, "a", "b") == ["b"]


@pytest.mark.parametrize(
    "told",
    [
        stream_log("a", cache_hit=True),
        stream_log("a", litellm_params=None),
        stream_log("a", stream=False),
        stream_log("b"),
    ],
    ids=["answered by LiteLLM's cache", "of nobody", "entered by the other hook", "of another"],
)
@in_loop
async def test_what_is_no_streams_success_leaves_failures_in_a_row(told: dict[str, Any]) -> None:
    async with memory() as cache:
        routing = callback(cache, failures=2)
        await fail(routing, "a")
        await routing.async_log_success_event(told, None, None, None)
        await fail(routing, "a")
        assert await left(routing, "a", "b") == ["b"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.RemoteProtocolError("a secret"), "error"),
        (httpx.ReadTimeout("a secret"), "timeout"),
        (LostError(), "error"),
        (LateError(), "timeout"),
        (Refused(503), "error"),
        (Refused(408), "timeout"),
    ],
)
@in_loop
async def test_a_stream_that_the_provider_breaks_off_is_a_failure(
    error: Exception, kind: str
) -> None:
    async with memory() as cache:
        routing = callback(cache, failures=2)
        for _ in range(2):
            assert await left(routing, "a", "b") == ["a", "b"]
            await routing.async_log_failure_event(break_log("a", error), None, None, None)
        assert await left(routing, "a", "b") == ["b"]
        assert await cache.get_provider_status("a") == {"up": False, "why": kind}


@pytest.mark.parametrize(
    "told",
    [
        break_log("a", Refused(400)),
        break_log("a", APIConnectionError()),
        break_log("a", ValueError("a secret")),
        break_log("a", None),
        break_log("a", LostError(), completion_start_time=None),
        break_log("a", LostError(), stream=False),
        break_log("a", LostError(), litellm_params={}),
    ],
    ids=[
        "an error of the caller",
        "unexplained",
        "of no connection",
        "of no error",
        "entered by the other hook",
        "no stream",
        "of nobody",
    ],
)
@in_loop
async def test_another_end_of_a_stream_counts_for_nothing(told: dict[str, Any]) -> None:
    async with memory() as cache:
        routing = callback(cache, failures=1)
        await routing.async_log_failure_event(told, None, None, None)
        assert await left(routing, "a", "b") == ["a", "b"]


@in_loop
async def test_a_callback_that_was_taken_out_hears_no_more_of_streams() -> None:
    import litellm

    async with memory() as cache:
        routing = callback(cache, failures=1)
        litellm.callbacks.remove(routing)
        await routing.async_log_failure_event(break_log("a", LostError()), None, None, None)
        assert await left(routing, "a", "b") == ["a", "b"]


@in_loop
async def test_litellm_can_tell_callbacks_of_one_process_apart() -> None:
    async with memory() as cache:
        names = {callback(cache).callback_name for _ in range(3)}
        assert len(names) == 3


@pytest.mark.parametrize(
    ("name", "error", "more"),
    [
        ("a", Refused(429), {"mock_response": "litellm.RateLimitError"}),
        ("a", Refused(408), {"mock_timeout": True}),
        ("a", Refused(429), {"model_info": {"id": "41d93c97", "original_model_id": "a"}}),
        ("a", Refused(401), {}),
        ("a", APIConnectionError(), {}),
        ("a", ValueError("a secret"), {}),
        ("a", Refused(500), {"model_info": None}),
    ],
    ids=[
        "an error that the caller made up",
        "a time-out that the caller made up",
        "credentials of the caller's own",
        "an error of the caller",
        "unexplained",
        "without a status",
        "of no deployment",
    ],
)
@in_loop
async def test_a_failure_that_tells_nothing_of_the_deployment_counts_for_nothing(
    name: str, error: Exception, more: dict[str, Any]
) -> None:
    async with memory() as cache:
        routing = callback(cache, failures=1)
        await fail(routing, name, error, **more)
        assert await left(routing, "a", "b") == ["a", "b"]
        assert cache.provider_health() == {}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (7, 30),
        (b"7", 30),
        ("Mon, 01 Jan 2024 99999999999999999999:00:00 GMT", 30),
    ],
)
@in_loop
async def test_a_rate_limit_lasts_as_long_as_a_header_says_that_can_be_read(
    header: object, seconds: float
) -> None:
    async with memory() as cache:
        routing = callback(cache, cooldown=30)
        await fail(routing, "a", Refused(429, {"retry-after": header}))
        assert await left(routing, "a", "b") == ["b"]
        remaining = await cache._provider.ttl("a")
        assert remaining is not None
        assert seconds - 5 < remaining <= seconds


@pytest.mark.parametrize("choose", [None, Choose("a")])
@in_loop
async def test_a_request_is_not_sent_twice_to_where_it_failed(choose: Choose | None) -> None:
    async with memory() as cache:
        routing = callback(cache, choose=choose)
        assert await left(routing, "a", "b", request=retried("a")) == ["b"]
        of_responses = {"litellm_metadata": retried("a")["metadata"]}
        assert await left(routing, "a", "b", request=of_responses) == ["b"]
        unfailed = await left(routing, "a", "b")
        assert await left(routing, "a", "b", request=retried("b", "a")) == unfailed
        unreadable = {"metadata": {"previous_models": [None, {"deployment_id": 7}]}}
        assert await left(routing, "a", "b", request=unreadable) == unfailed


@pytest.mark.parametrize("choose", [None, Choose("a")])
@in_loop
async def test_a_failure_keeps_no_other_request_of_its_session_away(choose: Choose | None) -> None:
    async with memory() as cache:
        routing = callback(cache, choose=choose)
        before = await left(routing, "a", "b", request={"litellm_trace_id": "session"})
        await fail(routing, "a", litellm_trace_id="session")
        assert await left(routing, "a", "b", request={"litellm_trace_id": "session"}) == before


@in_loop
async def test_a_context_keeps_its_deployment_until_that_goes_down() -> None:
    async with memory() as cache:
        choose = Choose()
        routing = callback(cache, choose=choose, failures=1)
        for _ in range(5):
            assert await left(routing, "a", "b") == ["a"]
        assert choose.asked == [("chat", ["a", "b"])]
        await fail(routing, "a")
        for _ in range(5):
            assert await left(routing, "a", "b", "c") == ["b"]
        assert choose.asked[1:] == [("chat", ["b", "c"])]


@in_loop
async def test_a_choice_whose_deployment_is_down_is_made_anew_once() -> None:
    async with memory() as cache:
        choose = Choose()
        routing = callback(cache, choose=choose, failures=1)
        await fail(routing, "a")
        await cache.set_model_selection("chat", "a")
        for _ in range(5):
            assert await left(routing, "a", "b", "c") == ["b"]
        assert len(choose.asked) == 1


@in_loop
async def test_requests_of_one_context_with_other_candidates_leave_each_others_choice_alone() -> (
    None
):
    async with memory() as cache:
        choose = Choose()
        routing = callback(cache, choose=choose, context=lambda group, request: {"group": group})
        for _ in range(10):
            assert await left(routing, "a", "b") == ["a"]
            assert await left(routing, "x", "y") == ["x"]
        of = {"group": "chat"}
        assert choose.asked == [(of, ["a", "b"]), (of, ["x", "y"])]
        assert await cache.get_model_selection(of) == "a"


@pytest.mark.parametrize("answer", ["gpt-4o", "", 7, ["a"]])
@in_loop
async def test_a_choice_that_is_no_deployments_id_is_told_once_and_never_stored(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with memory() as cache:
        routing = callback(cache, choose=Choose(answer))
        for _ in range(5):
            assert await left(routing, "a", "b") == ["a", "b"]
        assert await cache.get_model_selection("chat") is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "model_info.id" in caplog.text


@pytest.mark.parametrize("what", ["choose", "context"])
@in_loop
async def test_what_choose_or_context_raises_fails_no_request_and_its_text_is_not_logged(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(group: str, request: Mapping[str, Any]) -> object:
        raise KeyError("a secret")

    async with memory() as cache:
        arguments: dict[str, Any] = {"choose": Choose(KeyError("a secret"))}
        if what == "context":
            arguments = {"choose": Choose(), "context": raises}
        assert await left(callback(cache, **arguments), "a", "b") == ["a", "b"]
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


@in_loop
async def test_deployments_that_cannot_be_read_are_left_as_they_are() -> None:
    async with memory() as cache:
        routing = callback(cache)
        odd = [{"model_info": {}}, {"model_info": {"id": "a"}}]
        assert await routing.async_filter_deployments("chat", odd, None) == odd
