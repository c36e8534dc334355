"""L1 with each eviction policy: bounds, deadlines, and why a key is not there."""

import threading
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from routecache.errors import ConfigurationError
from routecache.local import Entry, L1Policy, LocalTier

POLICIES: list[L1Policy] = ["sieve", "lru", "lfu"]
FOREVER = float("inf")


class Tier:
    """A tier with its evictions counted and a clock to set."""

    def __init__(self, maxsize: int, policy: L1Policy) -> None:
        self.evicted: Counter[str] = Counter()
        self.local = LocalTier(maxsize, policy, self.count)
        self.now = 0.0

    def count(self, reason: str) -> None:
        self.evicted[reason] += 1

    def put(self, key: str, ttl: float = 100.0, tags: tuple[str, ...] = ()) -> None:
        self.local.put(Entry(key, f"value of {key}", self.now + ttl, tags), self.now)

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
    assert tier.local.size(tier.now) == 0, "expired entries do not count, reclaimed or not"
    tier.put("new")
    assert tier.evicted["expired"] <= 8
    for i in range(5000):
        tier.put(f"new{i}")
    assert tier.evicted == {"expired": 5000}


def test_overwrites_do_not_grow_the_heap_of_deadlines(tier: Tier) -> None:
    for i in range(10_000):
        tier.put(f"k{i % 5}", 1000 + i)
    assert len(tier.local._deadlines) <= 2 * 10 + 64


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
    assert [tier.local.miss_reason("k", t) for t in (0.0, 5.0, 10.0)] == ["cold"] + ["expired"] * 2
    assert tier.evicted == {}, "a miss removes only what is past kept_until"
    assert tier.local.peek("k", 20.0) is None
    assert tier.local.size(20.0) == 0
    assert tier.local.miss_reason("k", 20.0) == "expired"
    assert tier.evicted == {"expired": 1}


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
    done.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []


class Machine(RuleBasedStateMachine):
    """Any sequence of operations against a dict of deadlines."""

    policy: L1Policy = "sieve"

    def __init__(self) -> None:
        super().__init__()
        self.tier = Tier(6, self.policy)
        self.model: dict[str, float] = {}

    keys = st.sampled_from("abcdefghijkl")

    @rule(key=keys, ttl=st.sampled_from([1.0, 3.0, 10.0, FOREVER]))
    def put(self, key: str, ttl: float) -> None:
        self.tier.put(key, ttl)
        self.model[key] = self.tier.now + ttl

    @rule(key=keys)
    def drop(self, key: str) -> None:
        self.tier.local.drop(key)
        self.model.pop(key, None)

    @rule(key=keys)
    def miss(self, key: str) -> None:
        if not self.tier.holds(key):
            assert self.tier.local.miss_reason(key, self.tier.now)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        self.tier.now += seconds

    @invariant()
    def holds_only_what_is_alive_within_the_bound(self) -> None:
        alive = {key for key, ends in self.model.items() if self.tier.now < ends}
        held = {key for key in self.model if self.tier.holds(key)}
        assert held <= alive
        assert self.tier.local.size(self.tier.now) == len(held) <= 6
        if self.tier.evicted["size"] == 0:
            assert held == alive


class LRUMachine(Machine):
    policy: L1Policy = "lru"


class LFUMachine(Machine):
    policy: L1Policy = "lfu"


TestSieve, TestLRU, TestLFU = Machine.TestCase, LRUMachine.TestCase, LFUMachine.TestCase
for case in (TestSieve, TestLRU, TestLFU):
    case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
