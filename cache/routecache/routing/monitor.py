"""`HealthMonitor`: asks providers in the background whether they are well."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TypeAlias

from routecache import forking
from routecache.errors import CacheClosedError
from routecache.keys import check_text
from routecache.routing.cache import RoutingCache
from routecache.routing.probing import TIMED_OUT, MonitorPolicy, Rounds, Run, verdict
from routecache.typing import Timer

Probe: TypeAlias = Callable[[], bool]
"""True if the provider is well. Anything else, and whatever it raises, is unhealthy."""

_log = logging.getLogger("routecache")


class HealthMonitor:
    """Probes providers at an interval and reports what it finds to a `RoutingCache`.

        with HealthMonitor(cache, {"openai": ping_openai, "azure": ping_azure}):
            serve()

    A probe that raises, gives anything but True, or takes longer than its time-out reports its
    provider unhealthy. A thread cannot be ended from outside: a probe that hangs keeps its thread,
    which never keeps the process from ending, and its provider stays unhealthy. Give probes
    time-outs of their own, shorter than the policy's.

    Args:
        cache: what is reported to; closing it is the caller's.
        probes: by provider.
        policy: how often, and how long a probe may take.
        source: who reports, as `report_provider_health` takes it. The cache's `HealthPolicy` has to
            let it count for longer than the interval.
        timer: a monotonic clock in seconds.

    Safe for threads. A forked child has no monitor until `start` is called there.
    """

    def __init__(
        self,
        cache: RoutingCache,
        probes: Mapping[str, Probe],
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
        self._lock = forking.RenewedLock()
        self._thread: threading.Thread | None = None
        self._running: set[threading.Thread] = set()
        self._wake = threading.Event()
        self._stopping = self._closed = False
        forking.reset_in_child(self)

    def start(self) -> None:
        """Begin to probe, all providers at once. Harmless when repeated.

        Raises CacheClosedError after `close`, and RuntimeError if no thread can be started.
        """
        with self._lock:
            if self._closed:
                raise CacheClosedError("this monitor is closed: make a new one")
            if self._thread is None:
                self._stopping = False
                self._rounds.forget()
                self._wake = threading.Event()
                thread = threading.Thread(target=self._run, name="routecache-monitor", daemon=True)
                thread.start()  # which fails where no more threads are allowed
                self._thread = thread

    def stop(self) -> None:
        """Probe no more; nothing is reported after it returned. Harmless when repeated.

        Waits for probes under way, `policy.timeout` seconds at most.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._rounds.forget()
            running = list(self._running)
        self._wake.set()
        until = time.monotonic() + self._policy.timeout
        for each in (thread, *running):
            began = each is not None and each.ident is not None  # a machine may refuse threads
            if each is not None and began and each is not threading.current_thread():
                each.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """`stop`, for good."""
        self._closed = True
        self.stop()

    def tick(self) -> float:
        """Do what is due now; seconds until the next time. For tests, which move the timer."""
        with self._lock:
            if self._stopping:  # since the monitor's thread looked
                return 0.0
            late, runs = self._rounds.late(), self._rounds.begin()
            threads = [
                threading.Thread(
                    target=self._probe, args=(run,), name="routecache-probe", daemon=True
                )
                for run in runs
            ]
            self._running.update(threads)
        for thread, run in zip(threads, runs, strict=True):
            self._begin(thread, run)
        for run in late:
            self._report(run, False, TIMED_OUT)
        with self._lock:
            return self._rounds.wait()

    def reset_after_fork(self) -> None:
        """Be stopped: none of the parent's threads runs here."""
        self._thread = None
        self._running = set()
        self._wake = threading.Event()
        self._rounds.forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        wake = self._wake
        while not self._stopping and wake is self._wake:
            wake.clear()
            wake.wait(self.tick())

    def _begin(self, thread: threading.Thread, run: Run) -> None:
        try:
            thread.start()
        except Exception as error:  # noqa: BLE001  # no more threads: tried again when it is due
            with self._lock:
                self._rounds.end(run)
                self._running.discard(thread)
            _log.warning("a probe could not be started: %s", type(error).__name__)

    def _probe(self, run: Run) -> None:
        answer: object
        try:
            answer = self._probes[run.provider]()
        except BaseException as error:  # noqa: BLE001  # a probe may raise anything, SystemExit too
            answer = error
        with self._lock:
            counts = self._rounds.end(run)
        try:
            if counts:
                self._report(run, *verdict(answer))
        finally:
            with self._lock:
                self._running.discard(threading.current_thread())
            self._wake.set()

    def _report(self, run: Run, healthy: bool, reason: str) -> None:
        try:
            self._cache.report_provider_health(
                run.provider, healthy, source=self._source, reason=reason
            )
        except Exception as error:  # noqa: BLE001  # such as a cache that was closed meanwhile
            _log.warning("a probe's finding was not entered: %s", type(error).__name__)
