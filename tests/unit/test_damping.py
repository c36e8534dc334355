"""Flap damping and its parameters, in a time of their own."""

import copy
import math
import pickle

import pytest

from routecache import MISS, ConfigurationError, HealthPolicy
from routecache.routing.damping import Penalty

OF_ONES_OWN = HealthPolicy(source_ttls={"probe": 5.0}, unhealthy_status={"up": False})
POLICY = HealthPolicy(half_life=60, suppress_over=2.5, reuse_under=0.75, max_hold=300)


def test_the_third_turn_in_a_row_holds_and_two_do_not() -> None:
    penalty = Penalty(POLICY, 0)
    penalty.turned(0)
    penalty.turned(1)
    assert not penalty.held(1)
    assert penalty.ends_in(1) == 0
    penalty.turned(2)
    assert penalty.held(2)


def test_turns_a_few_half_lives_apart_never_hold() -> None:
    penalty = Penalty(POLICY, 0)
    for n in range(100):
        penalty.turned(n * 60.0)  # the figure tends to 2
        assert not penalty.held(n * 60.0)


def test_the_hold_ends_when_the_penalty_has_decayed_and_not_before() -> None:
    penalty = Penalty(POLICY, 0)
    for _ in range(3):
        penalty.turned(0)
    ends = penalty.ends_in(0)
    assert ends == pytest.approx(60 * math.log2(3 / 0.75)) == 120
    assert penalty.held(ends - 0.01)
    assert penalty.ends_in(ends - 0.01) == pytest.approx(0.01)
    assert not penalty.held(ends + 0.01)
    penalty.turned(ends + 0.02)
    assert not penalty.held(ends + 0.02), "between the thresholds it is as it was: not held"


def test_however_often_it_turns_the_hold_ends_within_max_hold_of_the_last_turn() -> None:
    penalty = Penalty(POLICY, 0)
    for n in range(10_000):
        penalty.turned(n / 100)
    assert penalty.ends_in(99.99) == pytest.approx(300)
    assert not penalty.held(400)


def test_a_clock_that_is_read_late_does_not_raise_the_penalty() -> None:
    penalty = Penalty(POLICY, 10)
    for _ in range(3):
        penalty.turned(10)
    assert penalty.held(9)
    assert penalty.ends_in(9) == pytest.approx(120)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("report_ttl", 0),
        ("report_ttl", True),
        ("half_life", -1),
        ("max_hold", math.inf),
        ("hook_timeout", math.nan),
        ("status_ttl", 0),
        ("source_ttls", {"probe": 0}),
        ("source_ttls", {"probe:eu": 60.0}),
        ("suppress_over", 0.5),
        ("suppress_over", 30),
        ("suppress_over", "3"),
        ("reuse_under", 0),
        ("reuse_under", math.nan),
    ],
)
def test_a_field_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        HealthPolicy(**{field: value})  # type: ignore[arg-type]


def test_a_tiny_half_life_overflows_nothing() -> None:
    policy = HealthPolicy(half_life=1e-9)
    assert policy.ceiling < math.inf
    penalty = Penalty(policy, 0)
    penalty.turned(0)
    assert not penalty.held(1e9)


def test_the_policy_is_immutable_with_what_it_was_given() -> None:
    given = {"probe": 5.0}
    policy = HealthPolicy(source_ttls=given)
    given["probe"] = 7.0
    assert policy.ttl_of("probe") == 5
    assert policy.ttl_of("probe:eu") == 5
    assert policy.ttl_of("router") == policy.report_ttl
    with pytest.raises(TypeError):
        policy.source_ttls["probe"] = 1.0  # type: ignore[index]


def test_sources_of_ones_own_leave_alertmanager_its_hours() -> None:
    policy = HealthPolicy(source_ttls={"probe": 5.0})
    assert policy.ttl_of("probe:eu") == 5
    assert policy.ttl_of("alertmanager:1") == 7200
    assert HealthPolicy(source_ttls={"alertmanager": 60.0}).ttl_of("alertmanager:1") == 60


@pytest.mark.parametrize("policy", [HealthPolicy(), OF_ONES_OWN], ids=["default", "own"])
def test_a_policy_can_be_handed_to_another_process_copied_and_hashed(policy: HealthPolicy) -> None:
    for other in (pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy), copy.copy(policy)):
        assert other == policy
        assert hash(other) == hash(policy)
        assert other.ttl_of("probe") == policy.ttl_of("probe")
    assert pickle.loads(pickle.dumps(HealthPolicy())).unhealthy_status is MISS
