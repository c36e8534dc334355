"""Two managers over one L2, as two processes, against a plain model: any sequence of operations."""

import itertools
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from routecache import MISS, BaseCacheManager
from routecache.testing import FakeRemote, ManualTimer

_names = itertools.count()
TTL = 10.0


class Machine(RuleBasedStateMachine):
    """Values are numbers that only grow, so that an older value can be told from a newer."""

    def __init__(self) -> None:
        super().__init__()
        self.timer = ManualTimer()
        self.fake = FakeRemote(self.timer)
        self.managers = [
            BaseCacheManager(
                4,
                TTL,
                TTL,
                cache_prefix="two",
                name=f"two.{next(_names)}",
                redis_client=self.fake,
                timer=self.timer,
            )
            for _ in range(2)
        ]
        self.tally: list[Counter[str]] = [Counter(), Counter()]
        self.values = itertools.count()
        self.born: dict[int, float] = {}
        self.clean = True  # no write or delete was lost to an outage so far

    keys = st.sampled_from("abcdef")
    who = st.sampled_from([0, 1])
    tags = st.sampled_from([(), ("t",), ("t", "u")])

    def check(self, who: int, key: str, value: Any) -> None:
        """A value that was answered was written, for this key, and has not outlived its TTL."""
        if value is MISS:
            return
        assert value % 6 == "abcdef".index(key), "a value of another key"
        assert self.timer() < self.born[value] + TTL, "it outlived its TTL"

    def new(self, key: str) -> int:
        value = next(self.values) * 6 + "abcdef".index(key)
        self.born[value] = self.timer()
        return value

    def wrote(self) -> None:
        self.clean = self.clean and self.fake.failure is None

    @rule(who=who, key=keys)
    def get(self, who: int, key: str) -> None:
        value = self.managers[who].get(key, MISS)
        self.tally[who]["requests"] += 1
        self.tally[who]["hits"] += value is not MISS
        self.check(who, key, value)

    @rule(who=who, key=keys, tags=tags)
    def load(self, who: int, key: str, tags: tuple[str, ...]) -> None:
        loaded: list[int] = []

        def loader() -> int:
            loaded.append(self.new(key))
            return loaded[0]

        value = self.managers[who].get_or_load(key, loader, tags=tags)
        self.tally[who]["requests"] += 1
        self.tally[who]["hits"] += not loaded
        self.tally[who]["loads"] += len(loaded)
        self.check(who, key, value)
        if loaded:
            self.wrote()

    @rule(who=who, key=keys, tags=tags)
    def set(self, who: int, key: str, tags: tuple[str, ...]) -> None:
        value = self.new(key)
        self.managers[who].set(key, value, tags=tags)
        self.wrote()
        assert self.managers[who].get(key) == value, "one reads one's own writes"
        self.tally[who].update(requests=1, hits=1)

    @rule(who=who, key=keys)
    def delete(self, who: int, key: str) -> None:
        self.managers[who].delete(key)
        self.wrote()
        if self.clean:
            assert self.managers[who].get(key, MISS) is MISS
            self.tally[who]["requests"] += 1

    @rule(who=who, batch=st.lists(keys, max_size=5))
    def batch(self, who: int, batch: list[str]) -> None:
        found = self.managers[who].get_many(batch)
        self.tally[who]["requests"] += len(batch)
        self.tally[who]["hits"] += sum(key in found for key in batch)
        for key, value in found.items():
            self.check(who, key, value)

    @rule(who=who)
    def invalidate(self, who: int) -> None:
        self.timer.advance(0.001)
        self.managers[who].invalidate_tags("t")
        self.timer.advance(0.001)
        self.wrote()
        assert all("t" not in entry.tags for entry in self.managers[who]._entries.values())

    @rule(who=who)
    def clear(self, who: int) -> None:
        assert self.managers[who].clear() is (self.fake.failure is None)
        self.wrote()
        assert len(self.managers[who]) == 0

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.timer.advance(seconds)

    @rule(failure=st.sampled_from([None, None, "timeout", "connection", "circuit", "oom"]))
    def weather(self, failure: str | None) -> None:
        self.fake.failure = failure

    @rule(key=keys)
    def spoil(self, key: str) -> None:
        self.fake.put_raw(f"two:v1:{{{key}}}", b"not ours")

    @invariant()
    def the_books_agree_with_the_callers(self) -> None:
        for manager, tally in zip(self.managers, self.tally, strict=True):
            stats = manager.get_stats()
            assert stats["requests"] == tally["requests"]
            assert stats["l1_hits"] + stats["l2_hits"] == tally["hits"]
            assert stats["misses"] == tally["requests"] - tally["hits"]
            assert stats["loads"] == tally["loads"]
            assert sum(stats["misses_by_reason"].values()) == stats["misses"]

    @invariant()
    def bounds_hold_and_nothing_is_left_open(self) -> None:
        for manager in self.managers:
            assert len(manager) <= 4
            assert len(manager.core._fences) == 0
            assert manager.core.flights._flying == {}

    def teardown(self) -> None:
        for manager in self.managers:
            manager.close()


TestTwoProcesses = Machine.TestCase
TestTwoProcesses.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)


def test_an_l2_failure_is_never_a_cold_miss_and_a_miss_never_an_outage() -> None:
    timer = ManualTimer()
    fake = FakeRemote(timer)
    with BaseCacheManager(
        redis_client=fake, cache_prefix="r", name=f"r.{next(_names)}", timer=timer
    ) as cache:
        for failure in [None, "timeout", "circuit", None, "loading"] * 4:
            fake.failure = failure
            cache.get("absent")
        assert cache.get_stats()["misses_by_reason"] == {"cold": 8, "l2_unavailable": 12}
