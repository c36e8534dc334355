"""How a task waits for what threads do, without holding up its event loop."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from routecache.errors import RemoteError

T = TypeVar("T")


async def outcome(source: "concurrent.futures.Future[T]") -> T:
    """The result of `source`, or what it raised.

    Unlike `asyncio.wrap_future` it cancels nothing when the task is cancelled, and nothing is
    logged when the event loop is closed before `source` is done.
    """
    if not source.done():
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def settle() -> None:
            if not done.done():
                done.set_result(None)

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle)

        source.add_done_callback(tell)
        await done
    return source.result()


async def in_thread(work: Callable[[], T]) -> T:
    """What `work()` gives in a daemon thread of its own, or raises there.

    Not in the loop's executor: its threads may all be busy, and `asyncio.run` waits for them.
    Raises RemoteError of kind "pool" if there are no more threads. A cancelled task leaves the
    thread to end by itself.
    """
    result: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001  # the task gets it
            result.set_exception(error)

    try:
        threading.Thread(target=run, name="routecache-locate", daemon=True).start()
    except RuntimeError:  # no more threads, or the interpreter is ending
        raise RemoteError("pool") from None
    return await outcome(result)
