"""How commands travel to L2: what the sync and the asyncio transports have in common.

A transport carries commands to one server, to the primary that Sentinel names, or to the primaries
of a cluster, and knows nothing of caches. A command is a tuple as redis-py packs it, with its name
first. Scripts are sent as EVALSHA with exactly one slot's keys.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from routecache.stats import EndpointSnapshot
from routecache.typing import Operation

Command: TypeAlias = tuple[Any, ...]


def routing_key(command: Command) -> Any:
    """The key by which a cluster finds the command's node; None if it has none."""
    name = command[0]
    if name in {"EVALSHA", "EVAL"}:
        return command[3]
    return command[1] if len(command) > 1 else None


class Transport(Protocol):
    """Carries commands for threads. Safe for threads; never raises because of L2."""

    @property
    def alias(self) -> str:
        """The endpoint's bounded label, never a host."""
        ...

    @property
    def available(self) -> bool:
        """Whether commands are being sent at all (the circuit is closed)."""
        ...

    @property
    def clock_known(self) -> bool:
        """Whether the server's time was ever learnt."""
        ...

    def earliest(self) -> int:
        """The earliest that the server's clock can say now, in microseconds."""
        ...

    def latest(self) -> int:
        """The latest that the server's clock can say now, in microseconds."""
        ...

    def clock_at_least(self, received: float, server_us: int) -> None:
        """A reply received at `received` (monotonic seconds) told the server's time."""
        ...

    def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        """Send all commands in one round trip, per node; one reply for each, in their order.

        A command that failed has a RemoteError in its place: `CircuitOpenError` if it was not
        sent because of the circuit, else with the kind of the failure. Returns by `deadline`,
        seconds of `time.monotonic`.
        """
        ...

    def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """Send one command to every primary; a reply or a RemoteError for each."""
        ...

    def scan_targets(self) -> Sequence["Transport"]:
        """One transport for each primary, over which SCAN walks that primary alone."""
        ...

    def snapshot(self) -> EndpointSnapshot:
        """The endpoint's gauges and latencies."""
        ...


class AsyncTransport(Protocol):
    """Carries commands for tasks: `Transport`, awaited. Safe for tasks of several event loops.

    A task that is cancelled while it waits leaves no connection behind and no reply for others.
    """

    async def execute(
        self, operation: Operation, deadline: float, commands: Sequence[Command]
    ) -> list[Any]:
        """As `Transport.execute`."""
        ...

    async def execute_everywhere(
        self, operation: Operation, deadline: float, command: Command
    ) -> list[Any]:
        """As `Transport.execute_everywhere`."""
        ...

    def scan_targets(self) -> Sequence["AsyncTransport"]:
        """As `Transport.scan_targets`."""
        ...

    async def aclose(self) -> None:
        """Send nothing any more, and return when the running loop's connections are closed."""
        ...
