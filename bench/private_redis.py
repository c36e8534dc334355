"""A Redis or Valkey of the benchmark's own, on a Unix socket, ended with it in any case."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from routecache_exporters.demo.embedded import EmbeddedRedis
from routecache_exporters.demo.processes import Processes


@contextmanager
def private_redis() -> Iterator[EmbeddedRedis]:
    """Start a server as `routecache demo` starts its own, with an append-only file."""
    processes = Processes()
    try:
        server = EmbeddedRedis(processes, threading.Event())
        server.start()
        yield server
    finally:
        processes.close()
