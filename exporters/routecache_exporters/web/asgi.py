"""The site as an ASGI 3 application."""

import asyncio
import io
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from routecache import forking
from routecache_exporters.web.answers import Response, plain_text
from routecache_exporters.web.core import Site, fold_headers

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS: Final = 10.0
"""For a request's body, in all. Servers have no such bound of their own."""

_THREADS: Final = 2


def asgi_app(site: Site) -> ASGIApplication:
    """`site` as an ASGI application, which may be mounted at any path. For asyncio servers.

    Answers are made in threads of its own: rendering some thousand series takes milliseconds of
    the event loop, and the loop's default threads may all be busy with slow loads at the very
    moment when somebody wants to know why.
    """
    threads = _Threads()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            response = await _respond(site, threads.pool, scope, receive)
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status.value,
                    "headers": [
                        (name.lower().encode("latin-1"), value.encode("latin-1"))
                        for name, value in response.headers
                    ],
                }
            )
            await send({"type": "http.response.body", "body": response.body})
        else:
            raise ValueError(f"scope type {scope['type']!r} is not served here")

    return app


class _Threads:
    """The threads that make answers; a forked child, in which none of them runs, gets its own."""

    def __init__(self) -> None:
        self.reset_after_fork()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Let go of the parent's, which would take work and never do it."""
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="routecache-exporter")


def beside_asgi(app: ASGIApplication, exporter: ASGIApplication, path: str) -> ASGIApplication:
    """Both as one application: `exporter` at `path` and below, `app` everywhere else.

    The lifespan and web sockets are `app`'s.
    """

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            mount, asked = _split(scope)
            if asked == path or asked.startswith(path + "/"):
                inside = {**scope, "root_path": mount + path, "path": mount + asked}
                await exporter(inside, receive, send)
                return
        await app(scope, receive, send)

    return both


async def _respond(
    site: Site, pool: ThreadPoolExecutor, scope: Scope, receive: Receive
) -> Response:
    in_thread = partial(asyncio.get_running_loop().run_in_executor, pool)
    mount, path = _split(scope)
    headers = fold_headers((k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"])
    read = None
    if site.takes_body(scope["method"], path):
        # Before anything is read: nobody may fill the memory who may not write.
        refusal = await in_thread(partial(site.refusal, headers))
        if refusal is not None:
            return refusal
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive, int(headers["content-length"]))
        except TimeoutError:
            return plain_text(HTTPStatus.REQUEST_TIMEOUT, "The body took too long.\n")
        read = io.BytesIO(body).read
    answer = partial(
        site.respond,
        scope["method"],
        path,
        headers,
        scope.get("query_string", b"").decode("latin-1"),
        mount=mount,
        read=read,
    )
    return await in_thread(answer)


async def _body(receive: Receive, length: int) -> bytes:
    """The request's body, cut where nobody reads on."""
    body = bytearray()
    while len(body) < length:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body", False):
            break
    return bytes(body[:length])


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def _split(scope: Scope) -> tuple[str, str]:
    # `path` includes `root_path` by the specification; servers and frameworks that predate its
    # clarification leave it out.
    mount, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    if mount and (path == mount or path.startswith(mount + "/")):
        path = path[len(mount) :]
    return mount, path
