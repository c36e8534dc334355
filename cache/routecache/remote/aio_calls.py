"""The calls that travel over one link: queued, awaiting replies, answered or over. Without I/O."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from routecache.errors import RemoteError

# Seconds after its deadline at which a call is found to be over, that a busy event loop explains.
_LATE = 0.02


class OwnDoingError(RemoteError):
    """A failure that this process caused itself and that tells nothing of the server."""


class Call:
    """The commands of one caller, and the future of its replies or of one RemoteError.

    `asked`, `deadline` and `written` (0 before it was) are monotonic seconds. `waits` tells that
    it could not be written at once, for want of a connection or of room.
    """

    __slots__ = (
        "answers",
        "asked",
        "count",
        "deadline",
        "future",
        "packed",
        "replies",
        "waits",
        "written",
    )

    def __init__(
        self,
        future: "asyncio.Future[list[Any] | RemoteError]",
        asked: float,
        deadline: float,
        packed: Sequence[bytes],
        count: int,
    ) -> None:
        self.future = future
        self.asked = asked
        self.deadline = deadline
        self.packed = packed
        self.count = count
        self.replies: list[Any] = []
        self.waits = False
        self.written = 0.0
        self.answers = 0

    def waited(self) -> float:
        """Seconds between the question and its writing, or until now if it was never written."""
        return (self.written or time.monotonic()) - self.asked


class Calls:
    """Two queues, the second of at most `limit` calls. For the thread of one event loop."""

    def __init__(self, limit: int) -> None:
        self.answers = 0
        self._limit = limit
        self._queue: deque[Call] = deque()
        self._pending: deque[Call] = deque()
        self._gone = 0
        self._silent_since = 0.0

    def __bool__(self) -> bool:
        """Whether there are any. Any thread may ask."""
        return bool(self._pending or self._queue)

    @property
    def queued(self) -> bool:
        """Whether calls wait to be written."""
        return bool(self._queue)

    @property
    def full(self) -> bool:
        """Whether no more calls can be written before replies come."""
        return len(self._pending) >= self._limit

    def add(self, call: Call) -> None:
        """Queue a call."""
        self._queue.append(call)

    def batch(self, now: float) -> list[bytes]:
        """What is to be written now, moved to the second queue as far as there is room."""
        queue, pending = self._queue, self._pending
        packed: list[bytes] = []
        while queue and len(pending) < self._limit:
            call = queue.popleft()
            if call.future.done():
                continue
            if call.deadline <= now:
                call.future.set_result(OwnDoingError("pool"))
                continue
            packed += call.packed
            self.written(call, now)
        if not queue:
            self._gone = 0
        return packed

    def written(self, call: Call, now: float) -> None:
        """This call is written at `now`, after all that were written before."""
        if not self._pending:
            self._silent_since = now
        call.packed = ()
        call.written = now
        call.answers = self.answers
        self._pending.append(call)

    def take(self, reply: Any) -> Call | None:
        """Take in the next reply; the call whose last reply it was, if it was one."""
        if not self._pending:
            raise RemoteError("other")  # a reply that nobody asked for: in doubt about all of them
        self.answers += 1
        self._silent_since = time.monotonic()
        call = self._pending[0]
        call.replies.append(reply)
        if len(call.replies) < call.count:
            return None
        self._pending.popleft()
        if not call.future.done():
            call.future.set_result(call.replies)
        return call

    def abandoned(self, call: Call) -> None:
        """The caller has gone. What was written stays until its replies have been read."""
        if not call.written:
            call.packed = ()
            self._gone += 1
            if self._gone > self._limit:
                self.clear_out()

    def clear_out(self) -> None:
        """Let go of queued calls whose callers have gone."""
        self._queue = deque(call for call in self._queue if not call.future.done())
        self._gone = 0

    def over(self, now: float) -> list[Call]:
        """The calls whose deadline has passed."""
        return [call for call in self._live() if call.deadline <= now]

    def next_deadline(self) -> float:
        """The earliest deadline, math.inf if there is none."""
        return min((call.deadline for call in self._live()), default=math.inf)

    def _live(self) -> list[Call]:
        return [call for call in (*self._pending, *self._queue) if not call.future.done()]

    def verdict(self, call: Call, now: float, *, connected: bool) -> RemoteError:
        """Why a call is over: "timeout", or "pool" where this process has to blame itself."""
        if not connected:
            late = now - call.deadline > _LATE
            return OwnDoingError("pool") if late else RemoteError("timeout")
        own_doing = (
            not call.written
            or call.written - call.asked > (call.deadline - call.asked) / 2
            or call.answers != self.answers
        )
        return OwnDoingError("pool") if own_doing else RemoteError("timeout")

    def silence(self, now: float) -> float:
        """For how many seconds nothing came, though something was asked."""
        return now - self._silent_since if self._pending else 0.0

    def fail(self, error: RemoteError) -> None:
        """All of them fail with `error`."""
        for call in self._live():
            call.future.set_result(error)
        self._pending.clear()
        self._queue.clear()
