"""What several tests need, apart from fixtures."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_loop(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """A coroutine function as a plain one, which runs it in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **options: P.kwargs) -> T:
        return asyncio.run(test(*args, **options))

    return run


def eventually(predicate: Callable[[], T], seconds: float = 10.0, every: float = 0.02) -> T:
    """Call `predicate` until it gives something true, and return that.

    predicate: an AssertionError that it raises counts as not yet.
    seconds: after that time its last result or AssertionError fails the test.
    every: seconds between two calls.
    """
    deadline = time.monotonic() + seconds
    while True:
        failure: AssertionError | None = None
        result: T | None = None
        try:
            result = predicate()
        except AssertionError as error:
            failure = error
        if result:
            return result
        if time.monotonic() >= deadline:
            raise failure or AssertionError(f"not within {seconds} s, last result: {result!r}")
        time.sleep(every)
