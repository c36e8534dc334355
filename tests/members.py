"""A cache manager that is driven step by step, here or in a process of its own.

Loads are held in the middle, so that whoever drives decides what happens while they are under way.
The same member can be made to break a promise: without leases or without recovery.
"""

import asyncio
import contextlib
import multiprocessing
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias

from routecache import MISS, AsyncCacheManager, BaseCacheManager, Policy
from routecache.tiered._core import TieredCore
from tests.helpers import eventually

Without: TypeAlias = Literal["leases", "recovery"]
Driver: TypeAlias = Literal["sync", "asyncio"]
PATIENCE = 30.0  # seconds after which a step that does not end fails


class Member(Protocol):
    """One process's cache, as far as an interleaving of steps needs it. Values are versions."""

    def get(self, key: str) -> int | None:
        """What it serves."""
        ...

    def set(self, key: str, version: int, tags: Sequence[str]) -> None:
        """Write."""
        ...

    def delete(self, key: str) -> None:
        """Delete."""
        ...

    def invalidate(self, tag: str) -> None:
        """Invalidate a tag."""
        ...

    def load(self, key: str, version: int, tags: Sequence[str]) -> bool:
        """Begin a load that reads `version` now; whether it is held, and not answered already."""
        ...

    def finish(self, key: str) -> None:
        """Let the key's load return what it has read, and wait for its end."""
        ...


def cripple(core: TieredCore, without: Without) -> None:
    """Switch off what keeps a promise, so that a proof can show that it would notice."""
    if without == "recovery":
        vars(core.recovery)["add"] = lambda _keys: False
        return
    with_lease = core._wire_item

    def without_lease(write: Any, server_now: int) -> Any:
        return with_lease(write, server_now)._replace(token=None)

    vars(core)["_wire_item"] = without_lease


