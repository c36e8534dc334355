"""Arrival times: what is read of a log's column, in which unit, and how far from its order."""

import math

import pytest

from routecache_exporters.replay.context import BadValueError
from routecache_exporters.replay.pace import Order
from routecache_exporters.replay.times import Times


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2023-11-16 18:17:03.9799600", 1700158623.97996),
        ("2023-11-16T18:17:03+01:00", 1700155023.0),
        ("1700158623.5", 1700158623.5),
        (1700158623500, 1700158623.5),
        (1700158623500000, 1700158623.5),
        ("1700158623500000000", 1700158623.5),
    ],
)
def test_dates_and_times_since_1970_tell_themselves(value: object, expected: float) -> None:
    times = Times()
    assert times.seconds(value) == pytest.approx(expected, abs=1e-6)
    assert times.doubt is None


@pytest.mark.parametrize(
    "value", ["soon", "", None, True, "nan", float("inf"), [1], "1e300", 10**400, "-1e400"]
)
def test_what_is_no_time_is_bad(value: object) -> None:
    with pytest.raises(BadValueError, match="no time"):
        Times().seconds(value)


def test_a_log_that_counts_from_its_own_start_has_one_unit_from_its_first_row_to_its_last() -> None:
    """Nanoseconds: after 100 s they are too large for seconds, and time must not go back."""
    times = Times("ns")
    read = [times.seconds(second * 10**9) for second in range(0, 3600, 60)]
    assert read == [float(second) for second in range(0, 3600, 60)]
    assert times.doubt is None, "it was told"


def test_the_first_number_decides_the_unit_of_all() -> None:
    times = Times()
    assert times.seconds("2025-01-01") == 1735689600
    assert times.seconds(1_700_000_000_000) == 1_700_000_000
    assert times.seconds(60_000) == 60, "milliseconds still"
    with pytest.raises(BadValueError, match="is no time in milliseconds"):
        times.seconds(1_700_000_000_000_000_000)
    assert times.unit == "ms"
    assert times.doubt is None


@pytest.mark.parametrize(
    ("first", "taken"),
    [(0, "seconds"), ("3600000", "seconds"), (5e12, "milliseconds"), (-1.7e9, "seconds")],
)
def test_a_number_of_no_date_in_this_century_leaves_a_doubt(first: object, taken: str) -> None:
    times = Times()
    times.seconds(first)
    assert times.doubt == taken


def test_what_no_unit_makes_a_time_decides_nothing() -> None:
    times = Times()
    with pytest.raises(BadValueError):
        times.seconds(1e30)
    assert times.seconds(1_700_000_000) == 1_700_000_000


def test_the_order_of_requests_is_counted_against_the_newest_before_each() -> None:
    order = Order(tolerance=5.0)
    in_order = [order.take(at) for at in (100.0, 100.0, 110.0, 107.0, 104.0, 110.0, 111.0, 0.0)]
    assert in_order == [True, True, True, False, False, True, True, False]
    assert (order.late, order.far, order.most) == (3, 2, 111.0)
    assert Order().far == 0
    unbounded = Order()
    unbounded.take(math.pi)
    unbounded.take(-1e11)
    assert (unbounded.late, unbounded.far) == (1, 0)
