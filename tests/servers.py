"""Real servers for tests, started as plain processes in directories of their own."""

import threading
from types import TracebackType
from typing import Self

from routecache_exporters.demo.embedded import EmbeddedRedis
from routecache_exporters.demo.processes import Processes


class RedisServer:
    """A Redis or Valkey on a Unix socket with an append-only file, as the demo starts it."""

    def __init__(self) -> None:
        self._processes = Processes()
        self._redis = EmbeddedRedis(self._processes, threading.Event())

    @property
    def url(self) -> str:
        return self._redis.url

    def start(self) -> None:
        self._redis.start()

    def stop(self) -> None:
        self._redis.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._processes.close()
