"""`cached` on methods: what stands for the object and the class, and how the helpers bind."""

import inspect
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from routecache import BaseCacheManager, KeyTypeError, cached

memory = BaseCacheManager(enable_redis=False, cache_prefix="methods")


@cached(memory)
def top(n: int) -> int:
    return n


class Tariff:
    """Methods of every kind."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @cached(memory, ignore=("self",))
    def shared(self, n: int) -> int:
        """One entry for all objects."""
        return self.factor * n

    @cached(memory, key=lambda self, n: f"{self.factor}/{n}")
    def own(self, n: int) -> int:
        return self.factor * n

    @cached(memory)
    def unkeyable(self, n: int) -> int:
        return self.factor * n

    @cached(memory)
    @classmethod
    def of_class(cls, n: int) -> str:
        return f"{cls.__name__} {n}"

    @cached(memory)
    @staticmethod
    def of_none(n: int) -> int:
        return n

    @staticmethod
    @cached(memory)
    def inside(n: int) -> int:
        return n

    @classmethod
    @cached(memory)
    def wrong_order(cls, n: int) -> int:
        return n


class SpecialTariff(Tariff):
    """A subclass."""


@dataclass(frozen=True)
class Point:
    """Its fields say which object it is."""

    x: int

    @cached(memory)
    def times(self, n: int) -> int:
        return self.x * n


def test_a_method_whose_object_has_no_key_says_so_and_how_to_give_one() -> None:
    with pytest.raises(
        KeyTypeError, match=r"Tariff.unkeyable: argument self is of type Tariff, .*key="
    ):
        Tariff(2).unkeyable(1)


def test_self_may_be_ignored_made_part_of_the_key_or_be_a_dataclass() -> None:
    memory.clear()
    assert Tariff(2).shared(3) == 6
    assert Tariff(5).shared(3) == 6, "one entry for all"
    assert (Tariff(2).own(3), Tariff(5).own(3)) == (6, 15)
    assert (Point(2).times(3), Point(5).times(3)) == (6, 15)
    assert Point(2).times.cache_key(3) == Point.times.cache_key(Point(2), 3)


def test_the_helpers_of_a_bound_method_pass_its_object() -> None:
    memory.clear()
    tariff = Tariff(2)
    assert tariff.own.cache_key(3) == Tariff.own.cache_key(tariff, 3)
    assert tariff.own(3) == 6
    assert tariff.own.cache_invalidate(3) is True
    tariff.factor = 2
    assert tariff.own.cache_refresh(3) == 6
    assert str(inspect.signature(tariff.shared)) == "(n: int) -> int"
    assert str(inspect.signature(Tariff.shared)) == "(self, n: int) -> int"
    assert tariff.shared.__name__ == "shared"


# mypy takes decorated classmethods and staticmethods for plain functions (docs/decorator.md).
TARIFF: Any = Tariff
SPECIAL: Any = SpecialTariff


def test_classmethods_have_entries_for_each_class_and_staticmethods_for_none() -> None:
    memory.clear()
    assert [TARIFF.of_class(1), SPECIAL.of_class(1), SPECIAL(1).of_class(1)] == [
        "Tariff 1", "SpecialTariff 1", "SpecialTariff 1",
    ]  # fmt: skip
    assert TARIFF.of_class.cache_key(1) != SPECIAL.of_class.cache_key(1)
    for owner in (TARIFF, TARIFF(1), SPECIAL):
        assert owner.of_none(1) == owner.inside(1) == 1
        assert owner.of_none.cache_invalidate(1) is True
        assert owner.inside.cache_invalidate(1) is True


def test_a_classmethod_above_cached_is_told_to_go_below() -> None:
    with pytest.raises(KeyTypeError, match=r"argument cls .*put cached above classmethod"):
        TARIFF.wrong_order(1)


def test_a_class_whose_name_tells_it_from_no_other_is_refused() -> None:
    local: Any = type("Local", (Tariff,), {"__qualname__": "here.<locals>.Local"})
    with pytest.raises(
        KeyTypeError, match=r"<locals>.Local of argument cls is made inside of a fun"
    ):
        local.of_class(1)


def test_decorated_functions_are_pickled_by_name() -> None:
    for made in (top, Tariff.shared, Tariff.of_none):
        assert pickle.loads(pickle.dumps(made)) is made
    bound = pickle.loads(pickle.dumps(Point(2).times))
    assert bound(4) == 8
