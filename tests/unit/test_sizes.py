"""The estimate of a value's memory: exact for what is small, bounded for what is not."""

import json
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecache import sizes
from routecache.sizes import estimate

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=60,
)


def exact(value: Any, seen: set[int] | None = None) -> int:
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    items = [*value, *value.values()] if isinstance(value, dict) else value
    parts = items if isinstance(value, (dict, list)) else []
    return sys.getsizeof(value) + sum(exact(part, seen) for part in parts)


@given(JSON)
def test_a_small_value_counts_for_exactly_its_objects(value: Any) -> None:
    assert estimate(value) == exact(value)


def test_what_is_shared_counts_once_and_a_cycle_ends() -> None:
    shared = ["x" * 1000]
    assert estimate([shared] * 50) == exact([shared] * 50) < 2000
    knot: list[Any] = []
    knot.append({"again": knot, "itself": None})
    knot[0]["itself"] = knot[0]
    assert estimate(knot) == exact(knot)


@pytest.mark.parametrize(
    "value",
    [
        list(range(1000, 60_000)),
        [{"id": i, "name": f"n{i}", "parts": [i + 0.5, i + 0.25]} for i in range(20_000)],
        {f"key {i}": {"rank": [i * 1000]} for i in range(20_000)},
        [["x" * 100] * 3 + [str(i)] for i in range(30_000)],
    ],
    ids=["numbers", "records", "mapping", "repeats"],
)
def test_a_large_value_is_extrapolated_from_its_beginning(value: Any) -> None:
    assert 0.8 < estimate(value) / exact(value) < 1.25


def test_no_value_takes_more_steps_than_the_bound() -> None:
    steps = 0

    class Counted:
        __slots__ = ()

        def __sizeof__(self) -> int:
            nonlocal steps
            steps += 1
            return 100

    assert 20_000_000 < estimate([Counted() for _ in range(200_000)]) < 26_000_000
    assert steps == sizes.MAX_STEPS
    assert estimate([None] * 10**6) == pytest.approx(8 * 10**6, rel=0.01)


def test_depth_is_no_recursion() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert estimate(deep) == pytest.approx(5000 * sys.getsizeof([1]), rel=0.01)


def test_other_objects_count_with_what_they_hold() -> None:
    class Thing:
        def __init__(self) -> None:
            self.payload = "x" * 5000

    assert estimate(Thing()) > 5000
    assert estimate((b"x" * 5000, {1, 2}, frozenset((3, "y" * 5000)))) > 10_000
    assert estimate(Thing) < 5000, "a class is not its value's"


def test_it_never_raises() -> None:
    class Refuses:
        def __sizeof__(self) -> int:
            raise RuntimeError("no")

        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no")

    class Lies(list[int]):
        def __iter__(self) -> Any:
            raise RuntimeError("no")

        def __len__(self) -> int:
            raise RuntimeError("no")

        def __sizeof__(self) -> int:
            return -(10**6)

    values: list[Any] = [Refuses(), [Refuses(), Lies([1])], Lies([1, 2]), threading.Lock()]
    for value in values:
        assert estimate(value) >= 0


def test_a_dict_that_another_thread_changes_is_no_error() -> None:
    value: dict[str, Any] = {"start": [0]}
    done = threading.Event()

    def change() -> None:
        for i in range(30_000):
            value[f"k{i % 97}"] = [i]
            value.pop(f"k{(i + 50) % 97}", None)
        done.set()

    writer = threading.Thread(target=change)
    writer.start()
    while not done.is_set():
        assert estimate(value) > 0
    writer.join(10)


def test_a_decoded_answer_is_estimated_as_it_stands() -> None:
    answer = json.loads('{"choices": [{"message": {"role": "assistant", "content": "hi"}}]}')
    assert estimate(answer) == exact(answer)
