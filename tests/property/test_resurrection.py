"""No resurrection: any interleaving of held loads, deletes, sets, tags, outages and deaf listeners.

Two managers, one sync and one asyncio, share a fake Redis that tells them of each other's writes.
The same machine without leases, or without recovery, must fail: so the proof can fail.
`tests/integration/test_resurrection.py` runs interleavings over two processes and a real server.
"""

import itertools
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from routecache import BaseCacheManager, Policy
from routecache.testing import FakeRemote, ManualTimer
from tests.interleaving import World
from tests.members import BlockingAsync, LocalMember, Without

BLIND_TTL = 5.0
_names = itertools.count()


class Machine(RuleBasedStateMachine):
    """Steps of two members; after each, whoever must have heard of a change has."""

    without: ClassVar[Without | None] = None
    who = st.sampled_from([0, 1])
    keys = st.sampled_from("ab")

    def __init__(self) -> None:
        super().__init__()
        self.timer = ManualTimer()
        self.fake = FakeRemote(self.timer, listening=True)
        options: dict[str, Any] = {
            "cache_prefix": f"resurrection{next(_names)}",
            "name": "resurrection",
            "redis_client": self.fake,
            "timer": self.timer,
            "policy": Policy(l2_timeout=1.0, blind_ttl=BLIND_TTL),
        }
        managers = [BaseCacheManager(**options), BlockingAsync(**options)]
        self.members = [LocalMember(manager, self.without) for manager in managers]
        self.world = World(self.members)
        # Where a listener is deaf but L2 answers: what was due when nothing older may be left.
        self.due: dict[str, int] = {}

    @property
    def up(self) -> bool:
        return self.fake.failure is None

    @property
    def owes(self) -> bool:
        return any(bool(member.core.recovery) for member in self.members)

    @rule(who=who, key=keys)
    def load(self, who: int, key: str) -> None:
        self.world.load(who, key)

    @rule(n=st.integers(0, 3))
    def finish(self, n: int) -> None:
        self.world.finish(n)

    @rule(who=who, key=keys)
    def delete(self, who: int, key: str) -> None:
        self.world.delete(who, key)

    @rule(who=who, key=keys)
    def set(self, who: int, key: str) -> None:
        self.world.set(who, key)

    @rule(who=who, key=keys)
    def invalidate(self, who: int, key: str) -> None:
        self.world.invalidate(who, key)

    @rule(who=who, key=keys)
    def look(self, who: int, key: str) -> None:
        self.world.look(who, key, self.due.get(key, 0) if self.up else 0)

    @rule(failure=st.sampled_from(["connection", "timeout", "circuit"]))
    def outage(self, failure: str) -> None:
        """Commands fail; a listener that was connected is told so."""
        self.fake.failure = failure
        self.fake.listen(False)
        self.due = {}

    @precondition(lambda self: not self.up)
    @rule()
    def redis_is_back(self) -> None:
        """Commands are answered; the listeners are not connected yet."""
        self.fake.failure = None

    @precondition(lambda self: self.up)
    @rule()
    def deaf(self) -> None:
        self.fake.listen(False)

    @precondition(lambda self: self.up and not self.fake.listening)
    @rule()
    def hears_again(self) -> None:
        self.fake.listen(True)

    @precondition(lambda self: self.up and self.owes)
    @rule()
    def recover(self) -> None:
        self.fake.run_background()

    @rule()
    def all_is_well(self) -> None:
        """Whatever was the matter ends, and everything that is held or owed, too."""
        self.fake.failure = None
        self.fake.listen(True)
        self.fake.run_background()
        self.world.finish_all()
        self.fake.run_background()
        self.know()
        for who, key in itertools.product((0, 1), "ab"):
            self.world.look(who, key)

    @precondition(lambda self: not self.fake.listening)
    @rule()
    def deaf_for_long(self) -> None:
        """A load without a lease may still fill L1, so none may be held to conclude anything."""
        self.timer.advance(BLIND_TTL)
        if self.up and not self.owes and not self.world.held:
            self.due = dict(self.world.versions)

    def know(self) -> None:
        if self.up and self.fake.listening and not self.owes:
            self.world.agreed()

    @invariant()
    def nothing_is_older_than_it_may_be(self) -> None:
        assert self.world.violations == []
        self.know()
        self.timer.advance(1e-4)  # two steps of one moment could not be told apart

    def teardown(self) -> None:
        self.world.finish_all()
        for member in self.members:
            member.close()


TestNothingIsResurrected = Machine.TestCase
TestNothingIsResurrected.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None
)


def test_a_copy_that_l2_has_outlived_does_not_come_back_when_l2_fails() -> None:
    machine = Machine()
    machine.set(1, "a")
    machine.look(1, "a")
    machine.deaf()
    machine.delete(0, "a")
    machine.deaf_for_long()
    machine.look(1, "a")
    machine.outage("connection")
    machine.look(1, "a")
    machine.teardown()
    assert machine.world.violations == []


@pytest.mark.parametrize("without", ["leases", "recovery"])
def test_the_same_machine_fails_without(without: Without) -> None:
    class Crippled(Machine):
        pass

    Crippled.without = without
    with pytest.raises(AssertionError, match="is due"):
        run_state_machine_as_test(
            Crippled,
            settings=settings(
                max_examples=500,
                stateful_step_count=60,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
            ),
        )
