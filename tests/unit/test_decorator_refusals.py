"""What `cached` refuses at decoration, and a manager that comes later."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from routecache import AsyncCacheManager, BaseCacheManager, ConfigurationError, cached
from tests.decorated import NotFoundError, NumberedError

memory = BaseCacheManager(enable_redis=False, cache_prefix="refusals")


@cached(memory)
def top(n: int) -> int:
    return n


@dataclass
class Point:
    x: int


refusals: list[tuple[str, dict[str, Any]]] = [
    ("ttl=0 is not a time to live", {"ttl": 0}),
    ("ttl=True is not a time to live", {"ttl": True}),
    ("tags='t': give an iterable", {"tags": "t"}),
    ("tags=5: give an iterable", {"tags": 5}),
    ("ignore='n': give an iterable", {"ignore": "n"}),
    ("ignore=5: give an iterable", {"ignore": 5}),
    ("has no parameter 5, m", {"ignore": (5, "m")}),
    ("has no parameter m", {"ignore": ("m",)}),
    ("give key= or ignore=, not both", {"ignore": ("n",), "key": str}),
    ("skip_if is a str: give a function", {"skip_if": "x"}),
    ("name='a b'", {"name": "a b"}),
    ("name='a#b'", {"name": "a#b"}),
    ("version='a@b'", {"version": "a@b"}),
    ("remember=<class 'int'>", {"remember": int}),
    ("remember=<class 'KeyboardInterrupt'>", {"remember": KeyboardInterrupt}),
    ("NumberedError cannot be raised anew", {"remember": NumberedError, "negative_ttl": 1}),
    ("remember wants negative_ttl", {"remember": NotFoundError}),
    ("negative_ttl=-1 is not", {"remember": NotFoundError, "negative_ttl": -1}),
]


@pytest.mark.parametrize(("message", "options"), refusals, ids=[str(o) for _, o in refusals])
def test_options_that_cannot_work_are_refused_at_decoration(
    message: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cached(memory, **options)(top.__wrapped__)
    assert message in str(caught.value)


def test_what_is_no_function_with_one_result_is_refused() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> Any:
        yield 1

    for given, message in (
        (generator, "is a generator"),
        (async_generator, "is a generator"),
        (Point, "not Point"),
        (3, "not int"),
        (property(top), "not property"),
        (lambda n: n, "give name="),
    ):
        with pytest.raises(ConfigurationError, match=message):
            cached(memory)(given)  # type: ignore[arg-type]


def test_a_function_inside_of_another_is_refused_if_it_uses_its_variables() -> None:
    factor = 3

    def uses(n: int) -> int:
        return factor * n

    def counts_down(n: int) -> int:
        return 0 if n == 0 else counts_down(n - 1)

    with pytest.raises(ConfigurationError, match="uses its factor, which no key would tell apart"):
        cached(memory)(uses)
    assert cached(memory, name="uses")(uses)(2) == 6
    assert cached(memory)(counts_down)(2) == 0


def test_a_manager_of_the_wrong_kind_is_refused_at_decoration() -> None:
    async def awaited() -> int:
        return 1

    asynchronous = AsyncCacheManager(enable_redis=False, cache_prefix="kinds")
    with pytest.raises(ConfigurationError, match="a coroutine function, which wants an AsyncCach"):
        cached(memory)(awaited)
    with pytest.raises(
        ConfigurationError, match="a plain function, which wants a BaseCacheManager"
    ):
        cached(asynchronous)(top.__wrapped__)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cache is a str"):
        cached("memory")  # type: ignore[call-overload]
    asyncio.run(asynchronous.close())


def test_the_manager_may_be_made_after_the_function_was_decorated() -> None:
    made: list[Any] = []

    def latest() -> BaseCacheManager:
        found: BaseCacheManager = made[-1]
        return found

    @cached(latest, name="late")
    def late(n: int) -> int:
        return n

    with BaseCacheManager(enable_redis=False, cache_prefix="late") as manager:
        made.append(manager)
        assert late(1) == 1
        assert manager.get(late.cache_key(1)) == 1
        made.append("none")
        with pytest.raises(ConfigurationError, match="wants a BaseCacheManager, not str"):
            late(1)
        with pytest.raises(ConfigurationError, match="remember wants negative_ttl"):
            cached(lambda: manager, remember=NotFoundError)