class Held:
    """A load that has read its version and does not return it yet."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._reads, self._go_on = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self) -> int:
        self._reads.set()
        assert self._go_on.wait(PATIENCE), "nobody finished the load"
        return self._version

    def start(self, manager: Any, key: str, tags: Sequence[str]) -> bool:
        """Whether it is held now, and not answered already."""
        self._thread = threading.Thread(
            target=manager.get_or_load, args=(key, self), kwargs={"tags": tuple(tags)}, daemon=True
        )
        self._thread.start()
        return bool(eventually(self._stands, PATIENCE, 0.0002) == "held")

    def _stands(self) -> str:
        assert self._thread is not None
        if self._reads.is_set():
            return "held"
        return "" if self._thread.is_alive() else "answered"

    def finish(self) -> None:
        assert self._thread is not None
        self._go_on.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a load never ended"


class LocalMember:
    """A member in this process: `manager` is a BaseCacheManager or a `BlockingAsync`."""

    def __init__(self, manager: Any, without: Without | None = None) -> None:
        self.manager = manager
        self.core: TieredCore = manager.core
        self._loads: dict[str, Held] = {}
        self._news: Any = None
        if without is not None:
            cripple(self.core, without)

    def get(self, key: str) -> int | None:
        value = self.manager.get(key, MISS)
        return None if value is MISS else int(value)

    def set(self, key: str, version: int, tags: Sequence[str]) -> None:
        self.manager.set(key, version, tags=tuple(tags))

    def delete(self, key: str) -> None:
        self.manager.delete(key)

    def invalidate(self, tag: str) -> None:
        self.manager.invalidate_tags(tag)

    def load(self, key: str, version: int, tags: Sequence[str]) -> bool:
        held = Held(version)
        if not held.start(self.manager, key, tags):
            return False
        self._loads[key] = held
        return True

    def finish(self, key: str) -> None:
        self._loads.pop(key).finish()

    # What only a real server needs

    def settle(self) -> None:
        """Wait until L2 is used, other processes are heard, and L2 is owed nothing."""
        core = self.core

        def settled() -> bool:
            self.manager.get("anything")  # an open circuit is probed by a call
            return core.hears is True and self.manager.redis_available and not core.recovery

        eventually(settled, PATIENCE, 0.005)

    def expect(self, key: str) -> None:
        """Wait for news of `key` from now on."""
        self._news = self.core.news(self.core.new_read(key))

    def heard(self, seconds: float) -> bool:
        """Whether the news came within `seconds`."""
        with contextlib.suppress(TimeoutError):
            self._news.result(seconds)
            return True
        return False

    def close(self) -> None:
        for key in list(self._loads):
            self.finish(key)
        self.manager.close()


class BlockingAsync:
    """An AsyncCacheManager on an event loop of its own, called from threads."""

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._manager = AsyncCacheManager(**options)
        self.core = self._manager.core

    @property
    def redis_available(self) -> bool:
        return self._manager.redis_available

    def _call(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(PATIENCE)

    def get(self, key: str, default: Any = None) -> Any:
        return self._call(self._manager.get(key, default))

    def set(self, key: str, value: Any, *, tags: tuple[str, ...]) -> None:
        self._call(self._manager.set(key, value, tags=tags))

    def delete(self, key: str) -> bool:
        return bool(self._call(self._manager.delete(key)))

    def invalidate_tags(self, *tags: str) -> None:
        self._call(self._manager.invalidate_tags(*tags))

    def get_or_load(self, key: str, loader: Any, *, tags: tuple[str, ...]) -> Any:
        async def load() -> Any:
            return await asyncio.to_thread(loader)

        return self._call(self._manager.get_or_load(key, load, tags=tags))

    def close(self) -> None:
        self._call(self._manager.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class Spec(NamedTuple):
    """What a member in a process of its own is made of."""

    driver: Driver
    url: str
    prefix: str
    policy: Policy
    l1_maxsize: int = 1000
    without: Without | None = None


def make(spec: Spec) -> LocalMember:
    """A member over the Redis at `spec.url`."""
    options: dict[str, Any] = {
        "l1_maxsize": spec.l1_maxsize,
        "redis_url": spec.url,
        "cache_prefix": spec.prefix,
        "policy": spec.policy,
    }
    maker = BaseCacheManager if spec.driver == "sync" else BlockingAsync
    return LocalMember(maker(**options), spec.without)


def _serve(connection: Connection, spec: Spec) -> None:
    member = make(spec)
    with contextlib.suppress(EOFError):
        while True:
            name, args = connection.recv()
            try:
                answer = (True, getattr(member, name)(*args))
            except BaseException as error:
                answer = (False, repr(error))
            connection.send(answer)
    member.close()


class ProcessMember:
    """A member in a process of its own, asked over a pipe. A context manager."""

    def __init__(self, spec: Spec) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, spec), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, name: str, *args: Any) -> None:
        """Have it begin `name(*args)`; `answer` waits for the outcome."""
        self._pipe.send((name, args))

    def answer(self) -> Any:
        """The outcome of what it was told last."""
        assert self._pipe.poll(2 * PATIENCE), "a member does not answer"
        good, outcome = self._pipe.recv()
        if not good:
            raise AssertionError(f"in a member's process: {outcome}")
        return outcome

    def ask(self, name: str, *args: Any) -> Any:
        """`name(*args)` in its process."""
        self.tell(name, *args)
        return self.answer()

    def get(self, key: str) -> int | None:
        value: int | None = self.ask("get", key)
        return value

    def set(self, key: str, version: int, tags: Sequence[str]) -> None:
        self.ask("set", key, version, tags)

    def delete(self, key: str) -> None:
        self.ask("delete", key)

    def invalidate(self, tag: str) -> None:
        self.ask("invalidate", tag)

    def load(self, key: str, version: int, tags: Sequence[str]) -> bool:
        return bool(self.ask("load", key, version, tags))

    def finish(self, key: str) -> None:
        self.ask("finish", key)

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
