"""Commands for tasks where no asyncio connection can follow the primaries: over threads.

Behind Sentinel and in a cluster the sync transport knows where each key lives, follows failovers
and holds the deadline. Its calls run in a few threads of the event loop's default executor, which
costs some 50 µs each. A cancelled task leaves its call to end by itself in its thread: the reply
reaches nobody, and the connection goes back to the pool.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from routecache.remote.transport import Command, Transport
from routecache.typing import Operation


class ThreadedTransport:
    """An `AsyncTransport` over `transport`. Safe for tasks of any event loop."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        """As `Transport.execute`."""
        return await asyncio.to_thread(self._transport.execute, operation, deadline, commands)

    async def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """As `Transport.execute_everywhere`."""
        return await asyncio.to_thread(
            self._transport.execute_everywhere, operation, deadline, command
        )

    def scan_targets(self) -> Sequence["ThreadedTransport"]:
        """As `Transport.scan_targets`."""
        return [ThreadedTransport(target) for target in self._transport.scan_targets()]

    async def aclose(self) -> None:
        """Nothing: the connections are the sync transport's."""
