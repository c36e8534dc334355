"""What a lane's router asks of its cache, adjustable while it runs."""

import contextlib
import itertools
import random
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from routecache import BaseCacheManager
from routecache.errors import CacheError


@dataclass(frozen=True, slots=True)
class Habits:
    """How a router asks.

    rate: look-ups per second of all threads together.
    threads: that ask.
    together: whether the threads ask in the same instant rather than in turn.
    keys: how many there are, all equally likely.
    fresh: share of the look-ups that ask for a key that nobody has asked for.
    writes: share of the calls that set a key instead.
    value_bytes: length of a value.
    load_seconds: that a loader takes.
    load_failures: share of the loader calls that raise.
    flood: keys per second that are written beside all this, each once.
    """

    rate: float = 15.0
    threads: int = 2
    together: bool = False
    keys: int = 20
    fresh: float = 0.0
    writes: float = 0.0
    value_bytes: int = 100
    load_seconds: float = 0.02
    load_failures: float = 0.0
    flood: int = 0


class LoaderError(Exception):
    """What a lane's loader raises when it is to fail."""


class Traffic:
    """Threads that ask a cache as `habits` say. `cache` and `habits` may be replaced at any time.

    Args:
        cache: what is asked.
        habits: how.
    """

    def __init__(self, cache: BaseCacheManager, habits: Habits) -> None:
        self.cache = cache
        self._habits = habits
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._names = itertools.count()
        self._run(habits)

    @property
    def habits(self) -> Habits:
        """How it asks now."""
        return self._habits

    @habits.setter
    def habits(self, habits: Habits) -> None:
        self._habits = habits
        self.stop()
        self._run(habits)

    def stop(self) -> None:
        """Ask nothing more; a load under way is waited for."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, habits: Habits) -> None:
        self._stopped = threading.Event()
        stopped = self._stopped
        works = [partial(self._ask, n, habits, stopped) for n in range(habits.threads)]
        if habits.flood:
            works.append(partial(self._flood, habits.flood, habits, stopped))
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int, habits: Habits, stopped: threading.Event) -> None:
        if habits.rate <= 0:
            return
        chance = random.Random()
        every = habits.threads / habits.rate
        offset = 0.0 if habits.together else every * number / habits.threads
        while True:
            now = time.monotonic()
            # The next instant of a grid: who is late leaves out some, and never catches up.
            due = ((now - offset) // every + 1) * every + offset
            if stopped.wait(due - now):
                return
            with contextlib.suppress(CacheError, LoaderError):
                self._call(chance, habits)

    def _call(self, chance: random.Random, habits: Habits) -> None:
        key = f"k{chance.randrange(habits.keys)}"
        if chance.random() < habits.fresh:
            key = f"fresh{next(self._names)}-{chance.getrandbits(32)}"
        if chance.random() < habits.writes:
            self.cache.set(key, "v" * habits.value_bytes)
            return

        def load() -> Any:
            _take(habits.load_seconds)
            if chance.random() < habits.load_failures:
                raise LoaderError
            return "v" * habits.value_bytes

        self.cache.get_or_load(key, load)

    def _flood(self, per_second: int, habits: Habits, stopped: threading.Event) -> None:
        value = "v" * habits.value_bytes
        for n in itertools.count():
            if stopped.wait(0.25):
                return
            batch = {f"flood{n}-{i}": value for i in range(per_second // 4)}
            with contextlib.suppress(CacheError):
                self.cache.set_many(batch)


def _take(seconds: float) -> None:
    if seconds >= 0.001:
        time.sleep(seconds)
        return
    end = time.perf_counter() + seconds  # too short for the operating system's sleep
    while time.perf_counter() < end:
        pass
