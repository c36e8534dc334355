"""L2 for the sync manager: the few commands that the cache needs, each under one deadline."""

import contextlib
import time
import weakref
from collections.abc import Sequence
from importlib import resources
from typing import Any, TypeAlias

import redis

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote import endpoint as endpoints
from routecache.remote.endpoint import Endpoint
from routecache.typing import Operation

Command: TypeAlias = tuple[object, ...]
RedisClient: TypeAlias = redis.Redis

_INVALIDATE_TAG = (
    resources.files("routecache.remote").joinpath("lua/invalidate_tag.lua").read_text("utf-8")
)
_SCAN_COUNT = 1000
_SCAN_STEP_TIMEOUT = 1.0
_FIRST_CONNECT_TIMEOUT = 0.5


class SyncRemote:
    """A Redis or Valkey server as L2. Safe for threads.

    Every method raises RemoteError and nothing else: CircuitOpenError at once while the circuit
    is open, any other kind after at most the time until `deadline`, in seconds of
    `time.monotonic`.
    """

    def __init__(self, url: str | None = None, client: RedisClient | None = None) -> None:
        self._endpoint: Endpoint = endpoints.acquire(url, client)
        # Also lets go of the endpoint when a manager is dropped without having been closed.
        self._release = weakref.finalize(self, endpoints.release, self._endpoint)
        self._release.atexit = False
        if self._endpoint.users == 1:
            self._first_connection()

    def _first_connection(self) -> None:
        # Failed, the cache starts on L1 alone and tries again by itself.
        with contextlib.suppress(RemoteError):
            self._execute("connect", self.deadline(_FIRST_CONNECT_TIMEOUT), ("PING",))

    @property
    def alias(self) -> str:
        """The endpoint's bounded label."""
        return self._endpoint.alias

    @property
    def available(self) -> bool:
        """Whether the circuit is closed."""
        return self._endpoint.breaker.state == "closed"

    def deadline(self, timeout: float) -> float:
        """The deadline for a call that starts now and may take `timeout` seconds."""
        return time.monotonic() + timeout

    def left(self, deadline: float) -> float:
        """How many of the seconds until `deadline` are left; negative past it."""
        return deadline - time.monotonic()

    def earliest_server_time(self, deadline: float) -> int:
        """The earliest that the server's clock can say now, in microseconds."""
        if not self._endpoint.clock.known:
            self._execute("connect", deadline, ("PING",))
        return self._endpoint.clock.earliest()

    def latest_server_time(self) -> int:
        """The latest that the server's clock can say now, in microseconds."""
        return self._endpoint.clock.latest()

    def get(self, key: str, deadline: float) -> bytes | None:
        """The payload under `key`."""
        payload: bytes | None = self._execute("get", deadline, ("GET", _encoded(key)))[0]
        return payload

    def get_many(self, keys: Sequence[str], deadline: float) -> list[bytes | None]:
        """The payloads under `keys`, in their order, in one round trip."""
        payloads: list[bytes | None] = self._execute(
            "get", deadline, ("MGET", *map(_encoded, keys))
        )[0]
        return payloads

    def set_many(self, items: Sequence[tuple[str, bytes, int]], deadline: float) -> None:
        """Store (key, payload, milliseconds to live), in one round trip."""
        commands = [("SET", _encoded(key), payload, "PX", ttl_ms) for key, payload, ttl_ms in items]
        self._execute("set", deadline, *commands)

    def delete_many(self, keys: Sequence[str], deadline: float) -> list[bool]:
        """Delete `keys`, in one round trip; whether each was there."""
        replies = self._execute("delete", deadline, *[("UNLINK", _encoded(key)) for key in keys])
        return [bool(reply) for reply in replies]

    def invalidate_tags(self, keys: Sequence[str], ttl_ms: int, deadline: float) -> None:
        """Write the server's time under each tag key, to live `ttl_ms` milliseconds."""
        commands = [("EVAL", _INVALIDATE_TAG, 1, _encoded(key), ttl_ms) for key in keys]
        replies = self._execute("tags", deadline, *commands)
        received = time.monotonic()
        for reply in replies:
            self._endpoint.clock.at_least(received, int(reply))

    def clear(self, patterns: Sequence[str]) -> int:
        """Delete all keys that match `patterns`, by SCAN and UNLINK, and return their number.

        Not bound by a look-up's deadline; each step is bounded by a second.
        """
        deleted = 0
        for pattern in patterns:
            cursor: object = b"0"
            while True:
                scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
                reply = self._execute("clear", self.deadline(_SCAN_STEP_TIMEOUT), scan)[0]
                cursor, keys = reply
                if keys:
                    step = self.deadline(_SCAN_STEP_TIMEOUT)
                    deleted += int(self._execute("clear", step, ("UNLINK", *keys))[0])
                if cursor == b"0":
                    break
        return deleted

    def close(self) -> None:
        """Let go of the endpoint; the last manager of a URL closes its connections."""
        self._release()

    def _execute(self, operation: Operation, deadline: float, *commands: Command) -> list[Any]:
        endpoint = self._endpoint
        if not endpoint.breaker.allow():
            raise CircuitOpenError
        started = time.monotonic()
        try:
            replies = self._round_trip(deadline, commands)
        except Exception as error:
            failure = endpoint.failed(error)
            if failure.kind == "connection":
                endpoint.pool.drop_idle()
            if failure is error:
                raise
            raise failure from error
        except BaseException:
            endpoint.breaker.abandoned()
            raise
        else:
            endpoint.breaker.succeeded()
            return replies
        finally:
            endpoint.stats.observe(operation, time.monotonic() - started)

    def _round_trip(self, deadline: float, commands: Sequence[Command]) -> list[Any]:
        endpoint = self._endpoint
        pool = endpoint.pool
        connection = pool.acquire(deadline)
        sent = time.monotonic()
        ask_time = endpoint.clock.due(sent)
        replies: list[Any] = []
        try:
            if ask_time:
                commands = (*commands, ("TIME",))
            if len(commands) == 1:
                connection.send_command(*commands[0])
            else:
                connection.send_packed_command(connection.pack_commands(commands))
            refused: redis.ResponseError | None = None
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    refused = refused or error  # the other replies must be read all the same
                    replies.append(None)
        except BaseException:
            pool.discard(connection)
            raise
        pool.release(connection)
        if refused is not None:
            raise refused
        if ask_time:
            seconds, micros = replies.pop()
            endpoint.clock.learn(sent, time.monotonic(), int(seconds) * 1_000_000 + int(micros))
        return replies


def _encoded(key: str) -> bytes:
    # A key may come from a request: one that UTF-8 cannot carry must not cost a connection.
    return key.encode("utf-8", "surrogatepass")
