"""No resurrection: random interleavings of load, delete, set and outage over two processes.

The source of truth is a version number for each key. Who invalidates a key raises its version
first, so what a look-up gives afterwards must not be older. Loads are held in the middle while
other things happen. The same run without leases, or without recovery, must find violations: so
the test can fail.
"""

import itertools
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from routecache import MISS, BaseCacheManager, Policy
from routecache.testing import FakeRemote, ManualTimer
from routecache.tiered.recovery import Recovery
from routecache.typing import WireItem

KEYS = "abc"
_names = itertools.count()


class Load:
    """One load, held before it returns what it has read."""

    def __init__(self, world: "World", who: int, key: str) -> None:
        self._go_on, self.reading = threading.Event(), threading.Event()
        self._world, self._key, self._manager = world, key, world.managers[who]
        self.who, self.key = who, key
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        while not self.reading.wait(0.001) and self.thread.is_alive():
            pass

    def _run(self) -> None:
        self._manager.get_or_load(self._key, self._load, tags=(f"tag {self._key}",))

    def _load(self) -> int:
        value = self._world.versions[self._key]
        self.reading.set()
        assert self._go_on.wait(30)
        return value

    def finish(self) -> None:
        self._go_on.set()
        self.thread.join(30)
        assert not self.thread.is_alive(), "a load never ended"


class World:
    """Two managers as two processes over one fake Redis that tells them of each other's writes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.fake = FakeRemote(ManualTimer(), listening=True)
        prefix = f"resurrection{next(_names)}"
        self.managers = [
            BaseCacheManager(
                cache_prefix=prefix,
                name="resurrection",
                redis_client=self.fake,
                timer=self.fake.timer,
                policy=Policy(l2_timeout=1.0),
            )
            for _ in range(2)
        ]
        self.versions = dict.fromkeys(KEYS, 0)
        self.oldest = dict.fromkeys(KEYS, 0)
        self.loads: list[Load] = []
        self.violations = 0

    def step(self) -> None:
        """One random thing."""
        who, key = self.chance.randrange(2), self.chance.choice(KEYS)
        manager, tags = self.managers[who], (f"tag {key}",)
        things: list[Callable[[], Any]] = [
            lambda: self.start(who, key),
            lambda: self.start(who, key),
            self.finish,
            self.finish,
            lambda: self.invalidate(key, lambda: manager.delete(key)),
            lambda: self.invalidate(key, lambda: manager.set(key, self.versions[key], tags=tags)),
            lambda: self.invalidate(key, lambda: manager.invalidate_tags(*tags)),
            lambda: self.look(who, key),
            lambda: self.look(who, key),
            self.outage,
        ]
        # Two versions of one moment could not be told apart by a clock that stands still.
        self.fake.timer.advance(1e-4)
        self.chance.choice(things)()

    def start(self, who: int, key: str) -> None:
        if all((load.who, load.key) != (who, key) for load in self.loads):
            load = Load(self, who, key)
            if load.thread.is_alive():
                self.loads.append(load)

    def finish(self) -> None:
        if self.loads:
            self.loads.pop(self.chance.randrange(len(self.loads))).finish()

    def invalidate(self, key: str, how: Callable[[], Any]) -> None:
        self.versions[key] += 1
        how()
        self.oldest[key] = self.versions[key]

    def outage(self) -> None:
        """Redis goes: its listeners hear nothing; when it is back they start anew."""
        key, who = self.chance.choice(KEYS), self.chance.randrange(2)
        self.fake.failure = "connection"
        self.fake.listen(False)
        self.invalidate(key, lambda: self.managers[who].delete(key))
        self.fake.failure = None
        self.fake.run_background()
        self.fake.listen(True)

    def look(self, who: int, key: str) -> None:
        value = self.managers[who].get(key, MISS)
        self.violations += value is not MISS and value < self.oldest[key]

    def close(self) -> None:
        while self.loads:
            self.finish()
        for manager in self.managers:
            manager.close()


def run(seeds: range, steps: int) -> int:
    violations = 0
    for seed in seeds:
        world = World(seed)
        for _ in range(steps):
            world.step()
        for key in KEYS:
            for who in (0, 1):
                world.look(who, key)
        violations += world.violations
        world.close()
    return violations


def test_nothing_that_was_invalidated_is_ever_seen_again() -> None:
    assert run(range(100), 100) == 0


def test_the_same_without_leases_finds_violations(monkeypatch: pytest.MonkeyPatch) -> None:
    with_lease = FakeRemote._store

    def without(self: FakeRemote, item: WireItem) -> bool | str:
        return with_lease(self, item._replace(token=None))

    monkeypatch.setattr(FakeRemote, "_store", without)
    assert run(range(30), 100) > 0


def test_the_same_without_recovery_finds_violations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recovery, "add", lambda _self, _keys: False)
    assert run(range(30), 100) > 0
