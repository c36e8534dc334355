"""The site as an ASGI 3 application."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeAlias

from routecache import forking
from routecache_exporters.web.alertmanager import MAX_BODY
from routecache_exporters.web.core import Site, fold_headers

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

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
            mount, path = _split(scope)
            headers = ((k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"])
            takes_body = site.takes_body(scope["method"], path)
            body = await _body(receive) if takes_body else b""
            answer = partial(
                site.respond,
                scope["method"],
                path,
                fold_headers(headers),
                scope.get("query_string", b"").decode("latin-1"),
                mount=mount,
                read=(lambda n: body[:n]) if takes_body else None,
            )
            response = await asyncio.get_running_loop().run_in_executor(threads.pool, answer)
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


async def _body(receive: Receive) -> bytes:
    """The request's body, cut where nobody reads on."""
    body = b""
    while len(body) <= MAX_BODY:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body", False):
            break
    return body


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
