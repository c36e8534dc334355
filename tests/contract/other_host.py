"""A process on another host, as a program of its own: its clocks differ, and its release may.

    python -m tests.contract.other_host DRIVER URL PREFIX SECONDS RELEASE

SECONDS is by how much its monotonic and its wall clock are ahead of this machine's. RELEASE is
"this", or "previous" for the release whose entries had five fields. Each line of its input is
`[name, arguments, options]`, a call of its manager; each line of its output is what that gave.
"""

import asyncio
import inspect
import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self


def _shift_clocks(seconds: float) -> None:
    monotonic, wall = time.monotonic, time.time
    time.monotonic = lambda: monotonic() + seconds
    time.time = lambda: wall() + seconds


def _become_previous() -> None:
    import msgspec

    from routecache import envelope
    from routecache.errors import DecodeError

    class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
        created: int
        expires: int
        codec: str
        payload: bytes
        tags: tuple[str, ...] = ()

    decoder = msgspec.msgpack.Decoder(Envelope)

    def decode(data: bytes, *, codec: str) -> envelope.Envelope:
        found = decoder.decode(data)
        if found.codec != codec:
            raise DecodeError("written by another serializer")
        return envelope.Envelope(*msgspec.structs.astuple(found))

    def encode(envelope: Any) -> bytes:
        return msgspec.msgpack.encode(Envelope(*msgspec.structs.astuple(envelope)[:5]))

    envelope.decode, envelope.encode = decode, encode


async def _serve(driver: str, url: str, prefix: str) -> None:
    from routecache import AsyncCacheManager, BaseCacheManager, Policy
    from tests.helpers import eventually

    kind = BaseCacheManager if driver == "sync" else AsyncCacheManager
    manager: Any = kind(
        redis_url=url, cache_prefix=prefix, name="of another host", policy=Policy(l2_timeout=2.0)
    )
    assert eventually(lambda: manager.core.hears, 20)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, arguments, options = json.loads(line)
        found = getattr(manager, name)(*arguments, **options)
        print(json.dumps(await found if inspect.isawaitable(found) else found), flush=True)
    closing = manager.close()
    if closing is not None:
        await closing


class OtherHost:
    """That process, as its parent talks to it. A context manager; not safe for threads."""

    def __init__(
        self, driver: str, url: str, prefix: str, *, ahead: float = 0.0, release: str = "this"
    ) -> None:
        arguments = [driver, url, prefix, str(ahead), release]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.other_host", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready\n"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps([name, arguments, options]) + "\n")
            self._process.stdin.flush()
            return json.loads(self._read())

        return call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=20)


if __name__ == "__main__":
    _driver, _url, _prefix, _seconds, _release = sys.argv[1:]
    _shift_clocks(float(_seconds))
    if _release == "previous":
        _become_previous()
    asyncio.run(_serve(_driver, _url, _prefix))
