"""`cached`: a function's results in a cache, by its arguments."""

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from routecache.async_manager import AsyncCacheManager
from routecache.decorating._async import (
    AsyncCachedCall,
    AsyncCachedClassMethod,
    AsyncCachedFunction,
)
from routecache.decorating._sync import CachedCall, CachedClassMethod, CachedFunction
from routecache.decorating.calls import CallKeys, Kind
from routecache.decorating.names import title_of
from routecache.decorating.rules import Rules
from routecache.errors import ConfigurationError
from routecache.manager import BaseCacheManager
from routecache.policy import check_ttl

P = ParamSpec("P")
T = TypeVar("T")

Cache: TypeAlias = BaseCacheManager | Callable[[], BaseCacheManager]
AsyncCache: TypeAlias = AsyncCacheManager | Callable[[], AsyncCacheManager]


class Decorator(Protocol):
    """Makes a function one whose results are cached."""

    # A staticmethod is a callable, too; type checkers take the first overload that fits.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        function: "staticmethod[P, T]",
        /,
    ) -> CachedCall[P, T]: ...
    @overload
    def __call__(self, function: "classmethod[Any, P, T]", /) -> CachedCall[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> CachedFunction[P, T]: ...


class AsyncDecorator(Protocol):
    """Makes a coroutine function one whose results are cached."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        function: "staticmethod[P, Coroutine[Any, Any, T]]",
        /,
    ) -> AsyncCachedCall[P, T]: ...
    @overload
    def __call__(
        self, function: "classmethod[Any, P, Coroutine[Any, Any, T]]", /
    ) -> AsyncCachedCall[P, T]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCachedFunction[P, T]: ...


@overload
def cached(
    cache: AsyncCache, *, ttl: float | None = None, key: Callable[..., str] | None = None,
    ignore: Iterable[str] = (), tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    result_tags: Callable[[Any], Iterable[str]] | None = None,
    skip_if: Callable[..., bool] | None = None, store_if: Callable[[Any], bool] | None = None,
    remember: type[Exception] | tuple[type[Exception], ...] = (),
    negative_ttl: float | None = None, name: str | None = None, version: str | int | None = None,
) -> AsyncDecorator: ...  # fmt: skip
@overload
def cached(
    cache: Cache, *, ttl: float | None = None, key: Callable[..., str] | None = None,
    ignore: Iterable[str] = (), tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    result_tags: Callable[[Any], Iterable[str]] | None = None,
    skip_if: Callable[..., bool] | None = None, store_if: Callable[[Any], bool] | None = None,
    remember: type[Exception] | tuple[type[Exception], ...] = (),
    negative_ttl: float | None = None, name: str | None = None, version: str | int | None = None,
) -> Decorator: ...  # fmt: skip
def cached(
    cache: Any,
    *,
    ttl: float | None = None,
    key: Callable[..., str] | None = None,
    ignore: Iterable[str] = (),
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    result_tags: Callable[[Any], Iterable[str]] | None = None,
    skip_if: Callable[..., bool] | None = None,
    store_if: Callable[[Any], bool] | None = None,
    remember: type[Exception] | tuple[type[Exception], ...] = (),
    negative_ttl: float | None = None,
    name: str | None = None,
    version: str | int | None = None,
) -> Any:
    """A decorator that keeps a function's results in `cache`, by `get_or_load`.

    So a call runs once for all who make it meanwhile, what was invalidated while it ran is not
    stored, and hits, misses and loads are counted. The function gets `cache_key(...)`,
    `cache_invalidate(...)` and `cache_refresh(...)`, which take the arguments of a call.

    The key is the digest of the arguments by parameter (`routecache.keys.digest`, with `classes`),
    defaults included, behind the function's module and qualified name. A method's `self` is an
    argument like any other: unless it is a dataclass or has a `model_dump()`, name it in `ignore`,
    or give a `key` that says which object it is. With it enters the name of its class, because
    subclasses may answer otherwise; of a classmethod the class alone. Put `cached` above
    `classmethod` and `staticmethod`.

    Args:
        cache: a BaseCacheManager for functions, an AsyncCacheManager for coroutine functions; or a
            function that gives one, asked at every call.
        ttl: seconds in both tiers, instead of the cache's.
        key: called with the arguments, gives the text that stands for them in the key.
        ignore: names of parameters that do not enter the key: `self`, a session, a client.
        tags: by which `invalidate_tags` finds the entries, or a function of the arguments.
        result_tags: a function of the result that gives further tags.
        skip_if: a function of the arguments: where it is true, the call bypasses the cache and is
            not counted.
        store_if: a function of the result: where it is false, the result is returned and not
            stored.
        remember: exception types that are an answer, such as NotFound: the type, and nothing else
            of the exception, is kept in memory for `negative_ttl` seconds, and raised anew.
        negative_ttl: seconds, `Policy.negative_ttl` unless given.
        name: stands for the function in its keys; needed where these would tell two apart by
            nothing: for a lambda, a function that uses variables of the function around it, a
            `functools.partial`, a bound method, an object that can be called.
        version: change it when results of the same call change their meaning.

    Raises:
        ConfigurationError: a ValueError, at decoration: arguments that cannot work, a generator, a
            coroutine function with a BaseCacheManager or the reverse, a missing `name`.
        KeyTypeError: a TypeError, at a call: names the argument that has no canonical form, or
            whose class is made inside of a function and therefore has no name of its own.

    Safe for threads and tasks.
    """
    if not (isinstance(cache, BaseCacheManager | AsyncCacheManager) or callable(cache)):
        raise ConfigurationError(
            f"cache is a {type(cache).__qualname__}: give a BaseCacheManager, an AsyncCacheManager "
            "or a function that gives one"
        )
    if ttl is not None:
        check_ttl(ttl, endless=callable(cache) or not cache.core.has_l2)
    _check_callable(key=key, result_tags=result_tags, skip_if=skip_if, store_if=store_if)
    fixed_tags = tags if callable(tags) else _texts("tags", tags)
    ignored = _texts("ignore", ignore)
    remembered = remember if isinstance(remember, tuple) else (remember,)
    seconds = _negative_ttl(cache, remembered, negative_ttl)

    def decorate(given: Any) -> Any:
        function, kind = _function_of(given)
        awaited = _is(inspect.iscoroutinefunction, function)
        keys = CallKeys(function, name=name, version=version, key=key, ignore=ignored, kind=kind)
        manager = AsyncCacheManager if awaited else BaseCacheManager
        rules = Rules(keys, ttl, fixed_tags, result_tags, skip_if, store_if, remembered, seconds)
        source: Callable[[], Any]
        if callable(cache):
            source = functools.partial(_asked, cache, manager, keys.title)
        else:
            _check_pair(cache, manager, keys.title)
            source = lambda: cache  # noqa: E731  # called at every call: a lambda is fastest
        made = _KINDS[awaited, kind](function, source, rules)
        # Without the function's own attributes, which are looked up in it: it may be one of ours.
        return functools.update_wrapper(made, function, updated=())

    return decorate


_KINDS: dict[tuple[bool, str], Any] = {
    (False, "function"): CachedFunction,
    (False, "static"): CachedCall,
    (False, "class"): CachedClassMethod,
    (True, "function"): AsyncCachedFunction,
    (True, "static"): AsyncCachedCall,
    (True, "class"): AsyncCachedClassMethod,
}


def _asked(cache: Callable[[], Any], manager: type, title: str) -> Any:
    found = cache()
    if not isinstance(found, manager):
        _check_pair(found, manager, title)
    return found


def _check_pair(cache: object, manager: type, title: str) -> None:
    if isinstance(cache, manager):
        return
    wants = "is a plain function, which wants a BaseCacheManager"
    if manager is AsyncCacheManager:
        wants = "is a coroutine function, which wants an AsyncCacheManager"
    raise ConfigurationError(f"{title} {wants}, not {type(cache).__qualname__}")


def _function_of(given: Any) -> tuple[Callable[..., Any], Kind]:
    """What is called, and how it binds."""
    kind: Kind = "function"
    if isinstance(given, staticmethod | classmethod):
        kind = "static" if isinstance(given, staticmethod) else "class"
        given = given.__func__
    if not callable(given) or isinstance(given, type):
        what = given.__qualname__ if isinstance(given, type) else type(given).__qualname__
        raise ConfigurationError(f"cached decorates functions and methods, not {what}")
    if _is(inspect.isgeneratorfunction, given) or _is(inspect.isasyncgenfunction, given):
        raise ConfigurationError(
            f"{title_of(given)} is a generator, whose items can be taken once: return a list"
        )
    return given, kind


def _is(asked: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Whether `asked` is true of `function` or, for a partial or an object, of what it calls."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    return asked(function) or asked(type(inner).__call__)


def _negative_ttl(cache: Any, remember: tuple[Any, ...], given: float | None) -> float:
    for kind in remember:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ConfigurationError(f"remember={kind!r}: give subclasses of Exception")
        try:
            kind()
        except Exception as error:
            raise ConfigurationError(
                f"remember: {kind.__qualname__} cannot be raised anew by its type, because it "
                "wants arguments: give a subclass that wants none"
            ) from error
    if given is None and isinstance(cache, BaseCacheManager | AsyncCacheManager):
        given = cache.core.policy.negative_ttl
    if given is not None:
        return check_ttl(given, "negative_ttl")
    if remember:
        raise ConfigurationError("remember wants negative_ttl, here or in the cache's Policy")
    return 0.0


def _texts(name: str, given: Any) -> tuple[str, ...]:
    """`given` as a tuple, because an iterator can be read once and a decorator used twice."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{name}={given!r}: give an iterable of str, such as a tuple")
    return tuple(given)


def _check_callable(**given: object) -> None:
    for name, value in given.items():
        if value is not None and not callable(value):
            raise ConfigurationError(f"{name} is a {type(value).__qualname__}: give a function")
