"""What the tests of the asyncio transport share: an endpoint each, what it tells, what it left."""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from routecache.breaker import CircuitBreaker
from routecache.remote import endpoint as endpoints
from routecache.remote.aio_server import AsyncServerTransport
from routecache.remote.endpoint import Endpoint
from tests.helpers import eventually


class Told(CircuitBreaker):
    """A breaker that counts what it is told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(time.monotonic, **options)
        self.allowed = 0
        self.outcomes = {"succeeded": 0, "failed": 0, "abandoned": 0}

    def allow(self) -> bool:
        allowed = super().allow()
        self.allowed += allowed
        return allowed

    def succeeded(self) -> None:
        self.outcomes["succeeded"] += 1
        super().succeeded()

    def failed(self) -> None:
        self.outcomes["failed"] += 1
        super().failed()

    def abandoned(self) -> None:
        self.outcomes["abandoned"] += 1
        super().abandoned()


class World:
    """A transport to `url` over an endpoint of its own."""

    def __init__(self, url: str) -> None:
        self.endpoint: Endpoint = endpoints.acquire(url, None)
        self.told = Told()
        self.endpoint.breaker = self.told
        self.transport = AsyncServerTransport(self.endpoint)

    async def ask(self, *commands: tuple[Any, ...], within: float = 5.0) -> list[Any]:
        """Execute with a deadline in `within` seconds."""
        return await self.transport.execute("get", time.monotonic() + within, commands)

    async def connect(self) -> None:
        assert await self.ask(("PING",)) == [b"PONG"]

    async def connected(self, n: int = 1) -> None:
        """Return when `n` connections are made."""
        await until(lambda: sum(self.transport.connections()) == n)

    def fill(self, n: int, size: int = 40) -> None:
        """Have `key<i>` hold a value that starts with its key, for i below `n`."""
        with client(self.endpoint) as sync:
            sync.mset({f"key{i}": value_of(f"key{i}", size) for i in range(n)})

    def close(self) -> None:
        self.transport.close()
        endpoints.release(self.endpoint)


@contextmanager
def world(url: str) -> Iterator[World]:
    """A World; at its end every allowed call must have told the breaker exactly once."""
    made = World(url)
    try:
        yield made
    finally:
        made.close()
    assert sum(made.told.outcomes.values()) == made.told.allowed, made.told.outcomes


def value_of(key: str, size: int = 40) -> bytes:
    return f"{key}=".ljust(size, "x").encode()


@contextmanager
def client(endpoint: Endpoint) -> Iterator["redis.Redis"]:
    """A sync client to look at the server with."""
    made = redis.Redis(**{k: v for k, v in endpoint._kwargs.items() if k in ("host", "port")})
    if "path" in endpoint._kwargs:
        made = redis.Redis(unix_socket_path=endpoint._kwargs["path"])
    with made:
        yield made


async def until(predicate: Callable[[], object], seconds: float = 10.0) -> None:
    """Let the event loop turn until `predicate()` is true."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.001)


async def timed(call: Awaitable[list[Any]]) -> tuple[list[Any], float]:
    """The replies and the seconds that they took."""
    started = time.monotonic()
    replies = await call
    return replies, time.monotonic() - started


def kinds(replies: list[Any]) -> set[str]:
    """The kinds of the errors among the replies; "" stands for any other reply."""
    return {getattr(reply, "kind", "") for reply in replies}


@contextmanager
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail for what only the garbage collector notices, and for what asyncio only logs."""
    with caplog.at_level(logging.WARNING, "asyncio"):
        yield
        gc.collect()
    logged = [r.getMessage() for r in caplog.records if r.name == "asyncio"]
    assert logged == []


def come_to(n: int, sync: "redis.Redis") -> None:
    """The server's clients, but for `sync`, become `n`."""
    eventually(lambda: len(sync.client_list()) - 1 == n)
