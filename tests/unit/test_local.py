"""L1 with each eviction policy: bounds, deadlines, tags, and why a key is not there."""

import gc
import threading
import weakref
from collections import Counter
from unittest.mock import patch

import pytest

from routecache import local
from routecache.errors import ConfigurationError
from routecache.local import Entry, L1Policy, LocalTier

POLICIES: list[L1Policy] = ["sieve", "lru", "lfu"]
FOREVER = float("inf")


class Tier:
    """A tier with its evictions counted and a clock to set."""

    def __init__(self, maxsize: int, policy: L1Policy, max_bytes: int | None = None) -> None:
        self.evicted: Counter[str] = Counter()
        self.local = LocalTier(maxsize, policy, self.count, max_bytes)
        self.now = 0.0

    def count(self, reason: str) -> None:
        self.evicted[reason] += 1

    def put(self, key: str, ttl: float = 100.0, tags: tuple[str, ...] = (), size: int = 0) -> bool:
        entry = Entry(key, f"value of {key}", self.now + ttl, tags, size=size)
        return self.local.put(entry, self.now)

    def holds(self, key: str) -> bool:
        return self.local.peek(key, self.now) is not None


@pytest.fixture(params=POLICIES)
def tier(request: pytest.FixtureRequest) -> Tier:
    return Tier(10, request.param)


def test_the_bound_holds_and_every_eviction_is_counted(tier: Tier) -> None:
    for i in range(100):
        tier.put(f"k{i}")
        assert tier.local.size(tier.now) == min(i + 1, 10)
    assert tier.evicted == {"size": 90}


def test_overwriting_in_a_full_tier_evicts_nobody(tier: Tier) -> None:
    for i in range(10):
        tier.put(f"k{i}")
    for _ in range(50):
        tier.put("k3")
    assert tier.evicted == {}
    assert all(tier.holds(f"k{i}") for i in range(10))


def test_each_entry_has_a_deadline_of_its_own(tier: Tier) -> None:
    tier.put("short", 1)
    tier.put("long", 5)
    tier.put("endless", FOREVER)
    tier.now = 1.0
    assert [tier.holds(k) for k in ("short", "long", "endless")] == [False, True, True]
    assert tier.local.size(tier.now) == 2
    tier.now = 1e9
    assert tier.local.size(tier.now) == 1


def test_expired_entries_make_room_before_any_living_one_goes(tier: Tier) -> None:
    for i in range(8):
        tier.put(f"old{i}", 1)
    tier.put("a")
    tier.put("b")
    tier.now = 2.0
    for i in range(8):
        tier.put(f"new{i}")
    assert tier.evicted == {"expired": 8}
    assert tier.holds("a")
    assert tier.holds("b")


@pytest.mark.parametrize("policy", POLICIES)
def test_no_single_write_pays_for_the_expiry_of_all(policy: L1Policy) -> None:
    tier = Tier(10_000, policy)
    for i in range(5000):
        tier.put(f"old{i}", 1)
    tier.now = 2.0
    tier.put("new")
    assert tier.evicted["expired"] <= 8
    for i in range(5000):
        tier.put(f"new{i}")
    assert tier.evicted == {"expired": 5000}


@pytest.mark.parametrize("policy", POLICIES)
def test_counting_reclaims_a_part_and_never_counts_what_is_overdue(policy: L1Policy) -> None:
    tier = Tier(10_000, policy)
    for i in range(5000):
        tier.put(f"old{i}", 1)
    tier.put("alive")
    tier.now = 2.0
    for n in range(1, 25):
        assert tier.local.size(tier.now) == 1
        assert len(tier.local.entries) <= 5001 - min(5000, 200 * n), "each count gets cheaper"
        assert tier.evicted["expired"] <= 256 * n, "no count pays for all"
    assert tier.local._deadlines.overdue == set()
    assert len(tier.local._deadlines.heap) == 1


def test_an_entry_set_apart_as_overdue_may_be_replaced_dropped_or_evicted(tier: Tier) -> None:
    big = Tier(1000, tier.local.policy)
    for i in range(1000):
        big.put(f"k{i}", 1)
    big.now = 2.0
    assert big.local.size(big.now) == 0
    apart = [key for key in big.local.entries if key in big.local._deadlines.overdue]
    assert len(apart) > 500
    big.put(apart[0])
    assert big.local.drop(apart[1]) is True
    assert big.local.size(big.now) == 1, "neither is counted among the overdue any more"
    assert big.holds(apart[0])


