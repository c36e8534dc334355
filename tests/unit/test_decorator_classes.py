"""Objects of two classes that hold the same are two objects to `cached`."""

import asyncio
import inspect
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict

from routecache import AsyncCacheManager, BaseCacheManager, KeyTypeError, cached
from routecache.decorating import AsyncCachedFunction, CachedFunction

memory = BaseCacheManager(enable_redis=False, cache_prefix="classes")
asynchronous = AsyncCacheManager(enable_redis=False, cache_prefix="classes-async")


class Priced:
    """A method that every class inherits and may answer otherwise."""

    def base(self) -> int:
        return 1

    @cached(memory)
    def price(self, tokens: int) -> int:
        return self.base() * tokens

    @cached(asynchronous)
    async def price_later(self, tokens: int) -> int:
        return self.base() * tokens


class Dear(Priced):
    def base(self) -> int:
        return 100


@dataclass(frozen=True)
class Tariff(Priced):
    factor: float


@dataclass(frozen=True)
class DearTariff(Dear, Tariff):
    """The same fields."""


class Model(Priced, BaseModel):
    factor: float


class DearModel(Dear, Model):
    """The same fields."""


class Tier(Priced, Enum):
    FAST = "fast"


class DearTier(Dear, Enum):
    FAST = "fast"


class Name(Priced, str):
    __slots__ = ()


class DearName(Dear, Name):
    __slots__ = ()


class Pair(NamedTuple):
    one: int
    two: int


class PricedPair(Priced, Pair):
    __slots__ = ()


class DearPair(Dear, PricedPair):
    __slots__ = ()


@cached(memory)
def price_of(what: Any, tokens: int = 3) -> int:
    found = what
    while isinstance(found, (list, dict)):
        found = found[0]
    base: int = found.base()
    return base * tokens


@cached(asynchronous)
async def price_of_later(what: Any, tokens: int = 3) -> int:
    return price_of.__wrapped__(what, tokens)


def answer(called: Any) -> Any:
    """What a function, or a coroutine function, returned."""
    return asyncio.run(called) if inspect.iscoroutine(called) else called


alike: list[tuple[Any, Any]] = [
    (Tariff(2.0), DearTariff(2.0)),
    (Model(factor=2.0), DearModel(factor=2.0)),
    (Tier.FAST, DearTier.FAST),
    (Name("gpt-x"), DearName("gpt-x")),
    (PricedPair(1, 2), DearPair(1, 2)),
]
objects = alike[:3]
of_form = pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
method = {False: "price", True: "price_later"}


@of_form
@pytest.mark.parametrize(("one", "other"), alike, ids=lambda value: type(value).__name__)
def test_a_method_that_two_classes_inherit_has_entries_for_each(
    one: Any, other: Any, awaited: bool
) -> None:
    calls = [getattr(thing, method[awaited]) for thing in (one, other)]
    assert [answer(call(3)) for call in calls] == [3, 300]
    for thing, call in zip((one, other), calls, strict=True):
        unbound = getattr(type(thing), method[awaited])
        assert unbound.cache_key(thing, tokens=3) == call.cache_key(3)
        assert answer(call.cache_invalidate(3)) is True


@of_form
@pytest.mark.parametrize(("one", "other"), objects, ids=lambda value: type(value).__name__)
def test_arguments_of_two_classes_are_two_arguments(one: Any, other: Any, awaited: bool) -> None:
    function: Any = price_of_later if awaited else price_of
    for wrap in (lambda value: value, lambda value: [value], lambda value: {0: [value]}):
        assert [answer(function(wrap(thing))) for thing in (one, other)] == [3, 300]
    assert function.cache_key(one) == function.cache_key(what=one, tokens=3)


@of_form
def test_what_is_a_value_in_python_is_the_same_argument_as_that_value(awaited: bool) -> None:
    key = (price_of_later if awaited else price_of).cache_key
    assert key(Name("gpt-x")) == key("gpt-x") == key(DearName("gpt-x"))
    assert key(DearPair(1, 2)) == key((1, 2)) == key([1, 2])
    assert key(Tariff(2.0)) != key({"factor": 2.0})


@of_form
def test_an_object_of_a_class_made_inside_of_a_function_is_refused(awaited: bool) -> None:
    @dataclass(frozen=True)
    class Local(Tariff):
        """There may be another of this name."""

    class LocalName(Name):
        __slots__ = ()

    function: Any = price_of_later if awaited else price_of
    with pytest.raises(KeyTypeError, match=r"what\[0\] is of the class .*<locals>.*ignore="):
        function.cache_key([Local(2.0)])
    for thing in (Local(2.0), LocalName("x")):
        found = f"class .*{type(thing).__name__} of argument self is made inside .*give key="
        with pytest.raises(KeyTypeError, match=found):
            getattr(thing, method[awaited]).cache_key(3)


class Whole(BaseModel):
    """Decorated methods in the body of a model."""

    model_config = ConfigDict(ignored_types=(CachedFunction, AsyncCachedFunction))
    factor: float

    @cached(memory)
    def price(self, tokens: int) -> float:
        return self.factor * tokens

    @cached(asynchronous)
    async def price_later(self, tokens: int) -> float:
        return self.factor * tokens


@of_form
def test_methods_may_stand_in_the_body_of_a_pydantic_model(awaited: bool) -> None:
    for factor in (2.0, 5.0):
        whole = Whole(factor=factor)
        for _ in range(2):
            assert answer(getattr(whole, method[awaited])(3)) == 3 * factor
    assert list(Whole.model_fields) == ["factor"]
