"""One connection to L2 that all tasks of one event loop share."""

import asyncio
import contextlib
import contextvars
import math
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import redis

from routecache.errors import RemoteError
from routecache.remote.aio_calls import Call, Calls, OwnDoingError
from routecache.remote.aio_connection import LinkConnection, open_connection
from routecache.remote.node import Node
from routecache.remote.translate import translate
from routecache.remote.transport import Command

_PATIENCE = 0.02  # seconds
_GRACE = 0.001  # seconds
_GRACES = 8
_NEVER = 365 * 86400.0  # seconds


class _Alive:
    """Held by nothing but a timer of an event loop."""

    __slots__ = ("__weakref__",)


class Link:
    """A multiplexed connection of `loop`, from its first attempt to connect to its end.

    Only the thread of the loop may call it, but for `busy`, `idle`, `connected` and `forget`.

    Callers' commands go through two queues (`Calls`). `submit` packs them, appends them to the
    first and gives the caller a future to await. Once in each turn of the event loop `_flush`
    moves what is there to the second queue and writes it as one batch: the look-ups of 32 tasks
    cost one system call instead of 32. The link's one task reads replies, which come in the order
    of the commands, and resolves the futures of the second queue from its left end.

    Cancelled callers: nothing is taken out of the second queue but by its replies, so the reply to
    a caller that has gone is read and thrown away, and the next caller gets its own. What was not
    written yet is never sent.

    Bounds: at most `limit` calls are in the second queue. What exceeds that stays in the first,
    where each call belongs to a waiting task; those of cancelled tasks are cleared out.

    Deadlines: one timer is armed for the earliest deadline of all calls, since a timer for each
    call would cost more than the call's share of the system calls. When it fires, replies may be
    readable that this process had no time to read: the turn that fired it has asked the selector,
    so one turn later the reader has seen them. `_expire` therefore runs a turn later and, while
    replies keep coming, a few milliseconds longer: more of them than a socket's buffer holds may
    be on their way. What is over then is

    - "pool" (OwnDoingError) if it was not written, or written when half of its time was over; if
      replies to others came since it was written, so that the server is there and this process
      asks more than comes back in time; or if the loop was so late that a connection may only
      have waited for the loop;
    - "timeout" otherwise. If nothing at all came for `_PATIENCE`, the link ends, and the others
      that wait on it get "timeout" at once. A single caller that comes with a millisecond left
      cannot end it.

    Retirement: a link that leads where the server is no longer, or is thought dead, takes no more
    calls (`Links` gives out another one) and ends with the last that waits on it.

    The end of the loop: `asyncio.run` cancels the task, which closes the connection. A loop that
    is closed without that drops its timers, and with one of them the only reference to an
    `_Alive`, whose finalizer closes the socket then and there, without the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        node: Node,
        connection: LinkConnection,
        limit: int,
        on_end: Callable[["Link"], None],
    ) -> None:
        self.loop = loop
        self._node = node
        self._connection = connection
        self._clock = node.clock
        self._on_end = on_end
        self._context = contextvars.Context()  # no caller's context variables live as long as this
        self._calls = Calls(limit)
        self._open = False
        self._retired = False
        self._ended = False
        self._flushing = False
        self._asks_time: Call | None = None
        self._wakes_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        alive = _Alive()
        # Held weakly, for the loop alone must hold what is in it.
        self._alive = weakref.ref(loop.call_later(_NEVER, id, alive, context=self._context))
        weakref.finalize(alive, _loop_closed, weakref.ref(self)).atexit = False
        # Not by the loop's task factory, which may start it before this constructor has ended.
        self._task = asyncio.Task(self._run(), loop=loop, context=self._context)

    @property
    def busy(self) -> bool:
        """Whether it is connected and calls wait for replies."""
        return self._open and bool(self._calls)

    @property
    def connected(self) -> bool:
        """Whether commands can be written."""
        return self._open

    @property
    def idle(self) -> bool:
        """Whether it is connected and nobody waits."""
        return self._open and not self._calls

    def submit(self, asked: float, deadline: float, commands: Sequence[Command]) -> Call:
        """Queue at least one command; `asked` and `deadline` are monotonic seconds.

        Raises what redis-py raises for commands that cannot be packed.
        """
        packed = self._connection.pack_commands(commands)
        call = Call(self.loop.create_future(), asked, deadline, packed, len(commands))
        call.waits = not self._open or self._calls.full
        self._calls.add(call)
        if not call.waits:
            self._flush_soon()
        if deadline < self._wakes_at:
            self._wake_at(deadline)
        return call

    def abandon(self, call: Call) -> None:
        """The caller of `call` was cancelled."""
        self._calls.abandoned(call)
        self._end_if_done()

    def retire(self) -> None:
        """End it as soon as nobody waits on it any more."""
        self._retired = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        # Each call has a deadline, at which `_expire` comes by here again.
        if self._retired and self._calls.next_deadline() == math.inf:
            self.close()

    def close(self) -> None:
        """End it now; whoever waits gets "connection"."""
        self._end(OwnDoingError("connection"))

    async def closed(self) -> None:
        """Return when its task has ended and its socket is closed."""
        await asyncio.wait((self._task,))
        await asyncio.sleep(0)  # in this turn the transport closes the socket

    def forget(self) -> None:
        """Never touch the connection again."""
        self._open = False
        self._ended = True

    async def _run(self) -> None:
        error: RemoteError = OwnDoingError("connection")
        try:
            await open_connection(self._node, self._connection)
            self._open = True
            self._flush()
            await self._read()
        except Exception as raised:  # noqa: BLE001  # whatever it is, the callers must learn of it
            error = raised if isinstance(raised, RemoteError) else translate(raised)
        finally:
            self._end(error)

    async def _read(self) -> None:
        read = self._connection.read_response
        take = self._calls.take
        while True:
            try:
                reply = await read(disconnect_on_error=False)
            except redis.ResponseError as error:
                reply = translate(error)
            call = take(reply)
            if call is self._asks_time and call is not None:
                self._learn_time(call, reply)
            if self._calls.queued:
                self._flush_soon()
            if self._retired and not self._calls:
                return

    def _learn_time(self, call: Call, reply: Any) -> None:
        self._asks_time = None
        if not isinstance(reply, RemoteError):
            self._clock.told(call.written, time.monotonic(), reply)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        self._flushing = False
        if self._ended:
            return
        now = time.monotonic()
        packed = self._calls.batch(now)
        if not packed:
            return
        if self._asks_time is None and self._clock.due(now):
            packed += self._connection.pack_commands((("TIME",),))
            self._asks_time = Call(self.loop.create_future(), now, math.inf, (), 1)
            self._calls.written(self._asks_time, now)
        self._connection.write(b"".join(packed))

    def _wake_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = deadline
        delay = deadline - time.monotonic()
        self._timer = self.loop.call_later(delay, self._wake, context=self._context)

    def _wake(self) -> None:
        self._timer = None
        self._wakes_at = -math.inf  # until `_expire` has decided on the next time
        answers = self._calls.answers
        self.loop.call_soon(self._expire, _GRACES, answers, context=self._context)

    def _expire(self, graces: int, answers: int) -> None:
        if self._ended:
            return
        calls = self._calls
        now = time.monotonic()
        over = calls.over(now)
        if over and graces and answers != calls.answers:
            again = graces - 1, calls.answers
            self._timer = self.loop.call_later(_GRACE, self._expire, *again, context=self._context)
            return
        silent = False
        for call in over:
            error = calls.verdict(call, now, connected=self._open)
            silent = silent or (self._open and error.kind == "timeout")
            call.future.set_result(error)
        if silent and calls.silence(now) >= _PATIENCE:
            self._end(RemoteError("timeout"))
            return
        calls.clear_out()
        self._end_if_done()
        self._wakes_at = math.inf
        next_deadline = calls.next_deadline()
        if next_deadline < math.inf:
            self._wake_at(next_deadline)

    def _end(self, error: RemoteError) -> None:
        if self._ended:
            return
        self.forget()
        self._on_end(self)
        for timer in (self._alive(), self._timer):
            if timer is not None:
                timer.cancel()
        self._connection.abort()
        self._calls.fail(error)
        if asyncio.current_task() is not self._task:
            self._task.cancel()

    def end_without_loop(self) -> None:
        """Close the socket; the loop is closed, so nobody can be woken any more."""
        if self._ended:
            return
        self.forget()
        self._on_end(self)
        # asyncio has no public way to say that this task is given up on purpose.
        self._task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        with contextlib.suppress(RuntimeError):
            self._task.get_coro().close()
        self._connection.abort()


def _loop_closed(ref: "weakref.ref[Link]") -> None:
    link = ref()
    if link is not None and link.loop.is_closed():
        link.end_without_loop()
