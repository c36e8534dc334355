"""SIEVE: the algorithm of the paper, and a cachetools cache."""

import cachetools
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from routecache.sieve import SieveCache, SieveNode

SIZE = 5
KEYS = st.sampled_from("abcdefghij")


class Naive:
    """The paper's pseudo-code on a list, oldest first."""

    def __init__(self) -> None:
        self.queue: list[str] = []
        self.visited: dict[str, bool] = {}
        self.hand: str | None = None

    def get(self, key: str) -> bool:
        if key in self.visited:
            self.visited[key] = True
            return True
        return False

    def put(self, key: str) -> None:
        if key in self.visited:
            return
        if len(self.queue) >= SIZE:
            self.evict()
        self.queue.append(key)
        self.visited[key] = False

    def evict(self) -> str:
        i = self.queue.index(self.hand) if self.hand is not None else 0
        while self.visited[self.queue[i]]:
            self.visited[self.queue[i]] = False
            i = (i + 1) % len(self.queue)
        victim = self.queue[i]
        self.hand = self.queue[i]
        self.remove(victim)
        return victim

    def remove(self, key: str) -> None:
        i = self.queue.index(key)
        if self.hand == key:
            self.hand = self.queue[i + 1] if i + 1 < len(self.queue) else None
        self.queue.remove(key)
        del self.visited[key]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cache: SieveCache[SieveNode] = SieveCache(SIZE)
        self.model = Naive()

    @rule(key=KEYS)
    def put(self, key: str) -> None:
        self.cache[key] = SieveNode(key)
        self.model.put(key)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        if self.model.get(key):
            assert self.cache[key].key == key
        else:
            with pytest.raises(KeyError):
                self.cache[key]

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        if key in self.model.visited:
            del self.cache[key]
            self.model.remove(key)
        else:
            with pytest.raises(KeyError):
                del self.cache[key]

    @precondition(lambda self: self.model.queue)
    @rule()
    def evict(self) -> None:
        assert self.cache.popitem()[0] == self.model.evict()

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model = Naive()

    @rule()
    def take_all(self) -> None:
        nodes = self.cache.nodes
        assert self.cache.take_all().keys() == self.model.visited.keys()
        assert self.cache.nodes is nodes, "readers have bound it"
        self.model = Naive()

    @invariant()
    def same_queue_and_sound_links(self) -> None:
        queue: list[str] = []
        node, older = self.cache._oldest, None
        while node is not None:
            assert node.older is older
            queue.append(node.key)
            node, older = node.newer, node
        assert older is self.cache._newest
        assert queue == self.model.queue
        assert {k: n.visited for k, n in self.cache.nodes.items()} == self.model.visited
        hand = self.cache._hand
        assert (hand.key if hand else None) == self.model.hand
        assert len(self.cache) == self.cache.currsize == len(queue) <= SIZE


TestAgainstThePaper = Machine.TestCase
TestAgainstThePaper.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_it_is_a_cachetools_cache() -> None:
    cache: SieveCache[SieveNode] = SieveCache(3)
    assert isinstance(cache, cachetools.Cache)
    nodes = {key: SieveNode(key) for key in "abc"}
    cache.update(nodes)
    assert sorted(cache) == sorted(nodes)
    assert cache.get("a") is nodes["a"]
    assert cache.get("z") is None
    assert cache.pop("b") is nodes["b"]
    assert "b" not in cache
    assert cache.setdefault("d", SieveNode("d")).key == "d"
    assert (cache.maxsize, cache.currsize) == (3, 3)
    cache.clear()
    with pytest.raises(KeyError):
        cache.popitem()


def test_what_was_used_survives_a_scan_of_what_was_not() -> None:
    cache: SieveCache[SieveNode] = SieveCache(10)
    for key in "abcde":
        cache[key] = SieveNode(key)
    for key in "abcde":
        assert cache[key].key == key
    for i in range(14):
        cache[f"scan{i}"] = SieveNode(f"scan{i}")
    assert all(key in cache for key in "abcde")


def test_a_cache_of_no_entries_refuses_every_value() -> None:
    with pytest.raises(ValueError, match="too large"):
        SieveCache[SieveNode](0)["a"] = SieveNode("a")
