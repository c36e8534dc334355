"""`cached` on both managers, over the fake and every topology: one function in two processes."""

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from routecache import MISS, cached
from tests.contract.blocking import Blocking, in_thread
from tests.contract.world import World
from tests.helpers import eventually


class NotFoundError(Exception):
    """An answer rather than a failure."""


class Function:
    """One function, decorated in two processes; `calls` are what each was called with."""

    def __init__(
        self,
        world: World,
        body: Callable[[str], Any],
        managers: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.world = world
        world.listening()
        self.managers = world.pair(**(managers or {}))
        self.calls: tuple[list[str], list[str]] = ([], [])
        self.here, self.there = (
            self._decorated(manager, calls, body, options)
            for manager, calls in zip(self.managers, self.calls, strict=True)
        )

    def _decorated(
        self, manager: Blocking, calls: list[str], body: Callable[[str], Any], options: Any
    ) -> Any:
        decorate = cached(manager.manager, name="tests.function", **options)

        def call(what: str) -> Any:
            calls.append(what)
            return body(what)

        if self.world.driver == "sync":
            return decorate(call)

        @functools.wraps(call)
        async def awaited(what: str) -> Any:
            return await asyncio.to_thread(call, what)

        return _Called(decorate(awaited), self.world.loop)

    def heard(self, n: int) -> None:
        """Wait until both processes were told of `n` writes."""
        self.world.heard(n, *self.managers)


class _Called:
    """A decorated coroutine function, called from threads."""

    def __init__(self, function: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._function = function
        self._loop = loop

    def __call__(self, *args: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(self._function(*args), self._loop).result(60)

    def cache_key(self, *args: Any) -> Any:
        return self._function.cache_key(*args)

    def __getattr__(self, name: str) -> Any:
        return _Called(getattr(self._function, name), self._loop)


def missing(what: str) -> str:
    raise NotFoundError(f"secret {what}")


def test_what_one_process_computed_the_other_finds(world: World) -> None:
    function = Function(world, lambda what: [what])
    assert function.here("x") == ["x"]
    function.heard(1)
    assert function.there("x") == ["x"]
    assert function.calls == (["x"], [])
    assert function.here.cache_key("x") == function.there.cache_key("x")
    assert world.raw(world.value_key(function.here.cache_key("x"))) is not None


def test_a_call_that_is_invalidated_is_made_again_in_every_process(world: World) -> None:
    function = Function(world, lambda what: [what])
    for call in (function.here, function.there):
        call("x")
    assert function.there.cache_invalidate("x") is True
    function.heard(2)
    assert function.here("x") == ["x"]
    assert function.calls == (["x", "x"], [])


def test_a_refresh_replaces_the_result_in_every_process(world: World) -> None:
    answers = iter(["old", "new"])
    function = Function(world, lambda what: next(answers))
    assert [function.here("x"), function.there("x")] == ["old", "old"]
    assert function.there.cache_refresh("x") == "new"
    function.heard(3)
    assert [function.here("x"), function.there("x")] == ["new", "new"]


def test_a_remembered_exception_is_in_one_process_s_memory_only(world: World) -> None:
    function = Function(world, missing, remember=NotFoundError, negative_ttl=5)
    key = function.here.cache_key("x")
    with pytest.raises(NotFoundError, match="secret x"):
        function.here("x")
    for _ in range(2):
        with pytest.raises(NotFoundError) as caught:
            function.here("x")
        assert caught.value.args == ()
    assert world.raw(world.value_key(key)) is None
    assert function.managers[0].get(key, MISS) is MISS
    with pytest.raises(NotFoundError, match="secret x"):
        function.there("x")
    assert function.calls == (["x"], ["x"])
    world.timer.advance(5.1)
    with pytest.raises(NotFoundError, match="secret x"):
        function.here("x")
    for manager in function.managers:
        stats = manager.stats
        assert stats.requests == stats.l1_hits + stats.l2_hits + sum(stats.misses.values())
        assert not stats.load_failures, "an answer is no failure"


def test_a_remembered_exception_ends_when_another_process_stores_a_result(world: World) -> None:
    found: list[str] = []

    def find(what: str) -> str:
        return found[0] if found else missing(what)

    function = Function(world, find, remember=NotFoundError, negative_ttl=60)
    with pytest.raises(NotFoundError):
        function.here("x")
    found.append("here it is")
    assert function.there("x") == "here it is"
    function.heard(1)
    assert function.here("x") == "here it is"
    assert function.calls == (["x"], ["x"])


def test_a_remembered_exception_ends_when_another_process_invalidates_the_call(
    world: World,
) -> None:
    """Although L2 holds nothing of it."""
    found: list[str] = []

    def find(what: str) -> str:
        return found[0] if found else missing(what)

    function = Function(world, find, remember=NotFoundError, negative_ttl=60)
    with pytest.raises(NotFoundError):
        function.here("x")
    found.append("here it is")
    function.there.cache_invalidate("x")

    def asked() -> str:
        with contextlib.suppress(NotFoundError):
            return str(function.here("x"))
        return ""

    assert eventually(asked) == "here it is"


def test_tags_take_results_and_remembered_exceptions_in_every_process(world: World) -> None:
    function = Function(
        world, lambda what: missing(what) if what == "none" else what,
        remember=NotFoundError, negative_ttl=60, tags=lambda what: ["t"],
    )  # fmt: skip

    def ask() -> None:
        assert function.here("x") == "x"
        with pytest.raises(NotFoundError):
            function.here("none")

    ask()
    ask()
    assert function.calls[0] == ["x", "none"]
    function.managers[1].invalidate_tags("t")
    function.heard(2)
    world.timer.advance(0.1)
    ask()
    assert function.calls[0] == ["x", "none"] * 2


def test_a_result_that_is_not_to_be_stored_is_in_no_tier(world: World) -> None:
    function = Function(world, lambda what: what, store_if=lambda result: result != "x")
    for _ in range(2):
        assert [function.here("x"), function.here("y")] == ["x", "y"]
        function.heard(1)
    assert function.calls[0] == ["x", "y", "x"]
    assert world.raw(world.value_key(function.here.cache_key("x"))) is None


def test_what_was_invalidated_while_it_was_computed_is_not_stored(world: World) -> None:
    started, go_on = threading.Event(), threading.Event()
    answers = iter(["old", "new"])

    def slow(what: str) -> str:
        answer = next(answers)
        if answer == "old":
            started.set()
            assert go_on.wait(30)
        return answer

    function = Function(world, slow)
    thread, got = in_thread(lambda: function.here("x"))
    assert started.wait(30)
    function.there.cache_invalidate("x")
    go_on.set()
    thread.join(30)
    assert got == ["old"]
    assert function.there("x") == "new"
    function.heard(2)
    assert function.here("x") == "new"


def test_an_exception_remembered_after_its_call_was_invalidated_is_not_kept(world: World) -> None:
    started, go_on = threading.Event(), threading.Event()
    slowly = [True]

    def slow(what: str) -> str:
        if slowly:
            slowly.clear()
            started.set()
            assert go_on.wait(30)
            return missing(what)
        return "found"

    function = Function(world, slow, remember=NotFoundError, negative_ttl=60)
    thread, got = in_thread(lambda: function.here("x"))
    assert started.wait(30)
    function.here.cache_invalidate("x")
    go_on.set()
    thread.join(30)
    assert [type(error) for error in got] == [NotFoundError]
    assert function.here("x") == "found"


def test_no_other_process_waits_for_a_lease_whose_load_stored_nothing_in_l2(world: World) -> None:
    def find(what: str) -> str:
        return missing(what) if what == "none" else what

    policy = {"distributed_lock": True, "hard_timeout": 2.0}
    function = Function(
        world, find, {"policy": policy, "timer": time.monotonic},
        remember=NotFoundError, negative_ttl=60, store_if=lambda result: False,
    )  # fmt: skip
    for call in (function.here, function.there):  # LoadTimeoutError, were the lease still held
        with pytest.raises(NotFoundError, match="secret none"):
            call("none")
        assert call("x") == "x"
    assert function.calls == (["none", "x"], ["none", "x"])