def test_overwrites_do_not_grow_the_heap_of_deadlines(tier: Tier) -> None:
    for i in range(10_000):
        tier.put(f"k{i % 5}", 1000 + i)
    assert len(tier.local._deadlines.heap) <= 2 * 10 + 64


def test_a_miss_knows_how_the_last_copy_went(tier: Tier) -> None:
    reason = tier.local.miss_reason
    assert reason("never", 0) == "cold"
    tier.put("dropped")
    assert tier.local.drop("dropped") is True
    assert tier.local.drop("dropped") is False
    assert reason("dropped", 0) == "invalidated"
    tier.put("expires", 1)
    assert reason("expires", 1.0) == "expired"
    for i in range(30):
        tier.put(f"k{i}", 50)
    gone = next(f"k{i}" for i in range(30) if not tier.holds(f"k{i}"))
    assert reason(gone, 0) == "evicted"
    assert reason(gone, 50.0) == "expired", "it would have been by now"
    tier.local.drop(gone)
    assert reason(gone, 0) == "invalidated", "the invalidation came after the eviction"
    tier.put(gone)
    tier.local.drop(gone)
    assert reason(gone, 0) == "invalidated"


def test_an_entry_kept_for_stale_serving_is_an_expired_miss_until_it_goes(tier: Tier) -> None:
    entry = Entry("k", "v", 10.0, fresh_until=5.0, kept_until=20.0)
    tier.local.put(entry, 0.0)
    assert tier.local.peek("k", 19.9) is entry
    assert tier.local.size(19.9) == 1
    assert [tier.local.miss_reason("k", t) for t in (0.0, 5.0, 10.0)] == ["cold", "cold", "expired"]
    assert tier.evicted == {}, "a miss removes only what is past kept_until"
    assert tier.local.peek("k", 20.0) is None
    assert tier.local.size(20.0) == 0
    assert tier.local.miss_reason("k", 20.0) == "expired"
    assert tier.evicted == {"expired": 1}


def test_an_entry_that_is_off_the_hit_path_is_not_expired_for_that(tier: Tier) -> None:
    # As a remembered "none", and as an entry whose reuse is being timed.
    tier.local.put(Entry("k", "v", 10.0, fresh_until=float("-inf")), 0.0)
    for now, reason in ((0.0, "cold"), (10.0, "expired")):
        assert tier.local.look("k", now)[1] == reason
        assert tier.local.miss_reason("k", now) == reason


def test_the_end_of_the_ttl_and_not_of_the_keeping_makes_a_ghost_expired(tier: Tier) -> None:
    tier.local.put(Entry("k", "v", 10.0, kept_until=20.0), 0.0)
    tier.local.drop("k")
    assert [tier.local.miss_reason("k", t) for t in (9.0, 10.0)] == ["invalidated", "expired"]


def test_an_entry_is_fresh_and_kept_for_its_ttl_unless_told_otherwise() -> None:
    entry = Entry("k", "v", 10.0, ("t",))
    assert (entry.fresh_until, entry.kept_until, entry.tags) == (10.0, 10.0, ("t",))
    assert (entry.created, entry.size, entry.filled_at, entry.delta) == (0, 0, 0.0, 0.0)
    assert Entry("k", "v", 10.0, kept_until=1.0).kept_until == 10.0, "never before the TTL ends"


def test_the_ghost_list_is_bounded(tier: Tier) -> None:
    for i in range(5000):
        tier.put(f"k{i}")
    assert len(tier.local._ghosts) <= 128
    assert tier.local.miss_reason("k0", 0) == "cold", "forgotten"


def test_only_carriers_of_the_tags_are_dropped(tier: Tier) -> None:
    tier.put("a", tags=("x",))
    tier.put("b", tags=("x", "y", "x"))
    tier.put("c", tags=("y",))
    tier.put("d")
    tier.put("e", tags=("x",))
    tier.put("e", tags=("z",))
    assert tier.local.drop_tags(tag for tag in ("x", "none")) == 2
    assert [tier.holds(k) for k in "abcde"] == [False, False, True, True, True]
    assert tier.local.miss_reason("b", 0) == "invalidated"
    assert tier.local.drop_tags(["x"]) == 0
    assert tier.local.drop_tags(["y", "z", "y"]) == 2
    assert tier.local._tagged == {}, "no tag without an entry is remembered"


