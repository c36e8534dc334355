"""What `RoutingCache.warm` and its asyncio twin warm, and how they tell of it. No I/O."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from routecache.errors import CacheError, KeyTypeError
from routecache.routing._core import Providers, tags_for
from routecache.routing.request_context import RequestContext, key_of
from routecache.tiered._core import TieredCore
from routecache.warming.counting import Tally
from routecache.warming.options import Terms, WarmResult
from routecache.warming.plan import Loader, Plan

_LOOK_AT_CLOCK: Final = 256
"""Requests between two looks whether there is time for more."""


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A request as it was asked once, of a log for instance; None for what it did not ask."""

    context: object = None
    provider: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class RoutingLoaders:
    """How a warm-up computes what Redis lacks; None for what it is not to compute.

    provider: gives a provider's status by its name.
    model, fallback: give the model and the chain for a context.
    tool: gives the canonical name of a tool.
    model_providers, fallback_providers: as `providers` of the getters: names, or a function of
        the value, by which health reports find the entry.

    With an `AsyncRoutingCache` they may be coroutine functions.
    """

    provider: Callable[[str], Any] | None = None
    model: Callable[[Any], Any] | None = None
    fallback: Callable[[Any], Any] | None = None
    tool: Callable[[str], Any] | None = None
    model_providers: Providers = ()
    fallback_providers: Providers = ()


@dataclass(frozen=True, slots=True)
class RoutingWarmResult:
    """How the warm-up of a router's caches went; one WarmResult for each, in `caches`."""

    caches: tuple[WarmResult, ...]

    def __getitem__(self, name: str) -> WarmResult:
        """The result of the cache called `name`; KeyError if there is none."""
        for each in self.caches:
            if each.cache == name:
                return each
        raise KeyError(name)

    @property
    def seconds(self) -> float:
        """Seconds that it took."""
        return max(each.seconds for each in self.caches)

    @property
    def warm(self) -> int:
        """Entries that are warm now, in all caches."""
        return sum(each.warm for each in self.caches)

    @property
    def complete(self) -> bool:
        """Whether every cache's warm-up is complete."""
        return all(each.complete for each in self.caches)

    @property
    def succeeded(self) -> bool:
        """Whether every cache's warm-up brought enough."""
        return all(each.succeeded for each in self.caches)


Requests: TypeAlias = Iterable[PastRequest] | AsyncIterable[PastRequest] | Callable[[], Any] | None
"""Requests, or a function that gives them."""
Items: TypeAlias = Mapping[str, Any] | Iterable[str]
"""Values by name, or names alone, whose values are loaded."""
Pairs: TypeAlias = Iterable[tuple[object, Any]]
"""Pairs of context and value."""


