"""Commands to one server, for threads: each call takes a connection and gives it back."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import redis

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote.endpoint import Endpoint
from routecache.remote.translate import translate
from routecache.remote.transport import Command
from routecache.stats import EndpointSnapshot
from routecache.typing import Operation


class ServerTransport:
    """A `Transport` to the one server of `endpoint`. Safe for threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def alias(self) -> str:
        """The endpoint's bounded label."""
        return self._endpoint.alias

    @property
    def available(self) -> bool:
        """Whether the circuit is closed."""
        return self._endpoint.breaker.state == "closed"

    @property
    def clock_known(self) -> bool:
        """Whether the server's time was ever learnt."""
        return self._endpoint.clock.known

    def earliest(self) -> int:
        """The earliest that the server's clock can say now, in microseconds."""
        return self._endpoint.clock.earliest()

    def latest(self) -> int:
        """The latest that the server's clock can say now, in microseconds."""
        return self._endpoint.clock.latest()

    def clock_at_least(self, received: float, server_us: int) -> None:
        """A reply received at `received` (monotonic seconds) told the server's time."""
        self._endpoint.clock.at_least(received, server_us)

    def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        """Send all commands in one round trip; a reply or a RemoteError for each."""
        if sys.is_finalizing():  # daemon threads may have ended with any lock in their hands
            return [RemoteError("pool")] * len(commands)
        endpoint = self._endpoint
        if not endpoint.breaker.allow():
            return [CircuitOpenError()] * len(commands)
        started = time.monotonic()
        try:
            replies = self._round_trip(deadline, commands)
        except Exception as error:  # noqa: BLE001  # whatever redis-py raises is trouble with L2
            failure = endpoint.failed(error)
            if failure.kind == "connection":
                endpoint.pool.drop_idle()
            return [failure] * len(commands)
        except BaseException:
            endpoint.breaker.abandoned()
            raise
        finally:
            endpoint.stats.observe(operation, time.monotonic() - started)
        endpoint.answered(replies)
        return replies

    def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """`execute` for the one server."""
        return self.execute(operation, deadline, (command,))

    def scan_targets(self) -> Sequence["ServerTransport"]:
        """This transport."""
        return (self,)

    def snapshot(self) -> EndpointSnapshot:
        """The endpoint's gauges and latencies."""
        return self._endpoint.snapshot()

    def _round_trip(self, deadline: float, commands: Sequence[Command]) -> list[Any]:
        endpoint = self._endpoint
        pool = endpoint.pool
        connection = pool.acquire(deadline)
        sent = time.monotonic()
        if sent >= deadline:  # it went by in the queue
            pool.release(connection)
            raise RemoteError("pool")
        ask_time = endpoint.clock.due(sent)
        replies: list[Any] = []
        try:
            if ask_time:
                commands = (*commands, ("TIME",))
            if len(commands) == 1:
                connection.send_command(*commands[0])
            else:
                connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    replies.append(translate(error))  # the other replies must be read all the same
        except BaseException:
            pool.discard(connection)
            raise
        pool.release(connection)
        if ask_time:
            told = replies.pop()
            if not isinstance(told, RemoteError):
                endpoint.clock.told(sent, time.monotonic(), told)
        return replies
