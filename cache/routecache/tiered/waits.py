"""What the two drivers cannot write alike: waiting, calling a loader, working in the background.

The drivers are the same but for `async` and `await`; a test compares them. Whatever differs more
stands here, twice.
"""

import asyncio
import contextlib
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from routecache import forking

T = TypeVar("T")

MAX_BACKGROUND = 8
"""Loads in the background of one manager at once; beyond it an old value is served on."""


class SyncWaits:
    """Waits for threads, with a bounded pool for loads in the background. Safe for threads."""

    def __init__(self) -> None:
        self._reset()
        forking.reset_in_child(self)

    def _reset(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._slots = threading.BoundedSemaphore(MAX_BACKGROUND)
        self._lock = threading.Lock()
        self._closed = False

    def reset_after_fork(self) -> None:
        """Forget the parent's background loads."""
        self._reset()

    blocks = True

    def result(self, future: "Future[T]", timeout: float | None) -> T:
        """What `future` gives; TimeoutError after `timeout` seconds."""
        return future.result(timeout)

    def call(self, loader: Callable[[], Any]) -> Any:
        """What `loader` gives."""
        return loader()

    def spawn(self, lost: Callable[[], None], work: Callable[..., None], *args: Any) -> bool:
        """Run `work(*args)` in the background; False if there is too much of it already.

        `lost` is called if it never ran or was cancelled.
        """
        if not self._slots.acquire(blocking=False):
            return False
        try:
            with self._lock:
                if self._closed:
                    raise RuntimeError
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(MAX_BACKGROUND, "routecache-refresh")
                future = self._pool.submit(work, *args)
        except RuntimeError:  # closed, or the interpreter is ending
            self._slots.release()
            return False
        slots = self._slots

        def ended(future: "Future[None]") -> None:
            slots.release()
            if future.cancelled():
                lost()

        future.add_done_callback(ended)
        return True

    def close(self) -> None:
        """Start no more work in the background; what runs ends by itself."""
        with self._lock:
            self._closed = True
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)


class AsyncWaits:
    """Waits for tasks of any event loop, and bounded tasks in the background."""

    blocks = False

    def __init__(self) -> None:
        self._reset()
        self._closed = False
        forking.reset_in_child(self)

    def _reset(self) -> None:
        self._running: dict[asyncio.Task[None], Callable[[], None]] = {}
        self._lock = forking.RenewedLock()
        # A future cannot be told that one of those who wait has gone. So each calls back once, and
        # who waits for it stands here meanwhile, in the order in which they came.
        self._waiting: weakref.WeakKeyDictionary[Future[Any], dict[asyncio.Future[None], None]]
        self._waiting = weakref.WeakKeyDictionary()

    def reset_after_fork(self) -> None:
        """Forget the parent's background loads, and who waited in its other threads."""
        self._reset()

    async def result(self, future: "Future[T]", timeout: float | None) -> T:  # noqa: ASYNC109  # the twin of a sync wait
        """What `future` gives; TimeoutError after `timeout` seconds.

        Cancelling the caller leaves the future to the others who wait for it.
        """
        if self._running:
            self._reap()
        if not future.done():
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = self._await(future, done)
            try:
                if timeout is None:
                    await done
                else:
                    async with asyncio.timeout(timeout):
                        await done
            finally:
                waiting.pop(done, None)  # atomic
        return future.result()

    def _await(
        self, future: "Future[Any]", done: "asyncio.Future[None]"
    ) -> "dict[asyncio.Future[None], None]":
        with self._lock:
            waiting = self._waiting.get(future)
            first = waiting is None
            if waiting is None:
                waiting = self._waiting[future] = {}
            waiting[done] = None
        if first:
            future.add_done_callback(self._wake)  # at once, if it has ended meanwhile
        return waiting

    def _wake(self, future: "Future[Any]") -> None:
        with self._lock:
            waiting = list(self._waiting.pop(future, ()))
        here = _running()
        for done in waiting:  # in the order in which they came: the first one leads
            loop = done.get_loop()
            if loop is here:  # thousands may wait: spare each the loop's self-pipe
                _finish(done)
            else:
                with contextlib.suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(_finish, done)

    async def call(self, loader: Callable[[], Any]) -> Any:
        """What `loader` gives, awaited if it is awaitable."""
        value = loader()
        return await value if inspect.isawaitable(value) else value

    async def spawn(
        self, lost: Callable[[], None], work: Callable[..., Awaitable[None]], *args: Any
    ) -> bool:
        """Run `work(*args)` in a task; False if there is too much of it already.

        `lost` is called if it never ran or was cancelled.
        """
        self._reap()
        if self._closed or len(self._running) >= MAX_BACKGROUND:
            return False
        task: asyncio.Task[None] = asyncio.ensure_future(work(*args))
        self._running[task] = lost

        def ended(task: "asyncio.Task[None]") -> None:
            self._running.pop(task, None)
            if task.cancelled():
                lost()

        task.add_done_callback(ended)
        return True

    async def close(self) -> None:
        """Cancel the background tasks of this loop and wait for their end."""
        self._closed = True
        loop = asyncio.get_running_loop()
        mine = [task for task in self._running.copy() if task.get_loop() is loop]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    def _reap(self) -> None:
        # A loop that was closed without its tasks having been cancelled never ends them, and
        # whoever waits for such a load would wait for ever.
        for task in self._running.copy():
            if task.get_loop().is_closed():
                lost = self._running.pop(task, None)
                if lost is not None:
                    _give_up(task)
                    lost()


def _give_up(task: "asyncio.Task[None]") -> None:
    # asyncio has no public way to say that a task is given up on purpose.
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    coroutine = task.get_coro()
    if coroutine is not None:
        with contextlib.suppress(Exception):  # a loader's own `finally` may await or raise
            coroutine.close()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
