"""A bounded pool of redis-py connections whose callers wait at most until their own deadline.

redis-py's pools connect in the caller's thread, where a DNS look-up cannot be interrupted, and
raise MaxConnectionsError when they are exhausted. Here connecting (DNS, TCP, TLS, AUTH, SELECT)
happens in short-lived daemon threads, a few at a time; a caller takes an idle connection or waits,
for a connection given back or for a new one, until its deadline. A failed attempt wakes the
waiters at once, so that a refused port costs microseconds and only a silent one costs the time-out.

Who waits in vain waits for this process or for the server. It is the server's fault only if an
attempt to connect has run for a while and nothing has come back from the server since it began;
among many threads for a longer while, because in a burst the attempts are as late as the rest.

Connections are used directly instead of through `redis.Redis`: one GET of 200 B takes 38 µs
against 76 µs (bench/bench_l2.py).
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from routecache import forking
from routecache.errors import RemoteError
from routecache.remote.translate import translate
from routecache.stats import EndpointStats

_MAX_CONNECTING = 4
# An idle connection older than this is asked whether the server has closed it meanwhile.
_TRUSTED_IDLE = 1.0
# Seconds after which an attempt to connect is the server's fault, unless whoever waits for it was
# woken late himself.
_HANGING = 0.02
_HANGING_IN_A_CROWD = 0.25
_LATE = 0.005


def blame(late: float, trying: float, *, crowded: bool) -> RemoteError:
    """Whose fault it is that there is no connection yet: "timeout" is the server's.

    late: seconds by which whoever waited for it was woken late.
    trying: seconds since when one has been in the making, without a sign of life.
    crowded: whether so many wait that none of them can tell.
    """
    hanging = trying >= (_HANGING_IN_A_CROWD if crowded else _HANGING)
    return RemoteError("timeout" if hanging and late <= _LATE else "pool")


class Connection(Protocol):
    """What the pool needs of a redis-py connection with DeadlineConnection mixed in."""

    idle_since: float
    generation: int

    def set_deadline(self, deadline: float, began: float) -> None:
        """Bound all I/O until the next one by `deadline`, for a call that began at `began`."""
        ...

    def connect(self) -> None:
        """Connect and shake hands."""
        ...

    def disconnect(self) -> None:
        """Close the socket."""
        ...

    def can_read(self, timeout: float = 0) -> bool:
        """Whether there is something to read; raises if the server has closed."""
        ...

    def pack_commands(self, commands: object) -> list[bytes]:
        """Several commands in RESP."""
        ...

    def send_command(self, *args: object) -> None:
        """Send one command."""
        ...

    def send_packed_command(self, command: object) -> None:
        """Send what `pack_commands` gave."""
        ...

    def read_response(self) -> Any:
        """Read one reply; raises what the server answered as an error."""
        ...


class Pool:
    """Up to `max_connections` connections of one endpoint, made by `make`.

    `connect_timeout` seconds bound the whole of one attempt to connect, but for the DNS look-up,
    which only a background thread waits for. Safe for threads; a forked child starts empty and
    leaves its parent's sockets alone.
    """

    def __init__(
        self,
        make: Callable[[], Connection],
        max_connections: int,
        connect_timeout: float,
        stats: EndpointStats,
    ) -> None:
        self.max_connections = max_connections
        self._make = make
        self._connect_timeout = connect_timeout
        self._stats = stats
        self._start()
        forking.reset_in_child(self)

    def _start(self) -> None:
        self._cond = threading.Condition()
        self._idle: list[Connection] = []
        self._made = 0
        self._connecting = 0
        self._attempts: list[float] = []
        self._alive_at = float("-inf")
        self._waiting = 0
        self._crowd = 0  # the most that have been waiting since nobody was
        self._generation = 0
        self._failures = 0
        self._last_failure = RemoteError("connection")
        self._closed = False

    def reset_after_fork(self) -> None:
        """Start empty in a forked child."""
        # redis-py's connections close without a shutdown in any process but their own.
        self._start()

    def acquire(self, deadline: float, began: float) -> Connection:
        """A connection for the caller alone, given back by `release` or `discard`.

        `began` is when the whole call did, in monotonic seconds as `deadline` is. Raises
        RemoteError: "timeout" if none could be made by then because the server is silent, "pool"
        if none was free for any other reason, or the kind of failure to connect.
        """
        if sys.is_finalizing():  # a daemon thread may have ended with the lock in its hands
            raise RemoteError("pool")
        while True:
            with self._cond:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._wait(deadline)
            if began - connection.idle_since < _TRUSTED_IDLE or _usable(connection):
                connection.set_deadline(deadline, began)
                return connection
            self.discard(connection)

    def _wait(self, deadline: float) -> Connection:
        started = time.monotonic()
        with self._cond:
            failures = self._failures
            self._waiting += 1
            self._crowd = max(self._crowd, self._waiting)
        try:
            while True:
                with self._cond:
                    if self._closed:
                        raise RemoteError("connection")
                    if self._idle:
                        return self._idle.pop()
                    if self._failures != failures:
                        raise RemoteError(self._last_failure.kind)
                    wanted = self._wanted()
                    if not wanted:
                        now = time.monotonic()
                        if now >= deadline:
                            crowded = self._crowd > _MAX_CONNECTING
                            raise blame(now - deadline, self._trying(now), crowded=crowded)
                        self._cond.wait(deadline - now)
                        continue
                self._connect_more(wanted)  # starting a thread waits, so nothing may be held
        finally:
            with self._cond:
                self._waiting -= 1
                self._crowd = self._crowd if self._waiting else 0
            self._stats.waited(time.monotonic() - started)

    def _wanted(self) -> int:
        wanted = min(
            min(self._waiting, _MAX_CONNECTING) - self._connecting,
            self.max_connections - self._made,
        )
        if wanted > 0:
            self._connecting += wanted
            self._made += wanted
        return max(wanted, 0)

    def _trying(self, now: float) -> float:
        began = min(self._attempts, default=now)
        return now - began if self._alive_at < began else 0.0

    def _connect_more(self, wanted: int) -> None:
        for started in range(wanted):
            thread = threading.Thread(target=self._connect, name="routecache-connect", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is ending
                with self._cond:
                    self._connecting -= wanted - started
                    self._made -= wanted - started
                raise RemoteError("pool") from None

    def _connect(self) -> None:
        connection: Connection | None = None
        failure: RemoteError | None = None
        began = time.monotonic()
        with self._cond:
            self._attempts.append(began)
        try:
            connection = self._make()
            connection.set_deadline(began + self._connect_timeout, began)
            connection.connect()
        except Exception as error:  # noqa: BLE001  # whatever it is, the waiters must learn of it
            failure = translate(error)
        with self._cond:
            self._attempts.remove(began)
            self._connecting -= 1
            if connection is not None and failure is None and not self._closed:
                connection.idle_since = self._alive_at = time.monotonic()
                connection.generation = self._generation
                self._idle.append(connection)
                connection = None
            else:
                self._made -= 1
                self._failures += 1
                self._last_failure = failure or RemoteError("connection")
            self._cond.notify_all()
        if connection is not None:
            connection.disconnect()

    def release(self, connection: Connection) -> None:
        """Give back a connection whose replies have all been read."""
        connection.idle_since = self._alive_at = time.monotonic()
        with self._cond:
            if not self._closed and connection.generation == self._generation:
                self._idle.append(connection)
                if self._waiting:
                    self._cond.notify()
                return
        self.discard(connection)

    def discard(self, connection: Connection) -> None:
        """Give back a connection in an unknown state; it is closed and never used again."""
        connection.disconnect()
        with self._cond:
            self._made -= 1
            if self._waiting:
                self._cond.notify()

    def drop_all(self) -> None:
        """Close all connections, those in use when they are given back.

        Where they lead is no longer where the server is, or one of their kind is dead.
        """
        with self._cond:
            self._generation += 1
            idle, self._idle = self._idle, []
            self._made -= len(idle)
            self._cond.notify_all()  # who waits for one of them may make a new one
        for connection in idle:
            connection.disconnect()

    def connect_ahead(self) -> bool:
        """Begin to connect if no connection is idle; whether there is one. Waits for nothing."""
        with self._cond:
            if self._idle:
                return True
            self._waiting += 1
            wanted = self._wanted() if not self._connecting and not self._closed else 0
            self._waiting -= 1
        with contextlib.suppress(RemoteError):
            self._connect_more(wanted)
        return False

    def counts(self) -> tuple[int, int]:
        """How many connections are in use and how many are idle."""
        with self._cond:
            return self._made - self._connecting - len(self._idle), len(self._idle)

    def close(self) -> None:
        """Close idle connections now and those in use when they are given back."""
        with self._cond:
            self._closed = True
        self.drop_all()


def _usable(connection: Connection) -> bool:
    try:
        return not connection.can_read(0)  # readable while nothing was asked: end of file or worse
    except Exception:  # noqa: BLE001  # any trouble while asking is the answer
        return False
