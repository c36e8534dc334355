"""What the demo says about Redis is true from the start, and in words."""

import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from redis import exceptions

from routecache_exporters.demo.watch import UP, RedisWatch, pinger
from tests.commands import run
from tests.helpers import eventually

LOOPBACK = "127.0.0.1"


@pytest.fixture
def refused() -> int:
    """A port where nobody listens."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture
def answers() -> Iterator[Callable[[bytes], int]]:
    """Serve one connection that answers whatever it reads with these bytes, if any."""
    threads = []
    servers = []

    def serve(reply: bytes) -> int:
        server = socket.create_server((LOOPBACK, 0))
        server.settimeout(10)
        servers.append(server)

        def answer() -> None:
            with server.accept()[0] as client:
                while client.recv(4096):
                    client.sendall(reply)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        port: int = server.getsockname()[1]
        return port

    yield serve
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()


def state(url: str) -> str:
    """What a watch says of the Redis at `url` after one look."""
    ping = pinger(url, timeout=0.1)
    watch = RedisWatch(ping)
    watch.look()
    ping.__self__.close()  # type: ignore[attr-defined]
    return watch.state


def test_a_refused_connection(refused: int) -> None:
    assert state(f"redis://{LOOPBACK}:{refused}/0") == "cannot be reached: connection refused"


def test_a_socket_that_is_not_there() -> None:
    said = state("unix:///nowhere/redis.sock")
    assert said == "cannot be reached: no such file or directory"


def test_a_server_that_stays_silent(answers: Callable[[bytes], int]) -> None:
    assert state(f"redis://{LOOPBACK}:{answers(b'')}/0?socket_timeout=60") == (
        "does not answer in time"
    )


def test_a_server_that_is_no_redis(answers: Callable[[bytes], int]) -> None:
    port = answers(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    assert state(f"redis://{LOOPBACK}:{port}/0") == "answers, but not as a Redis does"


def raising(error: Exception) -> Callable[[], object]:
    def ping() -> object:
        raise error

    return ping


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (exceptions.AuthenticationError("x"), "refuses the user name or the password"),
        (exceptions.BusyLoadingError("x"), "still loading"),
        (exceptions.ResponseError("DB index is out of range"), "error: DB index is out of range"),
        (exceptions.ConnectionError("Connection closed by server."), "connection closed by server"),
        (OSError("odd"), "cannot be reached: odd"),
    ],
)
def test_other_troubles_in_words(error: Exception, says: str) -> None:
    watch = RedisWatch(raising(error))
    watch.look()
    assert says in watch.state


def test_the_watch_follows_redis_and_ends() -> None:
    """It knows when it has begun, and sees Redis go and come back."""
    there = threading.Event()

    def ping() -> None:
        if not there.is_set():
            raise exceptions.ConnectionError from ConnectionRefusedError(111, "Connection refused")

    before = set(threading.enumerate())
    there.set()
    with RedisWatch(ping, every=0.01) as watch:
        assert watch.state == UP
        there.clear()
        assert eventually(lambda: watch.state == "cannot be reached: connection refused")
        there.set()
        assert eventually(lambda: watch.state == UP)
    assert set(threading.enumerate()) <= before


def test_before_the_first_answer_it_does_not_say_up() -> None:
    assert RedisWatch(lambda: None).state == "has not answered yet"


def test_the_demo_says_that_redis_cannot_be_reached(refused: int) -> None:
    """In its first line, while it runs and at its end, and never that it is up."""
    done = run(
        "demo", "--router-only", "--port", "0", "--seconds", "1",
        env={"REDIS_URL": f"redis://me:secret@{LOOPBACK}:{refused}/0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    where = re.escape(f"redis://{LOOPBACK}:{refused}/0 (REDIS_URL)")
    assert re.match(
        f"Redis: {where} cannot be reached: connection refused. The caches go on", first
    )
    assert ", Redis cannot be reached: connection refused, circuit " in done.stdout
    assert done.stdout.splitlines()[-1] == "At the end Redis cannot be reached: connection refused."
    assert "Redis up" not in done.stdout
    assert "secret" not in done.stdout + done.stderr
