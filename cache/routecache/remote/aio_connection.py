"""redis-py's asyncio connections, set up as a node's sync ones are."""

import asyncio
import contextlib
import inspect
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import redis
from redis.asyncio.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from routecache.errors import ConfigurationError
from routecache.remote.aio_waiting import in_thread
from routecache.remote.node import CONNECT_TIMEOUT, Node, require_primary
from routecache.remote.target import Address

# The first that the node's class derives from.
_ASYNCIO: tuple[tuple[type, type], ...] = (
    (redis.SSLConnection, SSLConnection),
    (redis.UnixDomainSocketConnection, UnixDomainSocketConnection),
    (redis.Connection, Connection),
)
# What redis.Redis puts among its options for its own connections and not for ours.
_NOT_OURS = (
    "command_packer",
    "event_dispatcher",
    "himport_registry",
    "maint",
    "orig_",
    "oss_",
    "parser_class",
    "redis_connect_func",
)


class LinkConnection(Protocol):
    """What a link needs of a redis.asyncio connection with `_PlainCalls` mixed in."""

    def point_at(self, address: Address) -> None:
        """Have `connect` go there."""
        ...

    async def connect(self) -> None:
        """Connect and shake hands."""
        ...

    async def send_command(self, *args: object) -> None:
        """Send one command."""
        ...

    async def read_response(self, *, disconnect_on_error: bool = True) -> Any:
        """Read one reply; raises what the server answered as an error."""
        ...

    def pack_commands(self, commands: object) -> list[bytes]:
        """Several commands in RESP; may be called before `connect`."""
        ...

    def write(self, data: bytes) -> None:
        """Send packed commands. Never waits."""
        ...

    def abort(self) -> None:
        """Close at once, also when the event loop is closed. Never waits and never raises."""
        ...


class _PlainCalls:
    """Mixin for redis.asyncio connection classes: writes and closes without a coroutine.

    `send_packed_command` and `disconnect` are coroutines, so they cannot be called when an event
    loop flushes or after it was closed. `_writer` and `_reader` is where all of redis-py's own
    connection classes keep their stream; the tests of real servers watch over that.
    """

    host: str
    port: int
    _writer: Any
    _reader: Any

    def point_at(self, address: Address) -> None:
        self.host, self.port = address

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def abort(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            return
        transport = writer.transport
        try:
            transport.abort()
        except RuntimeError:  # the loop is closed and will never tell the transport of its end
            _end(transport)


def _end(transport: Any) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)  # whatever follows, the server's side ends here
    # asyncio has no public way to close a transport whose loop is closed. Without these names the
    # garbage collector closes the file descriptor, with a ResourceWarning.
    tls = getattr(transport, "_ssl_protocol", None)
    beneath = getattr(tls, "_transport", None) or transport
    lost = getattr(beneath, "_call_connection_lost", None)
    if lost is not None:
        with contextlib.suppress(RuntimeError):
            lost(None)


async def open_connection(node: Node, connection: LinkConnection) -> None:
    """Connect to where `node` is now and learn its time; what should be a primary has to be one.

    Raises what redis-py raises, or RemoteError. The search for a primary is bounded by `locate`
    itself, the rest by CONNECT_TIMEOUT.
    """
    if node.locate is not None:
        connection.point_at(await in_thread(node.locate))
    async with asyncio.timeout(CONNECT_TIMEOUT):
        await connection.connect()
        if node.locate is not None:
            await _ask_role(connection)
        sent = time.monotonic()
        await connection.send_command("TIME")
        told = await connection.read_response()
    node.clock.told(sent, time.monotonic(), told)


async def _ask_role(connection: LinkConnection) -> None:
    await connection.send_command("ROLE")
    try:
        role = await connection.read_response()
    except redis.ResponseError:
        return  # not for this user to ask
    require_primary(role)


def connection_maker(node: Node) -> Callable[[], LinkConnection]:
    """Makes unconnected asyncio connections to where the node's sync ones go.

    Raises ConfigurationError, without values, for options that asyncio connections cannot honour:
    what they silently left out might have been a safeguard.
    """
    # The node offers no public view of these two.
    sync_class, given = node._connection_class, node._kwargs  # noqa: SLF001
    if node._on_connect is not None:  # noqa: SLF001
        raise ConfigurationError("redis_connect_func: asyncio connections cannot call it")
    base = next((b for a, b in _ASYNCIO if issubclass(sync_class, a)), None)
    if base is None:
        raise ConfigurationError(f"no asyncio connection is known for {sync_class.__qualname__}")
    known = {
        name
        for a_class in base.__mro__
        if "__init__" in vars(a_class)
        for name in inspect.signature(vars(a_class)["__init__"]).parameters
    }
    kwargs = {
        name: value
        for name, value in given.items()
        if not name.startswith(_NOT_OURS) and (value or name in known)
    } | {
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": None,  # a link's reader waits for ever; its callers' deadlines decide
        "protocol": 2,
        "decode_responses": False,
    }
    made: Any = type(f"Link{base.__name__}", (_PlainCalls, base), {})
    try:
        made(**kwargs)
    except (TypeError, ValueError, redis.RedisError) as error:
        unknown = ", ".join(sorted(kwargs.keys() - known)) or type(error).__name__
        raise ConfigurationError(f"asyncio connections cannot honour: {unknown}") from None
    return lambda: cast("LinkConnection", made(**kwargs))
