"""What callers may say to the gateway of docs/examples that drives LiteLLM's Router."""

import asyncio
import importlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateways import EXAMPLES
from tests.litellm_fake import Router, installed

HELLO = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example, as a module."""
    monkeypatch.syspath_prepend(EXAMPLES)
    with installed("routecache.adapters.litellm", "litellm_gateway"):
        yield importlib.import_module("litellm_gateway")


def asked(gateway: Any, body: bytes) -> tuple[int, list[dict[str, Any]]]:
    """What a request is answered, and what of it reaches the Router."""
    router = Router()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scope["state"] = {"router": router}
        await gateway.app(scope, receive, send)

    async def ask() -> int:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
            return (await http.post("/v1/chat/completions", content=body)).status_code

    return asyncio.run(ask()), router.asked


def test_what_openai_takes_reaches_the_router(gateway: Any) -> None:
    request = {**HELLO, "user": "somebody", "temperature": 0.5, "tools": [], "max_tokens": 7}
    assert asked(gateway, json.dumps(request).encode()) == (200, [request])


@pytest.mark.parametrize(
    "argument",
    [
        *("api_base", "base_url", "api_key", "api_version", "extra_headers", "extra_body"),
        *("mock_response", "mock_timeout", "mock_testing_fallbacks", "timeout", "num_retries"),
        *("fallbacks", "specific_deployment", "metadata", "litellm_metadata", "litellm_trace_id"),
        *("custom_llm_provider", "model_info", "client", "proxy_server_request"),
    ],
)
def test_what_only_litellm_takes_does_not(gateway: Any, argument: str) -> None:
    body = json.dumps({**HELLO, argument: "http://evil"}).encode()
    assert asked(gateway, body) == (200, [HELLO])


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff", b"null", b"7", b'["model", "messages"]', b'"model messages"', b"{}"),
        *(b'{"model": "chat"}', b"[" * 100_000),
    ],
)
def test_a_body_that_is_no_request_is_the_callers_error(gateway: Any, body: bytes) -> None:
    assert asked(gateway, body) == (400, [])
