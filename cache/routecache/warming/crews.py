"""What the two drivers cannot write alike: working side by side, and stopping in time.

All of a sync warm-up runs in daemon threads and all of an asyncio one in tasks, so that whoever
asked for it can go on when the deadline is over, also if a loader or a source never returns.
"""

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

from routecache.errors import CacheClosedError, CacheError
from routecache.warming.plan import Plan

timer = time.monotonic


class Threads:
    """A warm-up's threads and its deadline, in seconds from now.

    over: whether there was no time for something.
    """

    timer = staticmethod(timer)

    def __init__(self, deadline: float) -> None:
        self.over = False
        self._ends = timer() + deadline
        self._stop = threading.Event()
        self._error: BaseException | None = None

    def left(self) -> float:
        """Seconds until the deadline."""
        return self._ends - timer()

    def pause(self, seconds: float) -> bool:
        """Wait; False, at once, if the time is over or would be."""
        if seconds >= self.left() or self._stop.wait(seconds):
            self.over = True
        return not self.over

    def read(self, plan: Plan) -> None:
        """Have `plan` read its source."""
        plan.read()

    def within(self, run: Callable[[], None]) -> None:
        """Do `run`, as far as it comes by the deadline. Raises what it raised."""
        thread = self._start(run)
        try:
            thread.join(max(0.0, self.left()))
        finally:
            self._stop.set()
        if self._error is not None and not isinstance(self._error, CacheClosedError):
            raise self._error

    def work(self, n: int, one: Callable[..., bool], todo: Iterator[tuple[Any, ...]]) -> None:
        """Do `one(*task)` for each task of `todo`, `n` at once, until one says False."""
        lock = threading.Lock()

        def loop() -> None:
            while True:
                with lock:
                    task = next(todo, None)
                if task is None or not one(*task):
                    return

        threads = [self._start(loop) for _ in range(n)]
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def await_all(self, futures: Sequence["Future[None]"], seconds: float) -> None:
        """Wait for the futures, at most so long."""
        if futures:
            wait(futures, max(0.0, min(seconds, self.left())))

    def _start(self, run: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                run()
            except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
                self._error = error
                self._stop.set()

        thread = threading.Thread(target=guarded, name="routecache-warm", daemon=True)
        thread.start()
        return thread


class Tasks:
    """A warm-up's tasks and its deadline, in seconds from now; see `Threads`."""

    timer = staticmethod(timer)

    def __init__(self, deadline: float) -> None:
        self.over = False
        self._ends = timer() + deadline

    def left(self) -> float:
        """Seconds until the deadline."""
        return self._ends - timer()

    async def pause(self, seconds: float) -> bool:
        """Wait; False, at once, if the time is over or would be."""
        if seconds >= self.left():
            self.over = True
        else:
            await asyncio.sleep(seconds)
        return not self.over

    async def read(self, plan: Plan) -> None:
        """Have `plan` read its source: an asynchronous one here, any other in a thread."""
        source = plan.source
        asynchronous = inspect.iscoroutinefunction(source) or inspect.isasyncgenfunction(source)
        if not asynchronous and not isinstance(source, AsyncIterable):
            await _in_daemon(plan.read)
            return
        try:
            given = source() if callable(source) else source
            if inspect.isawaitable(given):
                given = await given
            if not isinstance(given, AsyncIterable):
                plan.take(given)
                return
            async for item in given:
                if not plan.take_one(item):
                    return
        except CacheError:
            raise
        except Exception as error:  # noqa: BLE001  # a source may raise anything
            plan.broke(error)

    async def within(self, run: Callable[[], Awaitable[None]]) -> None:
        """Do `run`, as far as it comes by the deadline. Raises what it raised."""
        task = asyncio.ensure_future(run())
        _running.add(task)
        task.add_done_callback(_running.discard)
        try:
            await asyncio.wait((task,), timeout=max(0.0, self.left()))
        finally:
            in_time = task.done()
            task.cancel()
        if not in_time:
            task.add_done_callback(_heard)
            return
        with contextlib.suppress(CacheClosedError):
            task.result()

    async def work(
        self, n: int, one: Callable[..., Awaitable[bool]], todo: Iterator[tuple[Any, ...]]
    ) -> None:
        """Do `one(*task)` for each task of `todo`, `n` at once, until one says False."""

        async def loop() -> None:
            for task in todo:
                if not await one(*task):
                    return

        loops = [asyncio.ensure_future(loop()) for _ in range(n)]
        try:
            await asyncio.gather(*loops)
        finally:
            for each in loops:
                each.cancel()

    async def await_all(self, futures: Sequence["Future[None]"], seconds: float) -> None:
        """Wait for the futures, at most so long."""
        if futures:
            waiting = [asyncio.wrap_future(future) for future in futures]
            await asyncio.wait(waiting, timeout=max(0.0, min(seconds, self.left())))


# A task that is not waited for any more is kept from being collected half-way.
_running: set["asyncio.Future[None]"] = set()


def _heard(task: "asyncio.Future[None]") -> None:
    if not task.cancelled():
        task.exception()  # nobody is there who could be told


async def _in_daemon(call: Callable[[], None]) -> None:
    """`call` in a thread for which no shutdown waits: it may hang."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # from here on nobody can cancel it under the thread

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name="routecache-warm", daemon=True).start()
    await asyncio.wrap_future(future)
