"""Promise 11: the books balance, whatever threads and tasks did, and agree with their own tally."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from routecache import MISS, BaseCacheManager
from tests.contract.world import Blocking, World, gone, in_thread

pytestmark = pytest.mark.promise(11)


def balanced(made: Blocking, tally: Counter[str]) -> None:
    """The equations of the catalogue, and what the callers counted themselves."""
    stats = made.stats
    misses = sum(stats.misses.values())
    assert stats.requests == stats.l1_hits + stats.l2_hits + misses
    assert stats.requests == stats.l1_hits + sum(stats.l1_misses.values())
    outcomes = {name: h.count for name, h in stats.request_duration.items()}
    assert stats.l2_hits == outcomes.get("l2_hit", 0) + outcomes.get("stale", 0)
    assert misses == sum(outcomes.get(name, 0) for name in ("load", "miss", "error"))
    assert stats.requests == tally["requests"]
    assert stats.loads == tally["loads"]
    assert sum(stats.load_failures.values()) == tally["failures"]
    # Whoever waited for another's load cannot tell whether it hit.
    assert tally["hits"] <= stats.l1_hits + stats.l2_hits <= tally["hits"] + tally["unknown"]
    assert tally["misses"] <= misses <= tally["misses"] + tally["unknown"]
    assert stats.coalesced <= tally["unknown"]


class Caller:
    """One thread's or task's calls, and its own count of them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.tally: Counter[str] = Counter()

    def load(self) -> int:
        self.tally["loads"] += 1
        if self.chance.random() < 0.2:
            self.tally["failures"] += 1
            raise OSError("provider down")
        return 1

    def step(self) -> tuple[str, tuple[Any, ...], Callable[[Any], None]]:
        """A call, and how it is counted."""
        key, count = f"k{self.chance.randrange(12)}", self.tally
        batch = [f"k{self.chance.randrange(12)}" for _ in range(self.chance.randrange(5))]

        def looked_up(value: Any) -> None:
            count["requests"] += 1
            count["misses" if value is MISS else "hits"] += 1

        def batched(found: dict[str, Any]) -> None:
            count["requests"] += len(batch)
            count["hits"] += sum(name in found for name in batch)
            count["misses"] += sum(name not in found for name in batch)

        def loaded(_value: Any) -> None:
            count["requests"] += 1
            count["unknown"] += 1

        def uncounted(_value: Any) -> None:
            pass

        return self.chance.choice(
            [
                ("get", (key, MISS), looked_up),
                ("get", (key, MISS), looked_up),
                ("get_many", (batch,), batched),
                ("get_or_load", (key, self.load), loaded),
                ("get_or_load", (key, self.load), loaded),
                ("set", (key, 1), uncounted),
                ("delete", (key,), uncounted),
                ("set_many", (dict.fromkeys(batch, 1),), uncounted),
                ("ttl", (key,), uncounted),
                ("invalidate_tags", ("t",), uncounted),
            ]
        )

    def work(self, manager: Any, steps: int) -> None:
        for _ in range(steps):
            name, arguments, count = self.step()
            try:
                count(getattr(manager, name)(*arguments))
            except OSError:
                count(None)

    async def work_async(self, manager: Any, steps: int) -> None:
        for _ in range(steps):
            name, arguments, count = self.step()
            try:
                count(await getattr(manager, name)(*arguments))
            except OSError:
                count(None)


def all_work(world: World, made: Blocking, callers: list[Caller], steps: int) -> Counter[str]:
    """Every caller at once, in threads or in tasks; the sum of their counts."""
    if isinstance(made.manager, BaseCacheManager):
        threads = [in_thread(lambda c=c: c.work(made.manager, steps)) for c in callers]  # type: ignore[misc]
        for thread, got in threads:
            thread.join(60)
            assert got == [None]
    else:

        async def together() -> None:
            await asyncio.gather(*(c.work_async(made.manager, steps) for c in callers))

        asyncio.run_coroutine_threadsafe(together(), world.loop).result(60)
    return sum((caller.tally for caller in callers), Counter())


