"""Work that nobody waits for: recovery and leases, in one thread that lives while there is any."""

import logging
import sys
import threading
from collections.abc import Callable

from routecache import forking

_logger = logging.getLogger("routecache")

_INTERVAL = 0.25  # seconds


class Background:
    """Calls each job every quarter of a second until it returns True.

    The daemon thread starts with the first job and ends with the last. Safe for threads; a forked
    child starts without jobs and is given its own by those who need them.
    """

    def __init__(self) -> None:
        self.reset_after_fork()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Start without jobs and without a thread."""
        self._lock = threading.Lock()
        self._jobs: dict[Callable[[], bool], Callable[[], bool]] = {}
        self._stopped = threading.Event()
        self._running = False

    def add(self, job: Callable[[], bool]) -> None:
        """Have `job` called until it returns True; adding it twice calls it once."""
        if self._stopped.is_set():
            return
        with self._lock:
            self._jobs[job] = job
            start, self._running = not self._running, True
        if start and not sys.is_finalizing():
            try:
                threading.Thread(
                    target=self._work, name="routecache-background", daemon=True
                ).start()
            except RuntimeError:  # the interpreter is ending, or no more threads: try again later
                with self._lock:
                    self._running = False
                    self._jobs.pop(job, None)

    def stop(self) -> None:
        """Call no job again."""
        self._stopped.set()

    def _work(self) -> None:
        while not self._stopped.wait(_INTERVAL):
            with self._lock:
                jobs, self._jobs = self._jobs, {}
            for job in jobs:
                if not self._done(job):
                    with self._lock:
                        self._jobs[job] = job
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
        with self._lock:
            self._running = False

    def _done(self, job: Callable[[], bool]) -> bool:
        try:
            return job()
        except Exception as error:  # noqa: BLE001  # one bad job must not end the others
            _logger.warning("a background job raised %s", type(error).__name__)
            return True
