"""Providers that answer at once, fail, dawdle or rate-limit, for trying a gateway without keys.

    uvicorn --app-dir docs/examples --port 9000 stub_providers:app

Every name is a provider of its own, with the part of OpenAI's interface that the gateways use:

    POST /alpha/v1/chat/completions    an answer that says "alpha"
    GET  /alpha/v1/models              what the gateways ask as a probe
    POST /alpha/mode                   {"mode": "fail"}: ok, fail (500), slow, limit (429), break (a
                                       stream in its middle, all else is answered)
    GET  /calls                        {"alpha": {"chat": 3, "probe": 1}}
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

SLOW_SECONDS: Final = 5.0
RETRY_AFTER_SECONDS: Final = 1

_STATUS: Final = {"ok": 200, "slow": 200, "fail": 500, "limit": 429, "break": 200}

_modes: dict[str, str] = {}
_calls: defaultdict[str, Counter[str]] = defaultdict(Counter)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The providers, as an ASGI application."""
    if scope["type"] != "http":
        return
    body = await _body(receive)
    name, _, path = scope["path"].strip("/").partition("/")
    if name == "calls" and not path:
        await _answer(send, 200, _calls)
    elif path == "mode":
        mode = json.loads(body)["mode"]
        if mode in _STATUS:
            _modes[name] = mode
        await _answer(send, 200 if mode in _STATUS else 400, {"mode": _modes.get(name, "ok")})
    elif path in ("v1/chat/completions", "chat/completions"):
        _calls[name]["chat"] += 1
        request = json.loads(body)
        if request.get("messages"):
            await _chat(name, request, send)
        else:
            await _answer(send, 400, {"error": {"message": "there is no message"}})
    elif path in ("v1/models", "models"):
        _calls[name]["probe"] += 1
        await _chat_or_error(name, send, {"object": "list", "data": []})
    else:
        await _answer(send, 404, {"error": {"message": "no such page"}})


async def _chat(name: str, request: dict[str, Any], send: Send) -> None:
    answer: dict[str, Any] = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": request.get("model", ""),
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    if request.get("stream") and _STATUS[_modes.get(name, "ok")] == 200:
        await _dawdle(name)
        answer["object"] = "chat.completion.chunk"
        deltas: list[tuple[dict[str, str], str | None]] = [
            ({"role": "assistant", "content": name}, None),
            ({}, "stop"),
        ]
        events = [
            {**answer, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            for delta, reason in deltas
        ]
        lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]
        broken = _modes.get(name) == "break"
        text = lines[0] if broken else "".join(lines)
        await _send(send, 200, text.encode(), b"text/event-stream", whole=not broken)
        return
    message = {"role": "assistant", "content": name, "tools": _tools(request)}
    answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    await _chat_or_error(name, send, {**answer, "usage": usage})


async def _chat_or_error(name: str, send: Send, answer: dict[str, Any]) -> None:
    await _dawdle(name)
    status = _STATUS[_modes.get(name, "ok")]
    if status != 200:
        answer = {"error": {"message": "as asked for", "type": "stub"}}
    await _answer(send, status, answer)


async def _dawdle(name: str) -> None:
    if _modes.get(name) == "slow":
        await asyncio.sleep(SLOW_SECONDS)


def _tools(request: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in request.get("tools") or ()]


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body"):
            return body


async def _answer(send: Send, status: int, answer: Any) -> None:
    await _send(send, status, json.dumps(answer).encode(), b"application/json")


async def _send(send: Send, status: int, body: bytes, kind: bytes, *, whole: bool = True) -> None:
    """If it is not the `whole` answer, the server closes the connection after `body`."""
    headers = [(b"content-type", kind)]
    if whole:
        headers.append((b"content-length", str(len(body)).encode()))
    if status == 429:
        headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": not whole})
