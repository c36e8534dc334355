"""The FastAPI gateway of docs/examples, over providers that are functions."""

import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import httpx
import pytest

from routecache import AsyncRoutingCache, RoutingSettings
from tests.gateways import EXAMPLES
from tests.helpers import in_loop

Provider: TypeAlias = Callable[[httpx.Request], httpx.Response]


class Body(httpx.AsyncByteStream):
    """A body that tells whether its connection was given back."""

    def __init__(self, content: bytes, error: Exception | None = None) -> None:
        self.content = content
        self.error = error
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example, as a module."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("fastapi_gateway")


def gateway(example: Any, cache: AsyncRoutingCache, **providers: Provider) -> Any:
    """A gateway of the example's whose `providers` answer as their functions do."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200)
        return providers[request.url.host](request)

    config = example.Config({name: f"http://{name}" for name in providers}, 1.0, 30.0, "key")
    return example.Gateway(config, cache, httpx.AsyncClient(transport=httpx.MockTransport(answer)))


def memory() -> AsyncRoutingCache:
    return AsyncRoutingCache(RoutingSettings(enable_redis=False))


def well(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={})


async def who(asked: Any, example: Any, users: int = 24) -> dict[str, str | int]:
    """Which provider answered each of `users` users, or the status of an error."""
    answers = {}
    for n in range(users):
        answer = await asked.complete(example.ChatRequest(model="m", user=f"user-{n}"))
        answers[f"user-{n}"] = answer.headers.get("x-provider", answer.status_code)
    return answers


@in_loop
async def rolling(example: Any) -> None:
    async with memory() as shared:
        old = gateway(example, shared, alpha=well, beta=well)
        before = await who(old, example)
        assert set(before.values()) == {"alpha", "beta"}
        fewer = gateway(example, shared, beta=well)
        assert set((await who(fewer, example)).values()) == {"beta"}
        more = gateway(example, shared, alpha=well, beta=well, gamma=well)
        after = await who(more, example)
        assert set(after.values()) == {"alpha", "beta", "gamma"}
        # Whom the new provider is not for stays with the old one.
        assert {user: name for user, name in after.items() if name != "gamma"}.items() <= (
            before.items()
        )
        assert await who(old, example) == before


def test_processes_of_two_releases_with_other_providers_share_a_cache(example: Any) -> None:
    rolling(example)


@in_loop
async def next_one(example: Any, answer: Provider) -> None:
    async with memory() as cache:
        asked = gateway(example, cache, alpha=answer, beta=well)
        assert set((await who(asked, example)).values()) == {"beta"}


def test_a_retry_after_that_no_clock_knows_sends_the_request_to_the_next_provider(
    example: Any,
) -> None:
    header = {"retry-after": "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT"}
    next_one(example, lambda _: httpx.Response(429, headers=header))


def test_an_answer_that_cannot_be_decoded_sends_the_request_to_the_next_provider(
    example: Any,
) -> None:
    bodies: list[Body] = []

    def broken(_: httpx.Request) -> httpx.Response:
        bodies.append(Body(b"this is no gzip"))
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=bodies[-1])

    next_one(example, broken)
    assert bodies
    assert all(body.closed for body in bodies)


@in_loop
async def streams(example: Any, error: Exception | None) -> tuple[list[bytes], bool, list[Body]]:
    bodies: list[Body] = []

    def answers(_: httpx.Request) -> httpx.Response:
        bodies.append(Body(b"data: {}", error))
        return httpx.Response(200, stream=bodies[-1])

    async with memory() as cache:
        asked = gateway(example, cache, alpha=answers)
        for _ in range(2):
            # Two in a row, which do not take it down yet.
            await asked.health.failed("alpha", example.Failure("error"))
        answer = await asked.complete(example.ChatRequest(model="m", stream=True))
        parts = [part async for part in answer.body_iterator]
        await answer.background()
        assert answer.headers["x-provider"] == "alpha"
        await asked.health.failed("alpha", example.Failure("error"))
        return parts, await asked.health.is_up("alpha"), bodies


def test_a_stream_that_ends_well_is_a_success_and_one_that_breaks_off_a_failure(
    example: Any,
) -> None:
    parts, up, bodies = streams(example, None)
    assert (parts, up, [body.closed for body in bodies]) == ([b"data: {}"], True, [True])
    parts, up, bodies = streams(example, httpx.ReadError("a secret"))
    assert (parts[0], up, [body.closed for body in bodies]) == (b"data: {}", False, [True])
    assert b'"error"' in parts[1]
    assert b"secret" not in parts[1]
