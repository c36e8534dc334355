"""`AsyncHealthMonitor`: asks providers in the background whether they are well, for asyncio."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self, TypeAlias

from routecache import forking
from routecache.errors import CacheClosedError
from routecache.keys import check_text
from routecache.routing.async_cache import AsyncRoutingCache
from routecache.routing.probing import TIMED_OUT, MonitorPolicy, Rounds, Run, verdict
from routecache.typing import Timer

AsyncProbe: TypeAlias = Callable[[], Awaitable[bool]]
"""Gives True if the provider is well. Anything else, and whatever it raises, is unhealthy."""

_log = logging.getLogger("routecache")


class AsyncHealthMonitor:
    """`HealthMonitor` for asyncio: probes are coroutine functions.

        async with AsyncHealthMonitor(cache, {"openai": ping_openai}):
            await serve()

    A probe that takes too long is cancelled. The arguments are those of `HealthMonitor`.

    Safe for tasks of one event loop. A forked child has no monitor until `start` is called there.
    """

    def __init__(
        self,
        cache: AsyncRoutingCache,
        probes: Mapping[str, AsyncProbe],
        *,
        policy: MonitorPolicy | None = None,
        source: str = "monitor",
        timer: Timer = time.monotonic,
    ) -> None:
        self._cache = cache
        self._probes = {check_text(name, "a provider"): probe for name, probe in probes.items()}
        self._source = check_text(source, "a source")
        self._policy = MonitorPolicy() if policy is None else policy
        self._rounds = Rounds(self._probes, self._policy, timer)
        self._task: asyncio.Task[None] | None = None
        self._running: dict[Run, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._closed = False
        forking.reset_in_child(self)

    def start(self) -> None:
        """Begin to probe in the running event loop. Harmless when repeated.

        Raises CacheClosedError after `close`, and RuntimeError outside of any event loop.
        """
        if self._closed:
            raise CacheClosedError("this monitor is closed: make a new one")
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._rounds.forget()
            self._wake = asyncio.Event()
            self._task = loop.create_task(self._run(), name="routecache-monitor")

    async def stop(self) -> None:
        """Cancel the probes under way and start no more; nothing is reported after it returned.

        Waits for probes that do not heed that, `policy.timeout` seconds at most.
        """
        task, self._task = self._task, None
        self._rounds.forget()
        tasks = [each for each in (task, *self._running.values()) if each is not None]
        for each in tasks:
            each.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._policy.timeout)

    async def close(self) -> None:
        """`stop`, for good."""
        self._closed = True
        await self.stop()

    async def tick(self) -> float:
        """Do what is due now; seconds until the next time. For tests, which move the timer."""
        for run in self._rounds.late():
            if (task := self._running.get(run)) is not None:
                task.cancel()
            await self._report(run, False, TIMED_OUT)
        for run in self._rounds.begin():
            task = asyncio.create_task(self._probe(run), name="routecache-probe")
            self._running[run] = task
        return self._rounds.wait()

    def reset_after_fork(self) -> None:
        """Be stopped: the parent's event loop does not run here."""
        self._task = None
        self._running = {}
        self._rounds.forget()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            seconds = await self.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _probe(self, run: Run) -> None:
        answer: object
        try:
            try:
                answer = await self._probes[run.provider]()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                answer = error  # of the probe's own making
            except Exception as error:  # noqa: BLE001  # a probe may raise anything
                answer = error
            if self._rounds.end(run):
                await self._report(run, *verdict(answer))
        finally:
            self._rounds.end(run)  # if it was cancelled
            self._running.pop(run, None)
            self._wake.set()

    async def _report(self, run: Run, healthy: bool, reason: str) -> None:
        try:
            await self._cache.report_provider_health(
                run.provider, healthy, source=self._source, reason=reason
            )
        except Exception as error:  # noqa: BLE001  # such as a cache that was closed meanwhile
            _log.warning("a probe's finding was not entered: %s", type(error).__name__)
