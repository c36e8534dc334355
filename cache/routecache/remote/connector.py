"""Connecting to primaries in a short-lived thread, where DNS, TCP, TLS and AUTH may take time."""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from routecache.remote.heartbeat import Beats, Heart
from routecache.remote.subscription import Address, Link, Primary, open_link

_logger = logging.getLogger("routecache")

_FIRST_DELAY, _LAST_DELAY = 0.05, 2.0  # seconds, doubling


@dataclass(frozen=True, slots=True)
class Done:
    """An attempt has ended; `ok` if nothing failed."""

    ok: bool


News: TypeAlias = dict[Address, Primary] | Link | Done


class Connector:
    """Asks where the primaries are and opens links, one attempt at a time.

    `news` holds what it found, in order: the primaries, a link for each that had none, Done. `wake`
    is called after each. Whoever takes in Done makes `busy` False. No attempt is due before
    `not_before`, seconds of `timer`. All but the attempt itself is the listener's thread's.
    """

    def __init__(
        self,
        connect: Callable[[], Sequence[Primary]],
        beats: Callable[[], Beats],
        wake: Callable[[], None],
        timer: Callable[[], float],
    ) -> None:
        self.news: deque[News] = deque()
        self.busy = False
        self.not_before = 0.0
        self._timer = timer
        self._failures = 0
        self._connect = connect
        self._beats = beats
        self._wake = wake
        self._lock = threading.Lock()
        self._stopped = False

    def start(
        self,
        watched: tuple[bytes, ...],
        heart: Heart,
        skip: Collection[Address],
        *,
        may_track: bool,
    ) -> None:
        """Begin an attempt to listen to `watched`; the addresses in `skip` need no link."""

        def make(primary: Primary) -> Link:
            return open_link(primary, watched, heart, self._beats(), may_track=may_track)

        self.busy = True
        thread = threading.Thread(
            target=self._work, args=(make, skip), name="routecache-listener-connect", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or no more threads: try again later
            self._tell(Done(ok=False))

    def succeeded(self) -> None:
        """A link has proved itself: the next failure is the first."""
        self._failures = 0

    def back_off(self) -> None:
        """An attempt or a link has failed: the next attempt is due a while later."""
        delay = min(_FIRST_DELAY * 2**self._failures, _LAST_DELAY)
        self.not_before = self._timer() + delay * random.uniform(0.5, 1.0)
        self._failures = min(self._failures + 1, 10)

    def stop(self) -> None:
        """Close the links that nobody has taken, also those still to come."""
        with self._lock:
            self._stopped = True
        self.abandon()

    def abandon(self) -> None:
        """Close what came and was not taken; in a forked child, where no lock can be trusted."""
        while self.news:
            news = self.news.popleft()
            if isinstance(news, Link):
                news.close()

    def _work(self, make: Callable[[Primary], Link], skip: Collection[Address]) -> None:
        ok = True
        try:
            primaries = {primary.address: primary for primary in self._connect()}
            self._tell(primaries)
            for address, primary in primaries.items():
                if address not in skip and not self._stopped:
                    ok = self._opened(make, primary) and ok
        except Exception as error:  # noqa: BLE001  # where the primaries are cannot be told now
            _logger.debug("the primaries are not known: %s", type(error).__name__)
            ok = False
        self._tell(Done(ok))

    def _opened(self, make: Callable[[Primary], Link], primary: Primary) -> bool:
        try:
            self._tell(make(primary))
        except Exception as error:  # noqa: BLE001  # the other primaries come next
            _logger.debug("a listener cannot connect: %s", type(error).__name__)
            return False
        return True

    def _tell(self, news: News) -> None:
        with self._lock:
            if not self._stopped:
                self.news.append(news)
                self._wake()
                return
        if isinstance(news, Link):
            news.close()
