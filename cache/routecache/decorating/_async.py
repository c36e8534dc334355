"""Coroutine functions whose results an `AsyncCacheManager` keeps: `_sync.py` with `await`."""

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from routecache.async_manager import AsyncCacheManager
from routecache.decorating.calls import Args, Kwargs
from routecache.decorating.rules import Rules, Tags
from routecache.decorating.shown import Shown

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)  # noqa: PLC0105  # the usual name
S = TypeVar("S")
T = TypeVar("T")


class AsyncCachedCall(Shown, Generic[P, R]):
    """A coroutine function whose results are cached: called like it, with helpers.

    Also what a decorated method is when it is bound to its object: that is then passed first, to
    the helpers too. Made by `routecache.cached`. Safe for tasks of any event loop.
    """

    __name__: str
    __wrapped__: Callable[..., Coroutine[Any, Any, R]]
    """The function itself; not of one that is bound."""

    _is_coroutine: Any = getattr(asyncio.coroutines, "_is_coroutine", None)  # of Python 3.11

    def __init__(
        self,
        function: Callable[P, Coroutine[Any, Any, R]],
        cache: Callable[[], AsyncCacheManager],
        rules: Rules,
        bound: Args = (),
    ) -> None:
        self._function: Callable[..., Coroutine[Any, Any, R]] = function
        self._cache = cache
        self._rules = rules
        self._bound = bound

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, from the cache or computed and stored."""
        rules = self._rules
        given = (*self._bound, *args) if self._bound else args
        if rules.skip_if is not None and rules.skip_if(*given, **kwargs):
            return await self._function(*given, **kwargs)
        key = rules.keys.key(given, kwargs)
        tags: Tags | None = rules.fixed_tags
        if tags is None:
            tags = functools.partial(rules.tags_with, given, kwargs)
        found: R = await self._cache().get_or_load(
            key, lambda: self._load(given, kwargs), rules.ttl, tags=tags
        )
        return found

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of this call in the cache."""
        return self._rules.keys.key((*self._bound, *args), kwargs)

    async def cache_invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of this call in both tiers; True if one of them held it."""
        return await self._cache().delete(self.cache_key(*args, **kwargs))

    async def cache_refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Forget the result of this call, compute it anew, store and return it.

        What began to be computed earlier is stored nowhere. Raises what the function raises; the
        old result is gone then, too. Where `skip_if` holds, the old result is forgotten and the new
        one is returned, but not stored, as of any such call.
        """
        await self.cache_invalidate(*args, **kwargs)
        return await self(*args, **kwargs)

    async def _load(self, args: Args, kwargs: Kwargs) -> object:
        rules = self._rules
        try:
            result = await self._function(*args, **kwargs)
        except rules.remember as error:
            remembered = rules.remembered(error)
            if remembered is None:
                raise
            return remembered
        return rules.settled(result)

    def _binding(self, first: object) -> Any:
        return AsyncCachedCall(self._function, self._cache, self._rules, (first,))


class AsyncCachedFunction(AsyncCachedCall[P, R]):
    """An `AsyncCachedCall` that binds like a function: as a method its object comes first."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: "AsyncCachedFunction[Concatenate[S, Q], T]", instance: S, owner: type | None = None, /
    ) -> AsyncCachedCall[Q, T]: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """Bind to the object whose method this is."""
        return self if instance is None else self._binding(instance)


class AsyncCachedClassMethod(AsyncCachedCall[P, R]):
    """An `AsyncCachedCall` that binds like a classmethod: the class comes first."""

    def __get__(self, instance: object, owner: type | None = None, /) -> AsyncCachedCall[P, R]:
        """Bind to the class."""
        bound: AsyncCachedCall[P, R] = self._binding(type(instance) if owner is None else owner)
        return bound


if sys.version_info >= (3, 12):  # so that frameworks which ask whether it is one await it
    inspect.markcoroutinefunction(AsyncCachedCall)
