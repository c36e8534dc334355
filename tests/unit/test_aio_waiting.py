"""A task waits for a thread's outcome, and leaves it alone when it stops waiting."""

import asyncio
import concurrent.futures
import logging
import threading

import pytest

from routecache.remote.aio_waiting import in_thread, outcome


def test_an_outcome_that_is_there_or_comes_is_returned_to_all_who_wait() -> None:
    async def main() -> list[int]:
        source: concurrent.futures.Future[int] = concurrent.futures.Future()
        waiting = asyncio.gather(*(outcome(source) for _ in range(3)))
        await asyncio.sleep(0)
        threading.Thread(target=source.set_result, args=(7,)).start()
        return [*await waiting, await outcome(source)]

    assert asyncio.run(main()) == [7] * 4


def test_a_cancelled_wait_cancels_nothing_for_the_others() -> None:
    async def main() -> int:
        source: concurrent.futures.Future[int] = concurrent.futures.Future()
        gone, stays = (asyncio.ensure_future(outcome(source)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert not source.cancelled()
        source.set_result(7)
        return await stays

    assert asyncio.run(main()) == 7


def test_an_outcome_after_the_loop_was_closed_is_logged_by_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source: concurrent.futures.Future[int] = concurrent.futures.Future()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await outcome(source)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
        caplog.clear()
        source.set_result(7)
    assert caplog.records == []


def test_what_work_raises_in_its_thread_is_raised_to_who_waits() -> None:
    def work() -> None:
        assert threading.current_thread() is not threading.main_thread()
        raise LookupError("work")

    with pytest.raises(LookupError, match="work"):
        asyncio.run(in_thread(work))
