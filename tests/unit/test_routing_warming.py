"""What warms a router: requests of the past, items, names, and the hottest keys of Redis."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from routecache import (
    AsyncRoutingCache,
    KeyTypeError,
    PastRequest,
    RoutingCache,
    RoutingLoaders,
    RoutingSettings,
)
from tests.contract.blocking import Blocking

MEMORY_ONLY = RoutingSettings(enable_redis=False)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(params=[RoutingCache, AsyncRoutingCache])
def cache(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    made = Blocking(request.param(MEMORY_ONLY), loop)
    yield made
    made.close()


LOADERS = RoutingLoaders(
    provider=lambda name: {"name": name},
    model=lambda context: f"model for {context['n']}",
    fallback=lambda context: [f"other than {context['n']}"],
    tool=str.lower,
    model_providers=("openai",),
)


def asked(*numbers: int) -> list[PastRequest]:
    return [PastRequest({"n": n}, "openai" if n % 2 else "google", f"Tool{n % 3}") for n in numbers]


def test_what_requests_asked_for_is_loaded_in_all_four_caches(cache: Any) -> None:
    result = cache.warm(asked(1, 2, 3), loaders=LOADERS)
    assert {each.cache: each.loaded for each in result.caches} == {
        "provider": 2, "model": 3, "fallback": 3, "tool": 3,
    }  # fmt: skip
    assert result.complete
    assert cache.get_model_selection({"n": 2}) == "model for 2"
    assert cache.get_fallback_chain({"n": 3}) == ["other than 3"]
    assert cache.get_provider_status("google") == {"name": "google"}
    assert cache.get_normalized_tool("Tool0") == "tool0"


def test_what_was_asked_for_most_comes_first_and_what_there_is_no_room_for_is_left(
    cache: Any,
) -> None:
    often, once = range(60), range(60, 400)
    stream = [n for n in often for _ in range(3)] + list(once)
    result = cache.warm(asked(*stream), loaders=LOADERS)
    assert (result["model"].entries, result["fallback"].entries) == (100, 50)
    assert all(cache.get_model_selection({"n": n}) for n in often)
    assert all(cache.get_fallback_chain({"n": n}) for n in range(50))


def test_a_warmed_selection_carries_its_providers(cache: Any) -> None:
    cache.warm(asked(1), loaders=LOADERS)
    cache.report_provider_health("openai", False)
    assert cache.get_model_selection({"n": 1}) is None
    assert cache.get_fallback_chain({"n": 1}) == ["other than 1"]


def test_an_endless_stream_of_requests_is_read_for_half_of_the_deadline(cache: Any) -> None:
    endless = (request for n in itertools.count() for request in asked(n % 5))
    result = cache.warm(lambda: endless, loaders=LOADERS, deadline=0.4)
    assert result.complete
    assert result["model"].loaded == 5


def test_without_a_loader_what_nobody_holds_is_skipped(cache: Any) -> None:
    result = cache.warm(asked(1, 2))
    assert result["model"].skipped == 2
    assert not result.succeeded
    assert cache.get_model_selection({"n": 1}) is None


def test_names_and_values_may_be_given_beside_requests(cache: Any) -> None:
    result = cache.warm(
        asked(1), loaders=LOADERS, providers=["mistral"], tools={"Web": "search"},
        models=[({"n": 1}, "given"), ({"n": 9}, "given, too")],
    )  # fmt: skip
    assert result.complete
    assert cache.get_model_selection({"n": 1}) == "given"
    assert cache.get_model_selection({"n": 9}) == "given, too"
    assert cache.get_provider_status("mistral") == {"name": "mistral"}
    assert cache.get_normalized_tool("Web") == "search"


def test_a_single_name_is_not_taken_for_its_letters(cache: Any) -> None:
    with pytest.raises(KeyTypeError, match="providers"):
        cache.warm(providers="openai")


def test_a_result_is_found_by_its_caches_name(cache: Any) -> None:
    result = cache.warm(asked(1), loaders=LOADERS)
    assert result["tool"].cache == "tool"
    assert result.warm == 4
    with pytest.raises(KeyError):
        result["other"]


def test_requests_that_raise_leave_what_is_given(cache: Any) -> None:
    def broken() -> Iterator[PastRequest]:
        yield from asked(1, 2)
        raise OSError("secret")

    result = cache.warm(broken, loaders=LOADERS, providers={"p": 1})
    assert [each.problem for each in result.caches] == ["OSError"] * 4
    assert not any(each.succeeded or each.complete for each in result.caches)
    assert cache.get_provider_status("p") == 1
    assert cache.get_model_selection({"n": 2}) == "model for 2"  # it was read before the error
    assert "secret" not in repr(result)


async def stream() -> AsyncIterator[PastRequest]:
    for request in asked(1, 2, 1):
        yield request


async def fetched() -> list[PastRequest]:
    return asked(1, 2, 1)


async def opened() -> AsyncIterator[PastRequest]:
    return stream()


@pytest.mark.parametrize("given", [stream, fetched, opened, None])
def test_asyncio_takes_requests_and_loaders_that_are_awaited(
    loop: asyncio.AbstractEventLoop, given: Any
) -> None:
    requests = stream() if given is None else given

    async def model(context: Any) -> str:
        await asyncio.sleep(0)
        return f"awaited {context['n']}"

    made = Blocking(AsyncRoutingCache(MEMORY_ONLY), loop)
    result = made.warm(requests, loaders=RoutingLoaders(model=model))
    assert result["model"].loaded == 2
    assert made.get_model_selection({"n": 2}) == "awaited 2"
    made.close()


@pytest.mark.parametrize("streamed", [True, False])
def test_a_long_log_in_memory_does_not_hold_the_event_loop(
    loop: asyncio.AbstractEventLoop, streamed: bool
) -> None:
    turns, seen = itertools.count(), list[int]()
    latest = 0

    def turn() -> None:
        nonlocal latest
        latest = next(turns)
        if len(seen) < 2000:
            loop.call_soon(turn)

    def log() -> Iterator[PastRequest]:
        loop.call_soon(turn)
        for request in asked(*range(2000)):
            seen.append(latest)
            yield request

    async def stream_of_log() -> AsyncIterator[PastRequest]:
        for request in log():
            yield request

    async def fetched_log() -> Iterator[PastRequest]:
        return log()

    made = Blocking(AsyncRoutingCache(MEMORY_ONLY), loop)
    made.warm(stream_of_log if streamed else fetched_log)
    made.close()
    assert len(set(seen)) > 5, "others had their turn while it was read"
