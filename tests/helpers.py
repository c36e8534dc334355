"""What several tests need, apart from fixtures."""

import asyncio
import functools
import time
import types
from collections.abc import Callable, Coroutine, Generator
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


async def cut_short(call: Coroutine[Any, Any, Any], at: int) -> bool:
    """Run `call` in a task that is cancelled where it waits for the `at`th time, from 1 on.

    Whether it got there: False is that it ended before, so that it was not cancelled.
    """
    waits = 0

    @types.coroutine
    def counted() -> Generator[Any, Any, Any]:
        nonlocal waits
        thrown: BaseException | None = None
        while True:
            try:
                waits_for = call.send(None) if thrown is None else call.throw(thrown)
            except StopIteration as end:
                return end.value
            waits += 1
            if waits == at:
                task.cancel()  # it takes effect where the task now waits
            try:
                yield waits_for
                thrown = None
            except BaseException as error:  # it is raised in `call`
                thrown = error

    async def run() -> Any:
        return await counted()

    task = asyncio.ensure_future(run())
    await asyncio.gather(task, return_exceptions=True)
    return waits >= at
