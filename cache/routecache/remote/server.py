"""Commands to one server, for threads: each call takes a connection and gives it back."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote.exchange import receive, send
from routecache.remote.node import Node
from routecache.remote.transport import Command
from routecache.stats import EndpointSnapshot
from routecache.typing import Operation


class ServerTransport:
    """A `Transport` to the one server of `endpoint`. Safe for threads."""

    def __init__(self, endpoint: Node) -> None:
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
            replies = receive(send(endpoint, started, deadline, commands))
        except Exception as error:  # noqa: BLE001  # whatever redis-py raises is trouble with L2
            return [endpoint.failed(error)] * len(commands)
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
