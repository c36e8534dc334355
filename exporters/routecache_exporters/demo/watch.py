"""Whether the demo's Redis answers, asked from beside the caches, and if not, why, in words."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

UP: Final = "up"
EVERY: Final = 1.0
"""Seconds between two looks."""

TIMEOUT: Final = 1.0
"""Seconds that Redis has to accept a connection, and to answer."""


class RedisWatch:
    """Asks Redis for a sign of life every second in a thread of its own. Safe for threads.

    The caches' own circuit does not tell: it is closed until enough of their calls have failed.

    Args:
        ping: raises what redis-py raises unless Redis answers.
        every: seconds between two looks.

    Attributes:
        state: what there is to say after "Redis": `up`, or what is wrong.
    """

    def __init__(self, ping: Callable[[], object], every: float = EVERY) -> None:
        self.state = "has not answered yet"
        self._ping = ping
        self._every = every
        self._lock = threading.Lock()
        self._looked = threading.Event()
        self._stop = threading.Event()
        # A daemon, because nothing can interrupt a DNS look-up.
        self._thread = threading.Thread(target=self._run, name="routecache-demo-watch", daemon=True)

    def __enter__(self) -> Self:
        """Begin; returns after the first look, or when that takes too long."""
        self._thread.start()
        self._looked.wait(2 * TIMEOUT)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(2 * TIMEOUT)

    def look(self) -> None:
        """Look now."""
        with self._lock:
            try:
                self._ping()
            except (exceptions.RedisError, OSError) as error:
                self.state = _why(error)
            else:
                self.state = UP

    def _run(self) -> None:
        self.look()
        self._looked.set()
        while not self._stop.wait(self._every):
            self.look()


def pinger(url: str, timeout: float = TIMEOUT) -> Callable[[], object]:
    """A `ping` for the Redis at `url`, each of whose steps takes `timeout` seconds at most."""
    parsed = redis.ConnectionPool.from_url(url)
    ours = {
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
        # Once more, since a connection that was kept may have been closed by a restart meanwhile.
        "retry": Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
    }
    pool = redis.ConnectionPool(
        connection_class=parsed.connection_class, **{**parsed.connection_kwargs, **ours}
    )
    return redis.Redis(connection_pool=pool).ping


def _why(error: Exception) -> str:
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return "does not answer in time"
    if isinstance(error, exceptions.BusyLoadingError):
        return "is still loading its data"
    if isinstance(error, exceptions.InvalidResponse):
        return "answers, but not as a Redis does"
    if isinstance(error, exceptions.AuthenticationError):
        return "refuses the user name or the password, or misses one"
    if isinstance(error, (exceptions.ConnectionError, OSError)):
        return f"cannot be reached: {_reason(error)}"
    return f"answers with an error: {str(error)[:80]}"


def _reason(error: BaseException) -> str:
    """The operating system's words if it was asked, without redis-py's around them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".").lower()
