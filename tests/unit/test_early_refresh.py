"""Early refreshes whose draw is extreme, and load times that nobody can have measured."""

import pytest

from routecache import BaseCacheManager, Policy, envelope
from routecache.envelope import Envelope
from routecache.errors import DecodeError
from routecache.testing import ManualTimer
from tests.helpers import eventually


def test_a_draw_from_before_the_clock_began_still_asks_for_a_refresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Soon after boot the monotonic clock is younger than a slow load times a large draw."""
    monkeypatch.setattr("random.expovariate", lambda _rate: 1e4)
    timer = ManualTimer()
    policy = Policy(early_refresh=1.0)
    with BaseCacheManager(
        l1_ttl=50, enable_redis=False, name="early.draw", timer=timer, policy=policy
    ) as cache:

        def slow() -> str:
            timer.advance(5)
            return "old"

        cache.get_or_load("k", slow)
        assert cache.core.local.entries["k"].fresh_until < 0
        assert cache.get_or_load("k", lambda: "new") == "old"
        assert eventually(lambda: cache.get("k") == "new")


def test_a_negative_load_time_is_no_envelope() -> None:
    """It would lengthen the time for which the hit path serves the entry."""
    written = Envelope(1, 2, "json", b"1", load_us=-1)
    with pytest.raises(DecodeError):
        envelope.read(envelope.encode(written))
