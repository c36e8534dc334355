"""The decisions of a warm-up: spacing, counting, the fleet's roles, options, what is told."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from routecache import (
    MISS,
    BaseCacheManager,
    ConfigurationError,
    KeyTypeError,
    WarmProgress,
    snapshot,
)
from routecache.errors import RemoteError
from routecache.keys import warm_up_keys
from routecache.remote.hottest import MAX_STEPS, Hottest, refused
from routecache.testing import FakeRemote, ManualTimer
from routecache.typing import Leased
from routecache.warming.counting import Tally
from routecache.warming.fleet import Fleet
from routecache.warming.spacing import Spacing


@pytest.fixture
def timer() -> ManualTimer:
    return ManualTimer()


@pytest.fixture
def cache(timer: ManualTimer) -> Iterator[BaseCacheManager]:
    remote = FakeRemote(timer)
    with BaseCacheManager(redis_client=remote, timer=timer, cache_prefix="warming") as made:
        yield made


# Spacing


def test_calls_are_spaced_evenly_and_none_comes_early(timer: ManualTimer) -> None:
    spacing = Spacing(4, timer)
    assert [spacing.take() for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]


def test_a_pause_is_not_made_up_for_by_a_burst(timer: ManualTimer) -> None:
    spacing = Spacing(2, timer)
    spacing.take()
    timer.advance(100)
    assert [spacing.take() for _ in range(3)] == [0.0, 0.5, 1.0]


def test_threads_never_share_a_place(timer: ManualTimer) -> None:
    spacing, places = Spacing(10, timer), list[float]()
    threads = [
        threading.Thread(target=lambda: places.extend(spacing.take() for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(places) == pytest.approx([n / 10 for n in range(200)])


def test_without_a_rate_nobody_waits(timer: ManualTimer) -> None:
    spacing = Spacing(None, timer)
    assert [spacing.take() for _ in range(3)] == [0.0] * 3


def test_a_rate_holds_for_loads_and_not_for_values_that_are_there(cache: BaseCacheManager) -> None:
    """At one load in 1,000 s a deadline of 1 s has time for the first only, and is not waited
    for."""
    items = [(f"given{n}", n) for n in range(20)]
    wanted = [*items, "k1", "k2", "k3"]
    result = cache.warm(wanted, loader=str.upper, rate=0.001, concurrency=1)  # type: ignore[arg-type]
    assert (result.loaded, result.skipped, result.complete) == (21, 2, False)
    assert result.succeeded, "most of it is warm"
    assert cache.get_stats()["loads"] == 21, "items are stored as loads, too"


# Counting


def test_what_is_asked_for_most_comes_first_in_bounded_memory() -> None:
    """A Zipf-like stream of far more things than are remembered."""
    chance, tally, true = random.Random(7), Tally[int](200), Counter[int]()
    for _ in range(20_000):
        thing = int(chance.paretovariate(0.9))
        tally.add(thing)
        true[thing] += 1
    assert len(tally._counts) <= 200
    assert set(tally.ranked(10)) == {thing for thing, _ in true.most_common(10)}
    assert tally.ranked(3) == [1, 2, 3]


# The fleet


def fleet_of(cache: BaseCacheManager, name: str | None = "startup") -> Fleet:
    return Fleet(cache.core, name, cache.core.timer)


def role(fleet: Fleet) -> str:
    """Its role now, which a type checker must not remember."""
    return fleet.role


def test_who_asks_first_leads_and_the_next_one_follows(cache: BaseCacheManager) -> None:
    first, second = fleet_of(cache), fleet_of(cache)
    assert not first.told(Leased(None, first.wanted().token))
    assert not second.told(Leased(None, first.wanted().token))
    assert (first.role, second.role) == ("leads", "follows")
    assert (first.may_load, second.may_load) == (True, False)


def test_a_follower_is_done_when_a_mark_appears_and_gives_back_a_lease_that_came_with_it(
    cache: BaseCacheManager,
) -> None:
    fleet = fleet_of(cache)
    fleet.told(Leased(b"old mark", "another's"))
    assert role(fleet) == "follows"
    assert fleet.told(Leased(b"new mark", fleet.wanted().token))
    assert role(fleet) == "done"


def test_a_mark_from_before_says_nothing_and_a_lease_without_a_new_one_is_a_crash(
    cache: BaseCacheManager,
) -> None:
    fleet = fleet_of(cache)
    fleet.told(Leased(b"old mark", "another's"))
    assert not fleet.told(Leased(b"old mark", fleet.wanted().token))
    assert fleet.role == "leads"


@pytest.mark.parametrize("reply", [RemoteError("timeout"), Leased(None, None)])
def test_without_an_answer_each_loads_for_itself(cache: BaseCacheManager, reply: Any) -> None:
    fleet = fleet_of(cache)
    fleet.told(reply)
    assert (fleet.role, fleet.may_load) == ("alone", True)


def test_without_a_fleet_nobody_is_asked(cache: BaseCacheManager) -> None:
    assert fleet_of(cache, None).role == "alone"
    assert not fleet_of(cache, None).asks


def test_a_lease_is_lengthened_in_time_and_lost_ones_are_followed(
    cache: BaseCacheManager, timer: ManualTimer
) -> None:
    fleet = fleet_of(cache)
    fleet.told(Leased(None, fleet.wanted().token))
    assert not fleet.due()
    timer.advance(4)
    assert fleet.due()
    assert not fleet.due(), "once for each time"
    fleet.renewed(RemoteError("timeout"))
    assert role(fleet) == "leads", "an outage is no loss"
    fleet.renewed(False)
    assert role(fleet) == "follows"


# L2's hottest keys


def test_who_has_lost_the_lease_takes_no_more_places_in_time(
    monkeypatch: pytest.MonkeyPatch, timer: ManualTimer
) -> None:
    monkeypatch.setattr("routecache.warming.fleet.LEASE_MS", 0)  # it is looked after at each load
    remote, names = FakeRemote(timer), [f"k{i}" for i in range(100)]
    done, lease = warm_up_keys("warming", "startup")
    first = BaseCacheManager(redis_client=remote, timer=timer, cache_prefix="warming")
    other = BaseCacheManager(redis_client=remote, timer=timer, cache_prefix="warming")
    asked = list[str]()

    def load(key: str) -> str:
        asked.append(key)
        remote.put_raw(lease, b"of another")
        other.set_many(dict.fromkeys(names[1:], "of another"))
        remote.put_raw(done, b"of another")
        return "own"

    with first, other:
        # Places for all of the keys would take longer than there is.
        result = first.warm(names, loader=load, rate=20, concurrency=1, deadline=4)
    assert asked == ["k0"]
    assert (result.loaded, result.from_l2) == (1, 99)
    assert result.complete


def survey(kind: str, known: dict[bytes, tuple[Any, Any, Any]], most: int = 3) -> list[str]:
    """What a server under a policy of this `kind` would have ranked; two rounds."""
    hottest = Hottest(most)
    hottest.begin()
    error = RemoteError("other")
    answers: dict[str, Callable[[tuple[Any, Any, Any]], tuple[Any, Any, Any]]] = {
        "lfu": lambda told: (told[0], error, told[2]),
        "lru": lambda told: (error, told[1], told[2]),
        "refused": lambda told: (error, error, told[2]),
    }
    keys = list(known)
    for batch in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
        replies = []
        for command, key in hottest.questions(batch):
            place = ("OBJECT FREQ", "OBJECT IDLETIME", "PTTL").index(command)
            replies.append(answers[kind](known[key])[place])
        hottest.answered(batch, replies)
    return hottest.ranked()


# Frequency, seconds idle, milliseconds to live: of 100 s for all. Nobody has read a and b again.
KNOWN = {
    b"a": (1, 90, 10_000),
    b"b": (2, 10, 90_000),
    b"c": (8, 20, 50_000),
    b"d": (9, 70, 20_000),
}


@pytest.mark.parametrize(("kind", "ranked"), [("lfu", "dcb"), ("lru", "cda"), ("refused", "bcd")])
def test_a_server_is_asked_what_it_knows_and_by_that_its_keys_are_ranked(
    kind: str, ranked: str
) -> None:
    assert survey(kind, KNOWN) == list(ranked)


def test_once_a_server_has_answered_it_is_asked_nothing_else() -> None:
    error, again = RemoteError("other"), [b"b"]
    for replies, asked in (
        ([7, error, 9], ["OBJECT FREQ"]),
        ([error, 5, 100], ["OBJECT IDLETIME", "PTTL"]),
        ([error, error, 100], ["PTTL"]),
    ):
        hottest = Hottest(10)
        hottest.begin()
        hottest.answered([b"a"], replies)
        assert hottest.questions(again) == [(question, b"b") for question in asked]


def test_a_key_that_ends_meanwhile_is_left_out() -> None:
    hottest = Hottest(10)
    hottest.begin()
    error = RemoteError("other")
    hottest.answered([b"a", b"b", b"c"], [error, 5, 9_000, error, error, -2, error, 1, 9_000])
    assert hottest.ranked() == ["c", "a"]


def test_a_walk_ends_after_so_many_steps() -> None:
    hottest = Hottest(10)
    for _ in range(2):
        hottest.begin()
        assert sum(1 for _ in iter(hottest.goes_on, False)) == MAX_STEPS


def test_a_round_trip_in_which_all_failed_is_a_failure() -> None:
    error = RemoteError("timeout")
    assert refused([error, error]) is error
    assert refused([error, 5]) is None
    assert refused([]) is None


# Options, progress, gauges


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0}, {"concurrency": True}, {"concurrency": 2.5}, {"deadline": 0},
        {"deadline": float("inf")}, {"deadline": "10"}, {"rate": 0}, {"rate": -1}, {"enough": 1.5},
        {"progress": "yes"}, {"limit": 0},
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_named(
    cache: BaseCacheManager, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        cache.warm(["k"], **options)


@pytest.mark.parametrize("source", ["keys", lambda: [1], [("k",)], [""], [("", 1)]])
def test_what_cannot_be_a_key_is_a_mistake_of_the_program(
    cache: BaseCacheManager, source: Any
) -> None:
    with pytest.raises(KeyTypeError):
        cache.warm(source, loader=str.upper)


@pytest.mark.parametrize("make", [dict, list, lambda items: lambda: items])
def test_items_come_as_a_mapping_as_pairs_or_from_a_function(
    cache: BaseCacheManager, make: Callable[[Any], Any]
) -> None:
    assert cache.warm(make([("a", 1), ("b", None)])).complete
    assert cache.get_many(["a", "b"]) == {"a": 1, "b": None}


def test_progress_is_told_until_the_end_and_may_raise(cache: BaseCacheManager) -> None:
    told: list[WarmProgress] = []

    def progress(step: WarmProgress) -> None:
        told.append(step)
        raise LookupError

    def load(key: str) -> str:
        if key == "k3":
            raise OSError
        return key

    cache.warm([f"k{n}" for n in range(8)], loader=load, progress=progress)
    assert told[-1] == WarmProgress("warming", 8, 8, 1)
    assert [step.done for step in told] == sorted(step.done for step in told)


def test_the_gauges_tell_when_it_started_completed_and_what_it_brought(
    cache: BaseCacheManager,
) -> None:
    def gauges() -> tuple[bool, bool, int]:
        seen = next(c for c in snapshot().caches if c.name == "warming")
        started, completed = seen.warm_up_started, seen.warm_up_completed
        return started is not None, bool(completed), seen.warm_entries

    assert gauges() == (False, False, 0)

    def fail(_: str) -> None:
        raise OSError

    assert not cache.warm(["a", "b"], loader=fail).succeeded
    assert gauges() == (True, False, 0)
    assert cache.warm(["a", "b"], loader=str.upper).succeeded
    assert gauges() == (True, True, 2)


def test_enough_says_what_counts_as_completed(cache: BaseCacheManager) -> None:
    def load(key: str) -> str:
        if key == "bad":
            raise OSError
        return key

    assert cache.warm(["a", "bad"], loader=load, enough=0.5).succeeded
    assert not cache.warm(["bad"], loader=load, enough=0.5).succeeded
    assert not cache.warm(["c", "bad"], loader=load, enough=0.9).succeeded
    assert cache.warm([], loader=load).complete


def test_a_none_is_remembered_or_not_as_of_any_load(cache: BaseCacheManager) -> None:
    result = cache.warm(["none"], loader=lambda _: MISS)
    assert (result.loaded, result.complete) == (1, True)
    assert cache.get("none") is None


def test_what_cannot_be_stored_costs_its_key(cache: BaseCacheManager) -> None:
    result = cache.warm(itertools.chain(["good"], [("bad", object())]), loader=str.upper)
    assert (result.loaded, result.failed) == (1, 1)
