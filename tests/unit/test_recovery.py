"""What L2 owes is forgotten by the command that was sent for it, and by none that was older."""

from routecache import BaseCacheManager, keys
from routecache.tiered.recovery import Recovery


def test_a_reply_to_an_older_command_settles_no_newer_debt() -> None:
    recovery = Recovery()
    recovery.add(["k"])
    sent = recovery.mark()
    recovery.add(["k"])
    recovery.done(sent, ["k"])
    assert recovery.owes("k")
    recovery.done(recovery.mark(), ["k"])
    assert not recovery.owes("k")


def test_what_is_owed_during_the_sweep_of_an_overflow_is_still_owed_after_it() -> None:
    recovery = Recovery()
    recovery.add([f"k{i}" for i in range(Recovery.LIMIT + 1)])
    assert recovery.owes("anything")
    recovery.add(["late"])
    recovery.cleared()
    assert recovery.owes("late")
    assert not recovery.owes("k1")


def test_an_overflow_during_the_sweep_of_another_wants_another_sweep() -> None:
    recovery = Recovery()
    for _ in range(2):
        recovery.add([f"k{i}" for i in range(Recovery.LIMIT + 1)])
    recovery.cleared()
    assert recovery.owes("anything")
    recovery.cleared()
    assert len(recovery) == 0
    assert not recovery.owes("anything")


def test_a_clear_ends_the_leases_before_it_takes_the_values() -> None:
    with_prefix = [keys.lease_pattern("p"), keys.value_pattern("p"), keys.tag_pattern("p")]
    with BaseCacheManager(enable_redis=False, cache_prefix="p") as cache:
        assert cache.core.patterns() == with_prefix
