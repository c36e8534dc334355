"""Functions whose results a `BaseCacheManager` keeps; `_async.py` is the same with `await`."""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from routecache.decorating.calls import Args, Kwargs
from routecache.decorating.rules import Rules, Tags
from routecache.decorating.shown import Shown
from routecache.manager import BaseCacheManager

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)  # noqa: PLC0105  # the usual name
S = TypeVar("S")
T = TypeVar("T")


class CachedCall(Shown, Generic[P, R]):
    """A function whose results are cached: called like it, with helpers for its entries.

    Also what a decorated method is when it is bound to its object: that is then passed first, to
    the helpers too. Made by `routecache.cached`. Safe for threads.
    """

    __name__: str
    __wrapped__: Callable[..., R]
    """The function itself; not of one that is bound."""

    def __init__(
        self,
        function: Callable[P, R],
        cache: Callable[[], BaseCacheManager],
        rules: Rules,
        bound: Args = (),
    ) -> None:
        self._function: Callable[..., R] = function
        self._cache = cache
        self._rules = rules
        self._bound = bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, from the cache or computed and stored."""
        rules = self._rules
        given = (*self._bound, *args) if self._bound else args
        if rules.skip_if is not None and rules.skip_if(*given, **kwargs):
            return self._function(*given, **kwargs)
        key = rules.keys.key(given, kwargs)
        tags: Tags | None = rules.fixed_tags
        if tags is None:
            tags = functools.partial(rules.tags_with, given, kwargs)
        found: R = self._cache().get_or_load(
            key, lambda: self._load(given, kwargs), rules.ttl, tags=tags
        )
        return found

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of this call in the cache."""
        return self._rules.keys.key((*self._bound, *args), kwargs)

    def cache_invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of this call in both tiers; True if one of them held it."""
        return self._cache().delete(self.cache_key(*args, **kwargs))

    def cache_refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Forget the result of this call, compute it anew, store and return it.

        What began to be computed earlier is stored nowhere. Raises what the function raises; the
        old result is gone then, too. Where `skip_if` holds, the old result is forgotten and the new
        one is returned, but not stored, as of any such call.
        """
        self.cache_invalidate(*args, **kwargs)
        return self(*args, **kwargs)

    def _load(self, args: Args, kwargs: Kwargs) -> object:
        rules = self._rules
        try:
            result = self._function(*args, **kwargs)
        except rules.remember as error:
            remembered = rules.remembered(error)
            if remembered is None:
                raise
            return remembered
        return rules.settled(result)

    def _binding(self, first: object) -> Any:
        return CachedCall(self._function, self._cache, self._rules, (first,))


class CachedFunction(CachedCall[P, R]):
    """A `CachedCall` that binds like a function: as a method its object comes first."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: "CachedFunction[Concatenate[S, Q], T]", instance: S, owner: type | None = None, /
    ) -> CachedCall[Q, T]: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """Bind to the object whose method this is."""
        return self if instance is None else self._binding(instance)


class CachedClassMethod(CachedCall[P, R]):
    """A `CachedCall` that binds like a classmethod: the class comes first."""

    def __get__(self, instance: object, owner: type | None = None, /) -> CachedCall[P, R]:
        """Bind to the class."""
        bound: CachedCall[P, R] = self._binding(type(instance) if owner is None else owner)
        return bound