class _Asked:
    """What requests of the past asked for, counted once for all caches when the first wants it.

    They are read for half of the deadline at most; the other half is for warming.
    """

    def __init__(self, requests: Requests, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._read = False
        self.error: Exception | None = None
        self.providers: Tally[str] = Tally()
        self.contexts: Tally[RequestContext] = Tally()
        self.tools: Tally[str] = Tally()

    @property
    def asynchronous(self) -> bool:
        """Whether the requests have to be awaited."""
        given = self._requests
        return (
            isinstance(given, AsyncIterable)
            or inspect.isasyncgenfunction(given)
            or inspect.iscoroutinefunction(given)
        )

    def read(self) -> None:
        """Count, unless it has been done."""
        if self._read or self._requests is None:
            return
        self._read = True
        requests: Any = self._requests
        with self._keeping_error():
            self._count_all(requests() if callable(requests) else requests)

    async def read_awaited(self) -> None:
        """`read` for requests that have to be awaited."""
        if self._read:
            return
        self._read = True
        requests: Any = self._requests
        with self._keeping_error():
            given: Any = requests() if callable(requests) else requests
            if inspect.isawaitable(given):
                given = await given
            until, n = time.monotonic() + self._seconds, 0
            async for request in given if isinstance(given, AsyncIterable) else _each(given):
                self._count(request)
                n += 1
                if n % _LOOK_AT_CLOCK == 0:
                    await asyncio.sleep(0)  # a log in memory must not hold the event loop
                if time.monotonic() > until:
                    return

    @contextlib.contextmanager
    def _keeping_error(self) -> Iterator[None]:
        # What the requests raise is kept for each of the caches: all of them lack what was not
        # read. A mistake in the program, such as a context without a digest, ends the warm-up.
        try:
            yield
        except CacheError:
            raise
        except Exception as error:  # noqa: BLE001  # a source may raise anything
            self.error = error

    def _count_all(self, given: Any) -> None:
        until = time.monotonic() + self._seconds
        for n, request in enumerate(given, 1):
            self._count(request)
            if n % _LOOK_AT_CLOCK == 0 and time.monotonic() > until:
                return

    def _count(self, request: PastRequest) -> None:
        if request.provider:
            self.providers.add(request.provider)
        if request.tool:
            self.tools.add(request.tool)
        if request.context is not None:
            # Equal contexts are told apart from others by their digest, which is the cache's key.
            self.contexts.add(RequestContext(request.context))


class _Named:
    """Names or items, and then the names that were asked for most."""

    def __init__(self, items: Items | None, asked: _Asked, tally: Tally[str], most: int) -> None:
        self._items, self._asked, self._tally, self._most = items, asked, tally, most

    def known(self, _: str) -> bool:
        """Whether a loader can be asked for a key: the key is all that it needs."""
        return True

    def loader(self, load: Callable[[str], Any] | None) -> Loader | None:
        """The loader of a key."""
        return load

    def given(self) -> Iterator[Any]:
        """Keys and items, of which the requests have been read."""
        items = self._items or ()
        yield from items.items() if isinstance(items, Mapping) else items
        yield from self._tally.ranked(self._most)


class _Contexts:
    """Items by context, and then the contexts that were asked for most."""

    def __init__(self, pairs: Pairs, asked: _Asked, most: int) -> None:
        self._pairs, self._asked, self._most = pairs, asked, most
        self._contexts: dict[str, object] = {}

    def known(self, key: str) -> bool:
        """Whether a loader can be asked for a key: the context of one found in L2 is not known."""
        return key in self._contexts

    def loader(self, load: Callable[[Any], Any] | None) -> Loader | None:
        """The loader of a key, by its context."""
        return None if load is None else lambda key: load(self._contexts[key])

    def given(self) -> Iterator[Any]:
        """Keys and items, of which the requests have been read."""
        for context, value in self._pairs:
            yield key_of(context), value
        for request in self._asked.contexts.ranked(self._most):
            self._contexts[request.key] = request.content
            yield request.key


def plans(
    cores: Sequence[TieredCore], terms: Terms, requests: Requests, loaders: RoutingLoaders, *,
    providers: Items | None, models: Pairs, fallbacks: Pairs, tools: Items | None, hottest: bool,
) -> list[Plan]:  # fmt: skip
    """The plans of the provider, model, fallback and tool cache, whose cores these are."""
    for name, given in (("providers", providers), ("tools", tools)):
        if isinstance(given, str):
            raise KeyTypeError(f"{name}={given!r}: give an iterable of names, such as a tuple")
    asked = _Asked(requests, terms.deadline / 2)
    rooms = [core.local.maxsize for core in cores]
    sources: list[_Named | _Contexts] = [
        _Named(providers, asked, asked.providers, rooms[0]),
        _Contexts(models, asked, rooms[1]),
        _Contexts(fallbacks, asked, rooms[2]),
        _Named(tools, asked, asked.tools, rooms[3]),
    ]
    loads = (loaders.provider, loaders.model, loaders.fallback, loaders.tool)
    tags = ((), tags_for(loaders.model_providers), tags_for(loaders.fallback_providers), ())
    return [
        Plan(
            core, _source(source, asked), terms, loader=source.loader(load), tags=tag,
            hottest=hottest, known=source.known,
        )
        for core, source, load, tag in zip(cores, sources, loads, tags, strict=True)
    ]  # fmt: skip


async def _each(given: Iterable[Any]) -> AsyncIterator[Any]:
    for item in given:
        yield item


def _source(source: _Named | _Contexts, asked: _Asked) -> Callable[[], Any]:
    def wanted() -> Iterator[Any]:
        yield from source.given()
        if asked.error is not None:
            raise asked.error

    def given() -> Iterator[Any]:
        asked.read()
        return wanted()

    async def awaited() -> Iterator[Any]:
        await asked.read_awaited()
        return wanted()

    return awaited if asked.asynchronous else given
