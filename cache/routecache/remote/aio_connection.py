"""redis-py's asyncio connections, set up as an endpoint's sync ones are."""

import contextlib
import inspect
import socket
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
from routecache.remote.endpoint import CONNECT_TIMEOUT, Endpoint

# The first that the endpoint's class derives from.
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

    _writer: Any
    _reader: Any

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


def connection_maker(endpoint: Endpoint) -> Callable[[], LinkConnection]:
    """Makes unconnected asyncio connections to where the endpoint's sync ones go.

    Keeps no reference to `endpoint`. Raises ConfigurationError, without values, for options that
    asyncio connections cannot honour: what they silently left out might have been a safeguard.
    """
    if getattr(endpoint, "locate", None) is not None:  # without its answer we would dial localhost
        raise ConfigurationError("asyncio connections cannot follow a Sentinel's primary yet")
    # The endpoint offers no public view of these two.
    sync_class, given = endpoint._connection_class, endpoint._kwargs  # noqa: SLF001
    if endpoint._on_connect is not None:  # noqa: SLF001
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
