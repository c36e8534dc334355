"""The interpreter's exit never waits for Redis, whoever uses the cache that late."""

import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest

SCRIPT = """
    import atexit, os, sys, time
    from routecache.remote import endpoint as endpoints
    from routecache.remote.server import ServerTransport
    transport = ServerTransport(endpoints.acquire(sys.argv[1], None))

    def use(when, transport=transport, monotonic=time.monotonic, write=os.write):
        replies = transport.execute("get", monotonic() + 0.05, [("GET", "k")])
        assert replies[0].kind, replies
        write(1, when)

    class Late:
        def __init__(self, use):
            self.use = use
        def __del__(self):
            self.use(b"del ")

    atexit.register(use, b"atexit ")
    late = Late(use)  # goes when the module does
"""


@pytest.mark.parametrize("silent", [False, True])
def test_a_finalizer_that_uses_the_cache_while_redis_is_down_does_not_hang(silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        if not silent:
            listener.close()
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), url],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["atexit", "del"]
    assert time.monotonic() - started < 15
