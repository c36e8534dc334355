"""What a function's keys begin with tells it from every other, or `cached` wants a `name`."""

import asyncio
import functools
import inspect
import math
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from routecache import AsyncCacheManager, BaseCacheManager, ConfigurationError, cached

memory = BaseCacheManager(enable_redis=False, cache_prefix="names")
asynchronous = AsyncCacheManager(enable_redis=False, cache_prefix="names-async")


def multiplied(factor: int, n: int) -> int:
    return factor * n


async def multiplied_later(factor: int, n: int) -> int:
    return factor * n


class Scaled:
    """Holds a factor that no argument tells of."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, n: int) -> int:
        return self.factor * n

    def of(self, n: int) -> int:
        return self.factor * n

    @cached(memory, key=lambda self, n: f"{self.factor}/{n}")
    def kept(self, n: int) -> int:
        return self.factor * n

    @cached(memory, ignore=("self",))
    def __private(self, n: int) -> int:
        return 3 * n

    def private(self) -> tuple[Any, Any]:
        return self.__private, type(self).__private


class ScaledLater:
    """The same as coroutine functions."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    async def __call__(self, n: int) -> int:
        return self.factor * n

    async def of(self, n: int) -> int:
        return self.factor * n

    @cached(asynchronous, key=lambda self, n: f"{self.factor}/{n}")
    async def kept(self, n: int) -> int:
        return self.factor * n

    @cached(asynchronous, ignore=("self",))
    async def __private(self, n: int) -> int:
        return 3 * n

    def private(self) -> tuple[Any, Any]:
        return self.__private, type(self).__private


class Logged:
    """A decorator that is a class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that gives what it makes the name of `function`, as most do."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaits(*args: Any) -> Any:
            return await function(*args)

        return awaits

    @functools.wraps(function)
    def calls(*args: Any) -> Any:
        return function(*args)

    return calls


class Form:
    """Functions or coroutine functions, and their manager."""

    def __init__(self, awaited: bool) -> None:
        self.manager: Any = asynchronous if awaited else memory
        self.function: Any = multiplied_later if awaited else multiplied
        self.scaled: Any = ScaledLater if awaited else Scaled
        self.other: Any = memory if awaited else asynchronous

    def partial(self, factor: int) -> Any:
        return functools.partial(self.function, factor)

    def named_partial(self, factor: int) -> Any:
        return functools.update_wrapper(self.partial(factor), self.function)

    def method(self, factor: int) -> Any:
        return self.scaled(factor).of

    def decorated_method(self, factor: int) -> Any:
        return self.scaled(factor).kept

    def object(self, factor: int) -> Any:
        return self.scaled(factor)

    def wrapped_partial(self, factor: int) -> Any:
        return timed(self.partial(factor))

    def wrapped_method(self, factor: int) -> Any:
        return timed(self.method(factor))

    def wrapped_in_an_object(self, factor: int) -> Any:
        return Logged(self.method(factor))

    def decorated_partial(self, factor: int) -> Any:
        return cached(self.manager, name=f"inner-{factor}")(self.partial(factor))

    def partial_of_an_object(self, factor: int) -> Any:
        return functools.partial(self.object(factor))


def answer(called: Any) -> Any:
    """What a function, or a coroutine function, returned."""
    return asyncio.run(called) if inspect.iscoroutine(called) else called


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def form(request: pytest.FixtureRequest) -> Form:
    return Form(request.param)


holders = {
    "partial": "multiplied.* holds arguments",
    "named_partial": "multiplied.* holds arguments",
    "method": "of is bound to an object",
    "decorated_method": "kept is bound to an object",
    "object": "Scaled(Later)? is an object that can be called",
    "wrapped_partial": "wraps what holds arguments",
    "wrapped_method": "of wraps what is bound to an object",
    "wrapped_in_an_object": "of wraps what is bound to an object",
    "decorated_partial": "is an object that can be called",
    "partial_of_an_object": "holds arguments",
}


@pytest.mark.parametrize("holder", holders)
def test_what_holds_more_than_its_name_says_wants_a_name(form: Form, holder: str) -> None:
    make = getattr(form, holder)
    with pytest.raises(ConfigurationError, match=f"{holders[holder]}, .*: give name="):
        cached(form.manager)(make(2))
    with pytest.raises(ConfigurationError, match="give name="):
        cached(form.manager, key=str, version=2)(make(2))


@pytest.mark.parametrize("holder", [h for h in holders if h != "wrapped_in_an_object"])
def test_with_a_name_each_has_entries_of_its_own(form: Form, holder: str) -> None:
    made = [
        cached(form.manager, name=f"{holder}-{factor}")(getattr(form, holder)(factor))
        for factor in (2, 3)
    ]
    assert [answer(one(10)) for one in made] == [20, 30]
    assert made[0].cache_key(10) != made[1].cache_key(10)
    assert answer(form.manager.get(made[1].cache_key(10))) == 30


def test_an_object_is_called_as_its_call_method_is(form: Form) -> None:
    with pytest.raises(ConfigurationError, match=r"functools.partial\(Scaled.* is a .*function"):
        cached(form.other, name="x")(form.partial_of_an_object(2))
    with pytest.raises(ConfigurationError, match=r"Scaled(Later)? is a .*function, which wants"):
        cached(form.other, name="x")(form.object(2))


def iterate() -> Iterator[int]:
    yield 1


def test_what_is_called_to_give_a_generator_is_refused() -> None:
    class Items:
        def __call__(self) -> Iterator[int]:
            yield 1

    class LaterItems:
        async def __call__(self) -> AsyncIterator[int]:
            yield 1

    for given in (Items(), LaterItems(), functools.partial(Items())):
        with pytest.raises(ConfigurationError, match=r"Items.* is a generator"):
            cached(memory, name="items")(given)
    with pytest.raises(ConfigurationError, match=r"functools.partial.* is a generator"):
        cached(memory, name="items")(functools.partial(iterate))


def test_what_a_decorator_made_goes_by_the_name_of_the_function(form: Form) -> None:
    name = f"{__name__}.{form.function.__name__}"
    made = [form.function, timed(form.function)]
    if form.manager is memory:
        made += [Logged(multiplied), functools.lru_cache(multiplied)]
    for function in made:
        decorated = cached(form.manager)(function)
        assert decorated.cache_key(2, 3).startswith(f"{name}#")
        assert answer(decorated(2, 3)) == 6


def test_a_builtin_function_is_named_by_its_module() -> None:
    assert cached(memory)(math.gcd).cache_key(4, 6).startswith("math.gcd#")


def test_a_bound_method_shows_its_object(form: Form) -> None:
    scaled = form.scaled(2)
    assert scaled.kept.__self__ is scaled
    assert not hasattr(form.scaled.kept, "__self__")


def test_a_decorator_that_is_used_twice_ignores_the_same_arguments_each_time(form: Form) -> None:
    ignoring: Any = cached(form.manager, ignore=(name for name in ["factor"]), version=7)
    for function in (form.function, timed(form.function)):
        decorated = ignoring(function)
        assert decorated.cache_key(1, 5) == decorated.cache_key(2, 5)
        assert decorated.cache_key(1, 5) != decorated.cache_key(1, 6)


def test_private_methods_are_pickled_by_the_names_that_their_class_knows(form: Form) -> None:
    bound, unbound = form.scaled(2).private()
    assert answer(pickle.loads(pickle.dumps(bound))(4)) == 12
    assert pickle.loads(pickle.dumps(unbound)) is unbound
