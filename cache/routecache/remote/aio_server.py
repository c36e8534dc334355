"""Commands to one server, for tasks: all tasks of an event loop share one connection."""

import time
from collections.abc import Sequence
from typing import Any

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote import aio_links
from routecache.remote.aio_exchange import Sent, receive, send
from routecache.remote.aio_link import Link
from routecache.remote.node import Node
from routecache.remote.transport import Command
from routecache.typing import Operation


class AsyncServerTransport:
    """An `AsyncTransport` to the one server of `endpoint`, or to the primary that Sentinel names.

    Safe for the tasks of any number of event loops in any number of threads. Transports of one
    endpoint share one connection per event loop, and the circuit breaker with the sync side.
    Connecting happens in the background of the loop at the first call. A connection ends with its
    loop; `close` or `aclose` ends all.

    Raises ConfigurationError at construction if the endpoint's options need a sync connection.
    """

    def __init__(self, endpoint: Node) -> None:
        self.node = endpoint
        self.links = aio_links.acquire(endpoint)
        self._closed = False

    async def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        """Send all commands in one batch; a reply or a RemoteError for each.

        What other tasks ask in the same turn of the event loop travels in the same batch.
        """
        if not commands:
            return []
        if self._closed:
            return [RemoteError("connection")] * len(commands)
        node = self.node
        if not node.breaker.allow():
            return [CircuitOpenError()] * len(commands)
        began = time.monotonic()
        try:
            outcome = await receive(self.send(began, deadline, commands))
        except Exception as error:  # noqa: BLE001  # a command that redis-py cannot pack, or closed
            outcome = self.links.failed(began, error)
            return [outcome] * len(commands)
        except BaseException:
            node.breaker.abandoned()
            raise
        finally:
            node.stats.observe(operation, time.monotonic() - began)
        if isinstance(outcome, RemoteError):
            return [self.links.failed(began, outcome)] * len(commands)
        self.links.answered(began, outcome)
        return outcome

    def send(self, began: float, deadline: float, commands: Sequence[Command]) -> Sent:
        """`aio_exchange.send` to this server."""
        return send(self.node, self.links, began, deadline, commands)

    async def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """`execute` for the one server."""
        return await self.execute(operation, deadline, (command,))

    def scan_targets(self) -> Sequence["AsyncServerTransport"]:
        """This transport."""
        return (self,)

    def connections(self) -> tuple[int, int]:
        """How many asyncio connections of the endpoint are in use and how many are idle."""
        return self.links.counts()

    def close(self) -> Link | None:
        """Send nothing any more; the last transport of the endpoint ends its connections.

        May be called by any thread, with or without an event loop. Whoever waits gets
        "connection". Returns the connection of the running loop if it is being ended.
        """
        if self._closed:
            return None
        self._closed = True
        return aio_links.release(self.links)

    async def aclose(self) -> None:
        """`close`, and return when the connection of the running loop is closed."""
        link = self.close()
        if link is not None:
            await link.closed()
