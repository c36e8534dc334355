"""Any sequence of operations on L1 against a plain dict, for each eviction policy."""

from collections import Counter
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from routecache import deadlines, local
from routecache.local import Entry, L1Policy, LocalTier
from routecache.sieve import SieveNode

MAXSIZE, MAX_BYTES = 6, 40
KEYS = st.sampled_from("abcdefghijkl")
TAGS = st.lists(st.sampled_from("xyz"), max_size=3).map(tuple)
SECONDS = st.sampled_from([0.0, 1.0, 3.0, 10.0, float("inf")])


class Gone(NamedTuple):
    expires_at: float
    reason: str


class Machine(RuleBasedStateMachine):
    """`model` is what must be held, `gone` and `emptied` why the rest is not."""

    policy: L1Policy = "sieve"

    def __init__(self) -> None:
        super().__init__()
        self.evicted: Counter[str] = Counter()
        self.tier = LocalTier(MAXSIZE, self.policy, self.count, MAX_BYTES)
        self.now = 0.0
        self.model: dict[str, Entry] = {}
        self.gone: dict[str, Gone] = {}
        self.emptied: dict[str, Gone] = {}

    def count(self, reason: str) -> None:
        self.evicted[reason] += 1

    def overdue(self, key: str) -> bool:
        return self.model[key].kept_until <= self.now

    def notice(self, unless: str = "") -> int:
        """Take over what the tier evicted or reclaimed; how many that are not overdue."""
        lost = [k for k in self.model if k not in set(self.tier.entries) and k != unless]
        evicted = sum(not self.overdue(key) for key in lost)
        for key in lost:
            reason = "expired" if self.overdue(key) else "evicted"
            self.gone[key] = Gone(self.model.pop(key).expires_at, reason)
        return evicted

    @rule(key=KEYS, ttl=SECONDS, keep=SECONDS, tags=TAGS, size=st.integers(0, MAX_BYTES + 5))
    def put(self, key: str, ttl: float, keep: float, tags: tuple[str, ...], size: int) -> None:
        entry = Entry(
            key, object(), self.now + ttl, tags, kept_until=self.now + ttl + keep, size=size
        )
        others = [k for k in self.model if k != key]
        fits = len(others) < MAXSIZE and size + self.bytes_of(others) <= MAX_BYTES
        before = self.evicted["size"]
        stored = self.tier.put(entry, self.now)
        assert stored is (size <= MAX_BYTES)
        evicted = self.notice(unless=key)
        assert evicted <= self.evicted["size"] - before
        if stored:
            self.model[key] = entry
            self.gone.pop(key, None)
            self.emptied.pop(key, None)
            assert not fits or self.evicted["size"] == before, "evicts only what it must"
        else:
            assert evicted == 0, "what is refused evicts nobody else"
            self.model.pop(key, None)
            self.gone[key] = Gone(entry.expires_at, "evicted")

    def bytes_of(self, keys: list[str]) -> int:
        return sum(self.model[key].size for key in keys)

    @rule(key=KEYS)
    def hit(self, key: str) -> None:
        try:
            entry = self.tier.entries[key]
        except KeyError:
            assert key not in self.model
        else:
            entry.visited = True
            assert entry is self.model[key]

    @rule(key=KEYS)
    def drop(self, key: str) -> None:
        assert self.tier.drop(key) is (key in self.model)
        if key in self.model:
            self.gone[key] = Gone(self.model.pop(key).expires_at, "invalidated")
        elif key in self.gone:
            self.gone[key] = self.gone[key]._replace(reason="invalidated")

    @rule(tags=TAGS)
    def drop_tags(self, tags: tuple[str, ...]) -> None:
        doomed = [k for k, entry in self.model.items() if set(tags) & set(entry.tags)]
        assert self.tier.drop_tags(iter(tags)) == len(doomed)
        for key in doomed:
            self.gone[key] = Gone(self.model.pop(key).expires_at, "invalidated")

    @rule(few=st.sampled_from([0, 256]))
    def drop_all(self, few: int) -> None:
        with patch.object(local, "_FEW", few):
            assert self.tier.drop_all() == len(self.model)
        dropped = {k: Gone(entry.expires_at, "invalidated") for k, entry in self.model.items()}
        if len(dropped) > few:
            self.emptied = dropped
        else:
            self.gone.update(dropped)
        for entry in self.model.values():
            assert not entry.live
        self.model.clear()

    @rule(key=KEYS)
    def miss(self, key: str) -> None:
        reason = self.tier.miss_reason(key, self.now)
        entry = self.model.get(key)
        if entry is not None:
            assert reason == ("expired" if self.now >= entry.expires_at else "cold")
            assert (key in set(self.tier.entries)) is not self.overdue(key)
            self.notice()
        else:
            ghost = self.gone.get(key) or self.emptied.get(key)
            if ghost is None:
                assert reason == "cold"
            else:
                assert reason == ("expired" if self.now >= ghost.expires_at else ghost.reason)

    @rule(chunk=st.sampled_from([0, 1, 256]), pops=st.sampled_from([0, 64]))
    def size(self, chunk: int, pops: int) -> None:
        with (
            patch.object(local, "_RECLAIM_PER_COUNT", chunk),
            patch.object(deadlines, "_POPS_PER_COUNT", pops),
        ):
            alive = sum(not self.overdue(key) for key in self.model)
            assert self.tier.size(self.now) == alive
        assert self.notice() == 0

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def the_tier_holds_what_the_model_does(self) -> None:
        assert set(self.tier.entries) == set(self.model)
        for key, entry in self.model.items():
            assert self.tier.peek(key, self.now) is (None if self.overdue(key) else entry)
            assert entry.live
        assert len(self.model) <= MAXSIZE
        assert self.tier.bytes == self.bytes_of(list(self.model)) <= MAX_BYTES

    @invariant()
    def the_books_of_the_tier_are_right(self) -> None:
        tagged: dict[str, set[Entry]] = {}
        for entry in self.model.values():
            for tag in entry.tags:
                tagged.setdefault(tag, set()).add(entry)
        assert self.tier._tagged == tagged
        found = self.tier._deadlines
        assert len(found.heap) <= 2 * MAXSIZE + 64
        assert all(self.overdue(key) for key in found.overdue)
        for key, entry in self.model.items():
            if entry.kept_until != float("inf"):
                assert ((entry.kept_until, key) in found.heap) is (key not in found.overdue)

    @invariant()
    def the_queue_of_sieve_is_whole(self) -> None:
        if self.tier._sieve is not None:
            node: SieveNode | None = self.tier._sieve._oldest
            queue, older = [], None
            while node is not None:
                assert node.older is older
                queue.append(node.key)
                node, older = node.newer, node
            assert sorted(queue) == sorted(self.model)


class LRUMachine(Machine):
    policy: L1Policy = "lru"


class LFUMachine(Machine):
    policy: L1Policy = "lfu"


TestSieve, TestLRU, TestLFU = Machine.TestCase, LRUMachine.TestCase, LFUMachine.TestCase
for case in (TestSieve, TestLRU, TestLFU):
    case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