def test_the_books_agree_with_the_callers_of_many_threads_or_tasks(world: World) -> None:
    world.listening()
    made = world.make(l1_maxsize=6)
    tally = all_work(world, made, [Caller(seed) for seed in range(8)], 40)
    assert tally["requests"] > 100
    balanced(made, tally)
    assert sum(made.stats.misses.values()) > 0


@pytest.mark.parametrize("fault", ["refused", "black-holed"])
def test_the_books_balance_through_an_outage(frail: World, fault: str) -> None:
    made = frail.make(l1_maxsize=6, policy={"l2_timeout": 0.02})
    callers = [Caller(seed) for seed in range(4)]
    all_work(frail, made, callers, 15)
    frail.fail(fault)
    all_work(frail, made, callers, 15)
    frail.mend()
    tally = all_work(frail, made, callers, 15)
    balanced(made, tally)
    assert made.stats.misses["l2_unavailable"] > 0


def test_a_batch_of_n_is_n_requests(world: World) -> None:
    a, b = world.pair()
    a.set_many({"a": 1, "b": None, "c": [3]}, ttl=50)
    world.heard(3, a, b)
    assert b.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": None, "c": [3]}
    assert (b.stats.requests, b.stats.l2_hits, b.stats.misses) == (4, 3, {"cold": 1})
    assert b.get_many(["a", "d"]) == {"a": 1}
    assert (b.stats.requests, b.stats.l1_hits) == (6, 1)
    assert b.get_many([]) == {}
    assert b.stats.requests == 6
    assert b.delete_many(["a", "b", "d"]) == 2
    assert world.make().get_many(["a", "b", "c"]) == {"c": [3]}


def test_a_coalesced_waiter_is_one_request_and_one_miss_of_outcome_load(world: World) -> None:
    made = world.make()
    started, go_on = threading.Event(), threading.Event()
    arrived, may_wait = threading.Semaphore(0), made.core.flights.may_wait

    def seen(*args: Any, **options: Any) -> bool:
        arrived.release()
        return bool(may_wait(*args, **options))

    made.core.flights.may_wait = seen

    def load() -> str:
        started.set()
        assert go_on.wait(30)
        return "value"

    loader = world.loader(load)
    threads = [in_thread(lambda: made.get_or_load("k", loader))]
    assert started.wait(30)
    threads += [in_thread(lambda: made.get_or_load("k", loader)) for _ in range(5)]
    for _ in range(5):
        assert arrived.acquire(timeout=30)
    go_on.set()
    for thread, got in threads:
        thread.join(30)
        assert got == ["value"]
    stats = made.stats
    assert (stats.requests, stats.misses, stats.coalesced, stats.loads) == (6, {"cold": 6}, 5, 1)
    assert stats.request_duration["load"].count == 6


def test_a_remembered_none_is_a_hit(world: World) -> None:
    a, b = world.pair(policy={"negative_ttl": 50.0})
    assert a.get_or_load("k", world.loader(lambda: MISS)) is MISS
    world.heard(1, a, b)
    assert a.get_or_load("k", world.loader(lambda: 1)) is MISS
    assert a.get("k", "none") == "none"
    assert (a.hits, a.stats.misses, a.stats.loads) == (2, {"cold": 1}, 1)
    assert b.get_or_load("k", world.loader(lambda: 1)) is MISS
    assert (b.stats.l2_hits, b.stats.misses) == (1, {})


def test_managers_of_one_name_add_up_and_counts_outlive_them(world: World) -> None:
    name = f"{world.prefix}.shared"
    one, two = world.pair(name=name)
    assert gone(one, "k")
    two.set("k", 1)
    assert one.get("k") == 1
    assert two.get("k") == 1
    before = one.stats
    assert (before.requests, sum(before.misses.values())) == (3, 1)
    one.close()
    two.close()
    assert world.make(name=name).stats.requests == 3
