"""The demo's router: a thread that asks the caches what the sample's requests ask."""

import threading

from routecache_exporters.demo.sample import endless
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.runner import Replayer
from routecache_exporters.replay.runner import Router as Cache

COST = 0.004
"""Seconds that the policy takes to compute an answer here."""


class Router:
    """Replays the sample log for ever in a thread of its own.

    Args:
        cache: what it asks.
    """

    def __init__(self, cache: Cache) -> None:
        self._stop = threading.Event()
        self.replayer = Replayer(cache, Pace(1.0, self._stop), cost=COST)
        self._thread = threading.Thread(target=self._run, name="routecache-demo-router")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether it still replays."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End it and wait until its last request was answered."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        self.replayer.run(endless())
