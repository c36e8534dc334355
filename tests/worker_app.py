"""The router of the worker tests: /ask looks two keys up, /metrics answers for all workers."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from routecache import BaseCacheManager
from routecache_exporters import make_asgi_app, make_wsgi_app

cache = BaseCacheManager(enable_redis=False, cache_prefix="asked")
wsgi_metrics, asgi_metrics = make_wsgi_app(), make_asgi_app()


def ask() -> bytes:
    """One look-up that misses and then hits, one that is loaded and counted in a histogram."""
    pid = os.getpid()
    cache.get("absent")
    cache.get_or_load(f"loaded in {pid}", lambda: pid)
    return str(pid).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """For gunicorn."""
    if environ["PATH_INFO"] != "/ask":
        return wsgi_metrics(environ, start_response)
    body = ask()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """For uvicorn."""
    if scope["type"] != "http" or scope["path"] != "/ask":
        await asgi_metrics(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ask()})