def test_tags_are_forgotten_with_the_entries_that_carried_them(tier: Tier) -> None:
    for i in range(1000):
        tier.put(f"k{i}", 1 + i % 3, tags=(f"t{i}", "all"))
    assert len(tier.local._tagged) == 11
    tier.now = 10.0
    tier.local.size(tier.now)
    assert tier.local._tagged == {}


@pytest.mark.parametrize("n", [5, 3000])
@pytest.mark.parametrize("policy", POLICIES)
def test_dropping_all_leaves_nothing_but_the_reason(policy: L1Policy, n: int) -> None:
    tier = Tier(n, policy)
    entries = tier.local.entries
    for i in range(n):
        tier.put(f"k{i}", 50, tags=("t",), size=3)
    assert tier.local.drop_all() == n
    assert (len(entries), tier.local.size(0.0), tier.local.bytes) == (0, 0, 0)
    assert tier.local.entries is entries, "readers have bound it"
    assert tier.local.drop_tags(["t"]) == 0
    assert tier.local.miss_reason("never", 0.0) == "cold"
    for key in ("k0", f"k{n - 1}"):
        assert tier.local.miss_reason(key, 0.0) == "invalidated"
        assert tier.local.miss_reason(key, 50.0) == "expired"
    tier.put("k1")
    assert entries["k1"].value == "value of k1"
    assert tier.local.miss_reason("k1", 0.0) == "cold", "it is there again"
    assert tier.local.drop_all() == 1
    assert tier.local.drop_all() == 0
    assert tier.evicted == {}


@pytest.mark.parametrize("n", [5, 3000])
@pytest.mark.parametrize("policy", POLICIES)
def test_dropped_values_are_freed_without_the_garbage_collector(policy: L1Policy, n: int) -> None:
    class Value:
        pass

    tier = Tier(n, policy)
    values = [Value() for _ in range(n)]
    for i, value in enumerate(values):
        tier.local.put(Entry(f"k{i}", value, 50.0), 0.0)
    refs = [weakref.ref(value) for value in values]
    del values, value
    gc.disable()
    try:
        tier.local.drop_all()
        assert [ref() for ref in refs if ref() is not None] == []
    finally:
        gc.enable()


def test_a_replaced_value_is_freed_at_once(tier: Tier) -> None:
    class Value:
        pass

    value = Value()
    ref = weakref.ref(value)
    tier.local.put(Entry("k", value, 50.0), 0.0)
    del value
    tier.put("k")
    assert ref() is None, "the bound in bytes would not count it"


def test_the_bound_in_bytes_holds_beside_the_bound_in_entries(tier: Tier) -> None:
    small = Tier(10, tier.local.policy, 100)
    for i in range(30):
        assert small.put(f"k{i}", size=30) is True
        assert small.local.bytes == 30 * min(i + 1, 3)
    assert small.evicted == {"size": 27}
    assert small.put("big", size=100) is True
    assert (small.local.bytes, len(small.local.entries)) == (100, 1)
    for i in range(30):
        small.put(f"k{i}", size=1)
    assert (small.local.bytes, len(small.local.entries)) == (10, 10)


def test_an_entry_larger_than_the_bound_is_refused_and_ends_the_one_before(tier: Tier) -> None:
    small = Tier(10, tier.local.policy, 100)
    small.put("other", size=60)
    assert small.put("k", size=101) is False
    assert small.evicted == {}
    assert small.local.miss_reason("k", 0.0) == "evicted", "a larger L1 would have it"
    small.put("k", size=40)
    assert small.put("k", size=101) is False
    assert (small.holds("k"), small.holds("other"), small.local.bytes) == (False, True, 60)
    assert small.evicted == {"size": 1}


def test_overwriting_with_a_larger_value_evicts_others_until_it_fits(tier: Tier) -> None:
    small = Tier(10, tier.local.policy, 100)
    for key in "abcd":
        small.put(key, size=25)
    assert small.put("c", size=90) is True
    assert (set(small.local.entries), small.local.bytes) == ({"c"}, 90)
    assert small.evicted == {"size": 3}, "the one that was replaced was not evicted"


