"""A decorated function for tests, and what it may raise."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

from routecache import AsyncCacheManager, BaseCacheManager, cached
from routecache.testing import ManualTimer

NAME = "tests.price"


class NotFoundError(Exception):
    """An answer rather than a failure."""


class GoneError(NotFoundError):
    """A kind of it."""


class NumberedError(NotFoundError):
    """One that wants an argument."""

    def __init__(self, number: int) -> None:
        super().__init__(number)


class Calls:
    """A manager, and functions decorated with it; a coroutine function is called like a plain one.

    `arguments` are those of the calls that reached a function.
    """

    def __init__(self, awaited: bool) -> None:
        self.awaited = awaited
        self.timer = ManualTimer()
        make = AsyncCacheManager if awaited else BaseCacheManager
        self.manager: Any = make(enable_redis=False, cache_prefix="calls", timer=self.timer)
        self.arguments: list[Any] = []

    def decorate(self, body: Callable[..., Any], **options: Any) -> Any:
        options = {"name": NAME, **options}
        if not self.awaited:
            return cached(self.manager, **options)(body)

        @functools.wraps(body)
        async def later(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return body(*args, **kwargs)

        return Awaited(cached(self.manager, **options)(later))

    @property
    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manager.get_stats()
        return found

    def ask(self, name: str, *args: Any) -> Any:
        """A method of the manager."""
        found = getattr(self.manager, name)(*args)
        return asyncio.run(found) if inspect.iscoroutine(found) else found


class Awaited:
    """A decorated coroutine function, and its helpers, called from outside of an event loop."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return asyncio.run(self.function(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.function, name)
        return Awaited(found) if inspect.iscoroutinefunction(found) else found
