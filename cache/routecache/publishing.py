"""Lets other workers read this process's gauges, where metrics of several workers are one.

Counters are in the process's file anyway. Gauges (entries, loads in flight, circuits) are states:
a thread writes them there once a second and when a manager was made or closed. So they are at most
a second old in the answer of another worker, and go with the process.
"""

import threading
from types import MappingProxyType
from typing import Final

import msgspec

from routecache import forking, multiprocess, registry
from routecache.registry import ProcessSnapshot

EVERY: Final = 1.0
"""Seconds between two publications."""


def encode(snapshot: ProcessSnapshot) -> bytes:
    """`snapshot` as bytes."""
    return msgspec.msgpack.encode(snapshot, enc_hook=_plain)


def decode(data: bytes) -> ProcessSnapshot:
    """What `encode` was given, also by another release if it has what this one cannot do without.

    Raises ValueError.
    """
    return msgspec.msgpack.decode(data, type=ProcessSnapshot)


def _plain(value: object) -> object:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError  # msgspec's way to hear that it is no known type


class Publisher:
    """The thread that publishes. Safe for threads; a forked child gets one of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Start anew, for the managers that the child has inherited."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        if self._thread is not None:
            self._thread = None
            forking.finish_in_child(self.refresh)

    def refresh(self) -> None:
        """Have the gauges published now; does nothing unless there are other workers."""
        if multiprocess.current() is None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(self._wake,), name="routecache-gauges", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def _run(self, wake: threading.Event) -> None:
        store = multiprocess.current()
        if store is None:
            return
        # Also where nobody scrapes, workers that come and go leave no more than one file behind.
        store.fold()
        while True:
            store.publish(lambda: encode(registry.snapshot()))
            wake.wait(EVERY)
            wake.clear()


_publisher = Publisher()
refresh = _publisher.refresh