def test_a_finalizer_may_use_the_tier_in_the_middle_of_each_step(tier: Tier) -> None:
    local = LocalTier(5, tier.local.policy, tier.count, 50)

    class Value:
        def __del__(self) -> None:
            local.put(Entry("mine", 1, 50.0, ("t",), size=7), 0.0)
            local.drop("k3")
            local.miss_reason("k1", 20.0)

    for i in range(300):
        local.put(Entry(f"k{i % 9}", Value(), 10.0 + i % 7, ("t", "u"), size=i % 20), i / 10)
        if i % 40 == 17:
            local.drop_tags(["u"])
        if i % 60 == 35:
            local.drop_all()
        local.size(i / 10)
        held = [local.entries[key] for key in local.entries]
        assert local.bytes == sum(entry.size for entry in held) <= 50
        assert local._tagged.get("t", set()) == set(held)
        del held  # runs finalizers, and so not while the next one is compared
    local.drop_all()


def test_only_what_is_doomed_is_dropped(tier: Tier) -> None:
    tier.put("a", tags=("x",))
    tier.put("b", tags=("x", "y"))
    tier.put("c", tags=("y",))
    assert tier.local.drop_where(lambda entry: "x" in entry.tags) == 2
    assert [tier.holds(k) for k in "abc"] == [False, False, True]


def test_looking_behind_the_policys_back_is_no_use() -> None:
    tier = Tier(2, "lru")
    tier.put("a")
    tier.put("b")
    tier.holds("a")
    tier.put("c")
    assert not tier.holds("a")


@pytest.mark.parametrize(("policy", "survivor"), [("lru", "recent"), ("lfu", "frequent")])
def test_lru_and_lfu_evict_by_their_own_rule(policy: L1Policy, survivor: str) -> None:
    tier = Tier(2, policy)
    tier.put("frequent")
    for _ in range(5):
        assert tier.local.entries["frequent"].key == "frequent"
    tier.put("recent")
    assert tier.local.entries["recent"].key == "recent"
    tier.put("new")
    assert tier.holds(survivor)


def test_an_unknown_policy_is_one_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="l1_policy='fifo'"):
        LocalTier(1, "fifo", lambda reason: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", POLICIES)
def test_readers_beside_a_writer_see_whole_entries_or_none(policy: L1Policy) -> None:
    tier = Tier(50, policy)
    done = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not done.is_set():
            for i in range(100):
                try:
                    entry = tier.local.entries[f"k{i}"]
                except KeyError:
                    continue
                except Exception as error:
                    wrong.append(error)
                    return
                entry.visited = True
                if entry.value != f"value of k{i}":
                    wrong.append(entry)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(8000):
        tier.put(f"k{i * 7 % 100}")
        if i % 50 == 0:
            tier.local.drop(f"k{i % 100}")
        if i % 500 == 0:
            with patch.object(local, "_FEW", 0):
                tier.local.drop_all()
    done.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []


@pytest.mark.parametrize("policy", POLICIES)
def test_writers_beside_each_other_keep_the_books(policy: L1Policy) -> None:
    tier = Tier(40, policy, 300)
    wrong: list[BaseException] = []

    def write(first: int) -> None:
        try:
            for i in range(first, first + 3000):
                key, tags = f"k{i * 7 % 90}", (f"t{i % 5}", "all")
                now = i % 3000 / 100
                entry = Entry(key, i, now + i % 4, tags, kept_until=now + 5, size=i % 20)
                tier.local.put(entry, now)
                if i % 17 == 0:
                    tier.local.drop_tags([f"t{i % 3}"])
                if i % 101 == 0:
                    tier.local.drop_all()
                if i % 23 == 0:
                    tier.local.size(now)
                tier.local.miss_reason(f"k{i % 90}", now)
        except BaseException as error:
            wrong.append(error)

    with patch.object(local, "_FEW", 10):
        threads = [threading.Thread(target=write, args=(i * 10_000,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert wrong == []
    held = [tier.local.entries[key] for key in tier.local.entries]
    assert tier.local.bytes == sum(entry.size for entry in held) <= 300
    assert tier.local._tagged.get("all", set()) == set(held)
    assert tier.local.drop_tags(["all"]) == len(held)
    assert (tier.local.bytes, tier.local._tagged, tier.local._deadlines.overdue) == (0, {}, set())
