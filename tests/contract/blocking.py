"""Calls of a sync or an asyncio manager from threads, so that one test drives both."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

from routecache import MISS, BaseCacheManager
from routecache.stats import CacheSnapshot, stats_for


class Blocking:
    """A sync or an asyncio manager, called from threads."""

    def __init__(self, manager: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.manager = manager
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.manager, name)
        if not inspect.iscoroutinefunction(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(found(*args, **options), self._loop).result(60)

        return call

    def __len__(self) -> int:
        return len(self.manager)

    @property
    def sync(self) -> BaseCacheManager:
        """The manager, or the sync one inside it."""
        manager = self.manager
        return manager if isinstance(manager, BaseCacheManager) else manager.sync

    @property
    def stats(self) -> CacheSnapshot:
        """All that was counted under its name."""
        return stats_for(self.manager.name).snapshot()

    @property
    def hits(self) -> int:
        """Hits of any tier: the echo of an own write may cost the copy in L1."""
        return self.stats.l1_hits + self.stats.l2_hits


def gone(made: Blocking, key: str) -> bool:
    return made.get(key, MISS) is MISS


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run `call`; what it gives or raises comes into the list."""
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(call())
        except Exception as error:  # the test looks at it
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got
