"""Commands to one server, for tasks: all tasks of an event loop share one connection."""

import time
from collections.abc import Sequence
from typing import Any

from routecache.errors import CircuitOpenError, RemoteError
from routecache.remote import aio_links
from routecache.remote.aio_calls import OwnDoingError
from routecache.remote.endpoint import Endpoint
from routecache.remote.transport import Command
from routecache.typing import Operation


class AsyncServerTransport:
    """An `AsyncTransport` to the one server of `endpoint`.

    Safe for the tasks of any number of event loops in any number of threads. Transports of one
    endpoint share one connection per event loop, and the circuit breaker with the sync side.
    Connecting happens in the background of the loop at the first call. A connection ends with its
    loop; `close` or `aclose` ends all.

    Raises ConfigurationError at construction if the endpoint's options need a sync connection.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._closed = False
        self._links = aio_links.acquire(endpoint)

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
        endpoint = self._endpoint
        if not endpoint.breaker.allow():
            return [CircuitOpenError()] * len(commands)
        asked = time.monotonic()
        call = link = None
        try:
            link = self._links.here()
            call = link.submit(asked, deadline, commands)
            outcome = await call.future
        except OwnDoingError as error:  # closed meanwhile
            outcome = error
        except Exception as error:  # noqa: BLE001  # a command that redis-py cannot pack
            return [endpoint.failed(error)] * len(commands)
        except BaseException:
            endpoint.breaker.abandoned()
            if link is not None and call is not None:
                link.abandon(call)
            raise
        finally:
            now = time.monotonic()
            endpoint.stats.observe(operation, now - asked)
            if call is not None and call.waits:
                endpoint.stats.waited((call.written or now) - asked)
        if isinstance(outcome, RemoteError):
            self._failed(asked, outcome)
            return [outcome] * len(commands)
        endpoint.answered(outcome)
        return outcome

    def _failed(self, asked: float, error: RemoteError) -> None:
        # A link that ends fails all its callers at once, and so does a deadline that they share.
        # To the breaker that is one failure: whoever was waiting already when it was last told of
        # one has seen the same event, and tells nothing new. Else a single lost packet under 32
        # calls would open the circuit.
        if isinstance(error, OwnDoingError) or asked < self._links.blamed_at:
            self._endpoint.breaker.abandoned()
        else:
            self._links.blamed_at = time.monotonic()
            self._endpoint.failed(error)

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
        return self._links.counts()

    def close(self) -> None:
        """Send nothing any more; the last transport of the endpoint ends its connections.

        May be called by any thread, with or without an event loop. Whoever waits gets
        "connection".
        """
        if not self._closed:
            self._closed = True
            aio_links.release(self._links)

    async def aclose(self) -> None:
        """`close`, and return when the connection of the running loop is closed."""
        if not self._closed:
            self._closed = True
            link = aio_links.release(self._links)
            if link is not None:
                await link.closed()
