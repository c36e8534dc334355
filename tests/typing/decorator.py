"""`cached` as a type checker sees it: mypy and pyright check this file, nothing runs it.

Not here, because mypy takes decorated classmethods and staticmethods for plain functions: a
classmethod, and a staticmethod that is called on an object. pyright knows both. An overload of
`__get__` for functions whose first parameter is a class does not mend that: mypy takes it for every
function, because it does not compare what stands first in `Concatenate` with the function's own.
"""

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from routecache import AsyncCacheManager, BaseCacheManager, cached

manager = BaseCacheManager(enable_redis=False)
asynchronous = AsyncCacheManager(enable_redis=False)


@cached(manager, ttl=5, tags=("t",), ignore=["trace"], version=2)
def price(model: str, tokens: int = 1, *, trace: object = None) -> float:
    """A function."""
    return len(model) * tokens


@cached(lambda: manager, remember=(LookupError,), negative_ttl=5, skip_if=bool, store_if=bool)
def late(n: int) -> list[int]:
    """One whose cache is made later."""
    return [n]


@cached(asynchronous, key=str, result_tags=list, remember=LookupError, name="n")
async def awaited(n: int) -> str:
    """A coroutine function."""
    return str(n)


class Tariff:
    """Methods."""

    @cached(manager, ignore=("self",))
    def of(self, n: int) -> str:
        """A method."""
        return str(n)

    @cached(asynchronous, ignore=("self",))
    async def later(self, n: int) -> str:
        """A method that is a coroutine function."""
        return str(n)

    @cached(manager)
    @staticmethod
    def of_none(n: int) -> str:
        """A staticmethod."""
        return str(n)


assert_type(price("m"), float)
assert_type(price(model="m", tokens=2, trace=3), float)
assert_type(price.cache_key("m", 2), str)
assert_type(price.cache_invalidate("m"), bool)
assert_type(price.cache_refresh("m"), float)
price(3)  # type: ignore[arg-type]
price.cache_kye("m")  # type: ignore[attr-defined]
price.cache_key()  # type: ignore[call-arg]
price.cache_refresh("m", token=1)  # type: ignore[call-arg]
assert_type(late(1), list[int])
plain: Callable[[int], list[int]] = late

tariff = Tariff()
assert_type(tariff.of(1), str)
assert_type(tariff.of.cache_key(1), str)
assert_type(tariff.of.cache_refresh(n=1), str)
assert_type(Tariff.of(tariff, 1), str)
assert_type(Tariff.of_none(1), str)
tariff.of("x")  # type: ignore[arg-type]


async def main() -> None:
    """What is awaited."""
    assert_type(await awaited(1), str)
    assert_type(awaited.cache_key(1), str)
    assert_type(await awaited.cache_invalidate(1), bool)
    assert_type(await awaited.cache_refresh(n=1), str)
    assert_type(await tariff.later(1), str)
    assert_type(await tariff.later.cache_refresh(1), str)
    task: Callable[[int], Coroutine[Any, Any, str]] = awaited
    await task(1)
    await awaited("x")  # type: ignore[arg-type]


@cached(asynchronous)  # type: ignore[arg-type]
def refused(n: int) -> int:
    """A plain function wants a BaseCacheManager."""
    return n
