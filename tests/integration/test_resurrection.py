"""No resurrection over two processes and a real Redis that is killed: a short run of the proof.

`make prove-resurrection` is the long one.
"""

import pytest

from tests.interleaving import Interleavings
from tests.members import Without

pytestmark = pytest.mark.needs("redis-server")


def test_nothing_that_was_invalidated_in_either_process_is_seen_again() -> None:
    with Interleavings(seed=3, outage_every=40) as interleavings:
        for n in range(300):
            interleavings.run(n)
            assert interleavings.world.violations == []
        assert interleavings.outages > 2
        assert interleavings.world.seen["values served"] > 500


@pytest.mark.parametrize("without", ["leases", "recovery"])
def test_the_same_interleavings_find_violations_without(without: Without) -> None:
    with Interleavings(seed=3, outage_every=4, without=without) as interleavings:
        for n in range(400):
            interleavings.run(n)
            if interleavings.world.violations:
                return
    raise AssertionError("nothing was found: the proof cannot fail")
