"""Why a look-up missed: each reason as a caller brings it about, and which one goes first.

How the last copy in L1 went: expired if past its deadline, else invalidated, else evicted, else
cold. A failure of L2 in this call goes before all of them, but not in `l1_misses`.
"""

from collections.abc import Callable, Iterator

import pytest

from routecache import MISS, BaseCacheManager, snapshot
from routecache.ghosts import Ghosts
from routecache.testing import FakeRemote, ManualTimer

TTL = 10.0


class Two:
    """Two processes' caches over one L2; what is asked of `ours` is looked at."""

    def __init__(self) -> None:
        self.timer = ManualTimer()
        self.remote = FakeRemote(self.timer, listening=True)
        self.ours = self._make("ours")
        self.other = self._make("other")

    def _make(self, name: str) -> BaseCacheManager:
        return BaseCacheManager(
            1, l1_ttl=TTL, l2_ttl=TTL, redis_client=self.remote, timer=self.timer,
            cache_prefix="why", name=f"why.{name}",
        )  # fmt: skip

    def held(self) -> None:
        """Have L1 and L2 hold the key."""
        self.ours.set("k", 1)
        assert self.ours.get("k") == 1

    def gone_from_l2(self) -> None:
        self.remote._data.clear()

    def evicted(self) -> None:
        self.held()
        self.ours.set("another", 2)
        assert self.ours.get("another") == 2
        self.gone_from_l2()

    def missed(self) -> tuple[str, str]:
        """The reasons in `misses` and in `l1_misses` of one look-up."""
        before = self._counts()
        assert self.ours.get("k", MISS) is MISS
        after = self._counts()
        found = [
            reason
            for was, now in zip(before, after, strict=True)
            for reason, n in now.items()
            if n > was.get(reason, 0)
        ]
        assert len(found) == 2
        return found[0], found[1]

    def _counts(self) -> tuple[dict[str, int], dict[str, int]]:
        (seen,) = [seen for seen in snapshot().caches if seen.name == "why.ours"]
        return dict(seen.misses), dict(seen.l1_misses)


@pytest.fixture
def two() -> Iterator[Two]:
    made = Two()
    yield made
    made.ours.close()
    made.other.close()


def never(two: Two) -> None:
    """Nothing."""


def expired(two: Two) -> None:
    two.held()
    two.timer.advance(TTL)


def deleted(two: Two) -> None:
    two.held()
    two.ours.delete("k")


def deleted_by_another(two: Two) -> None:
    two.held()
    two.other.delete("k")


def tag_invalidated_by_another(two: Two) -> None:
    two.ours.set("k", 1, tags=("t",))
    assert two.ours.get("k") == 1
    two.other.invalidate_tags("t")


def cleared(two: Two) -> None:
    two.held()
    two.ours.clear()


def evicted_and_then_deleted(two: Two) -> None:
    two.evicted()
    two.other.delete("k")


def evicted_long_ago(two: Two) -> None:
    two.evicted()
    two.timer.advance(TTL)


def deleted_long_ago(two: Two) -> None:
    deleted(two)
    two.timer.advance(TTL)


def unavailable(two: Two) -> None:
    expired(two)
    two.remote.failure = "timeout"


def undecodable(two: Two) -> None:
    two.held()
    payload, until = two.remote._data["why:v1:{k}"]
    two.remote._data["why:v1:{k}"] = (payload[:-3], until)
    two.ours.core.drop_all()


CASES: dict[Callable[[Two], None], tuple[str, str]] = {
    never: ("cold", "cold"),
    expired: ("expired", "expired"),
    deleted: ("invalidated", "invalidated"),
    deleted_by_another: ("invalidated", "invalidated"),
    tag_invalidated_by_another: ("invalidated", "invalidated"),
    cleared: ("invalidated", "invalidated"),
    Two.evicted: ("evicted", "evicted"),
    evicted_and_then_deleted: ("invalidated", "invalidated"),
    evicted_long_ago: ("expired", "expired"),
    deleted_long_ago: ("expired", "expired"),
    unavailable: ("l2_unavailable", "expired"),
    undecodable: ("undecodable", "invalidated"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_miss_has_the_reason_that_goes_first(two: Two, case: Callable[[Two], None]) -> None:
    case(two)
    assert two.missed() == CASES[case]


def test_a_reason_is_forgotten_when_there_is_a_copy_again(two: Two) -> None:
    two.evicted()
    two.held()
    two.timer.advance(TTL)
    assert two.missed() == ("expired", "expired")


class _Untouchable(Ghosts):
    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked on the hit path")


def test_a_hit_asks_no_ghost(two: Two) -> None:
    two.held()
    local = two.ours.core.local
    ghosts, local._ghosts = local._ghosts, _Untouchable(1)
    for _ in range(1000):
        assert two.ours.get("k") == 1
        assert two.ours.get_or_load("k", lambda: 2) == 1
    local._ghosts = ghosts
