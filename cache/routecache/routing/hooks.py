"""The hooks that hear of invalidations. One that raises is counted, and breaks nothing else."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from routecache import forking
from routecache.errors import ConfigurationError
from routecache.routing.health import AsyncInvalidationHook, Invalidation, InvalidationHook

_log = logging.getLogger("routecache")


MAX_SENT: Final = 1000
"""Calls of one coroutine hook that other threads and loops have sent it and that have not ended."""


@dataclass(slots=True, eq=False)
class _Hook:
    """`loop` is where a coroutine hook runs; None calls a plain one wherever it is told.

    sent: calls that are under way there and that nobody awaits.
    full: the last one found no room.
    """

    call: AsyncInvalidationHook
    loop: asyncio.AbstractEventLoop | None = None
    sent: int = 0
    full: bool = False


class Hooks:
    """Tells hooks of invalidations, in the order in which they were added, never under a lock.

    timeout: seconds that a coroutine hook may take.

    Safe for threads and tasks.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._lock = forking.RenewedLock()
        self._hooks: tuple[_Hook, ...] = ()
        self._failures = 0
        forking.reset_in_child(self)

    @property
    def failures(self) -> int:
        """How often a hook raised, took too long or had no room, since the process began."""
        return self._failures

    def add(self, hook: InvalidationHook) -> Callable[[], None]:
        """Have `hook(invalidation)` called; what is returned takes it off again.

        Raises ConfigurationError for a coroutine function, which nobody would await.
        """
        if _is_coroutine_function(hook):
            raise ConfigurationError(
                "a coroutine hook needs an event loop: add it to an AsyncRoutingCache"
            )
        return self._add(_Hook(hook))

    def add_awaited(self, hook: AsyncInvalidationHook) -> Callable[[], None]:
        """`add`, also for a coroutine function, which then runs in the loop that runs now."""
        if not _is_coroutine_function(hook):
            return self._add(_Hook(hook))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "add a coroutine hook from within the event loop in which it is to run"
            ) from None
        return self._add(_Hook(hook, loop))

    def tell(self, invalidation: Invalidation) -> None:
        """Call every hook; coroutine hooks are started in their loops and not waited for."""
        for hook in self._hooks:
            if hook.loop is None:
                self._call(hook, invalidation)
            else:
                self._send(hook, hook.loop, invalidation)

    async def tell_awaited(self, invalidation: Invalidation) -> None:
        """Call every hook, and await the coroutine hooks of this event loop."""
        here = asyncio.get_running_loop()
        for hook in self._hooks:
            if hook.loop is here:
                await self._run(hook, invalidation)
            elif hook.loop is not None:
                self._send(hook, hook.loop, invalidation)
            else:
                self._call(hook, invalidation)

    def reset_after_fork(self) -> None:
        """Count from zero; event loops do not run in a forked child, so neither do their hooks."""
        self._failures = 0
        self._hooks = tuple(hook for hook in self._hooks if hook.loop is None)

    def _add(self, hook: _Hook) -> Callable[[], None]:
        with self._lock:
            self._hooks = (*self._hooks, hook)

        def remove() -> None:
            with self._lock:
                self._hooks = tuple(each for each in self._hooks if each is not hook)

        return remove

    def _call(self, hook: _Hook, invalidation: Invalidation) -> None:
        try:
            returned = hook.call(invalidation)
        except Exception as error:  # noqa: BLE001  # a hook may raise anything
            self._failed(type(error).__name__)
        else:
            if inspect.iscoroutine(returned):
                # A plain function that makes one: nobody here can know in which loop to run it.
                returned.close()
                self._failed(TypeError.__name__)

    async def _run(self, hook: _Hook, invalidation: Invalidation) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await cast("Awaitable[Any]", hook.call(invalidation))
        except Exception as error:  # noqa: BLE001  # a hook may raise anything
            self._failed(type(error).__name__)

    def _send(
        self, hook: _Hook, loop: asyncio.AbstractEventLoop, invalidation: Invalidation
    ) -> None:
        with self._lock:
            full = hook.sent >= MAX_SENT
            again, hook.full = full and hook.full, full
            hook.sent += not full
        if full:
            self._failed("too many calls under way", silent=again)
            return
        running = self._run(hook, invalidation)
        try:
            sent = asyncio.run_coroutine_threadsafe(running, loop)
        except RuntimeError as error:  # the loop is closed
            running.close()
            self._ended(hook)
            self._failed(type(error).__name__)
        else:
            sent.add_done_callback(lambda _: self._ended(hook))

    def _ended(self, hook: _Hook) -> None:
        with self._lock:
            hook.sent -= 1

    def _failed(self, why: str, *, silent: bool = False) -> None:
        """`why` is no exception's text, which may hold keys or secrets, but its type."""
        with self._lock:
            self._failures += 1
        if not silent:
            _log.warning("an invalidation hook failed: %s", why)


def _is_coroutine_function(hook: Any) -> bool:
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(
        getattr(hook, "__call__", None)  # noqa: B004  # the method itself, not whether there is one
    )
