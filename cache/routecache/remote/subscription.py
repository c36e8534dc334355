"""Connections that a server tells of changed keys, as far as one primary is concerned.

redis-py connects, with its TLS and credentials, and shakes hands. Then its socket is read here
without blocking, so that one thread waits for any number of primaries at once.
"""

import functools
import socket
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import hiredis
import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from routecache.errors import RemoteError
from routecache.remote.deadline import DeadlineConnection, with_deadline
from routecache.remote.endpoint import CONNECT_TIMEOUT, Endpoint
from routecache.remote.feed import Feed
from routecache.remote.heartbeat import Beats, Heart, tag_for
from routecache.remote.interest import channel_of, minimal
from routecache.remote.messages import INVALIDATE, LEAVING

Mode: TypeAlias = Literal["tracking", "pubsub"]
Address: TypeAlias = tuple[Any, ...]

# The command connection's answers that say that this is no longer the primary to listen to.
_ELSEWHERE = {"MOVED", "ASK", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "NOAUTH"}


@dataclass(frozen=True, slots=True, eq=False)
class Primary:
    """One primary: a redis-py connection class and its options, as a redis-py pool has them.

    `owner` is kept, since Sentinel's connections know their pool only weakly.
    """

    connection_class: type
    options: Mapping[str, Any]
    owner: object = None

    @property
    def address(self) -> Address:
        """What tells this primary from another."""
        return tuple(self.options.get(name) for name in ("host", "port", "path"))


def primary_of(client: "redis.Redis") -> Primary:
    """The server that `client` is configured for; its own connections are not used."""
    pool = client.connection_pool
    return Primary(pool.connection_class, pool.connection_kwargs, client)


def primary_of_endpoint(endpoint: Endpoint) -> Primary:
    """The server of `endpoint`, without a reference to the endpoint itself."""
    options = endpoint._kwargs | {"redis_connect_func": endpoint._on_connect}  # noqa: SLF001
    return Primary(endpoint._connection_class, options)  # noqa: SLF001


class _RawSocket:
    """Mixin for redis-py connection classes that keeps the socket itself."""

    raw: socket.socket

    def _connect(self) -> socket.socket:
        self.raw = super()._connect()  # type: ignore[misc]  # the redis-py class in the MRO has it
        return self.raw


@functools.lru_cache(maxsize=8)
def _raw_class(connection_class: type) -> type:
    base = next(c for c in connection_class.__mro__ if not issubclass(c, DeadlineConnection))
    return with_deadline(type(f"Raw{base.__name__}", (_RawSocket, base), {}))


def _connect(primary: Primary) -> Any:
    """A connection that has shaken hands; all its I/O ends CONNECT_TIMEOUT seconds from now."""
    # Left out: the server is not asked for its health, and nothing is tried twice.
    options = {
        name: value
        for name, value in primary.options.items()
        if name not in {"retry_on_timeout", "retry_on_error", "health_check_interval", "timeout"}
    } | {
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": CONNECT_TIMEOUT,
        "protocol": 2,
        "decode_responses": False,
    }
    connection = _raw_class(primary.connection_class)(**options)
    now = time.monotonic()
    connection.set_deadline(now + CONNECT_TIMEOUT, now)
    connection.connect()
    return connection


class Link:
    """One primary that is listened to: one connection for its messages, one for heartbeats.

    `proved` once a heartbeat has come back, and not before does anything depend on it;
    `leaving` once another link has taken its place.
    """

    def __init__(
        self,
        primary: Primary,
        mode: Mode,
        topics: tuple[bytes, ...],
        events: Any,
        commands: Any,
        heart: Heart,
        tag: bytes,
        beats: Beats,
    ) -> None:
        self.primary = primary
        self.mode: Mode = mode
        self.events = Feed(events)
        self.commands = Feed(commands)
        self.beats = beats
        self.proved = False
        self.leaving = False
        self.give_up_at = float("inf")
        self._topics = topics  # prefixes, or channels
        self._heart = heart
        self._tag = tag
        self._unanswered: deque[bytes] = deque()

    def subscribe(self) -> None:
        """Begin to listen; the first heartbeat that comes back says that it works."""
        channels = (INVALIDATE,) if self.mode == "tracking" else self._topics
        self.events.send("SUBSCRIBE", *channels)

    def covers(self, prefix: bytes) -> bool:
        """Whether changes under `prefix` are heard."""
        if self.mode == "tracking":
            return prefix.startswith(self._topics)
        return channel_of(prefix) in self._topics

    def beat(self, now: float, life: float) -> None:
        """Send a heartbeat that lives for `life` seconds."""
        key = self._heart.beat(self._tag)
        self._unanswered.append(key)
        self.beats.sent(key, now)
        if self.mode == "tracking":
            self.commands.send("SET", key, b"", "PX", max(1, int(life * 1000)))
        else:
            self.commands.send("PUBLISH", self._heart.prefix, key)

    def answered(self, reply: object, now: float) -> str | None:
        """Take in the reply to a heartbeat; gives the code of an error that leaves it unwritten.

        A server that answers but does not write (it is full, or the user may not) is asked for
        a PONG on the connection that it tells of changes.
        """
        key = self._unanswered.popleft() if self._unanswered else b""
        if not isinstance(reply, hiredis.ReplyError):
            return None
        code = str(reply).partition(" ")[0]
        refused = self.beats.refused(key)
        if code in _ELSEWHERE:
            self.commands.broken = True
        elif refused:
            self.beats.sent(key, now, probe=False)
            self.events.send("PING", key)
            return code
        return None

    def leave(self, now: float, patience: float) -> None:
        """Have what is under way delivered: the server answers PING after it."""
        self.leaving = True
        self.give_up_at = now + patience
        self.events.send("PING", LEAVING)

    @property
    def broken(self) -> bool:
        """Whether either connection has failed."""
        return self.events.broken or self.commands.broken

    def close(self) -> None:
        """Close both connections."""
        self.events.close()
        self.commands.close()


def open_link(
    primary: Primary, watched: tuple[bytes, ...], heart: Heart, beats: Beats, *, may_track: bool
) -> Link:
    """A link that is subscribed and not yet proved. Blocks, within a bound but for the DNS.

    watched: the prefixes to listen to, beside the heartbeats.
    may_track: whether to ask for tracking at all, before our own channels.
    Raises what redis-py raises, or RemoteError.
    """
    opened = []
    try:
        events = _connect(primary)
        opened.append(events)
        mode: Mode = "tracking"
        topics = minimal((*watched, heart.prefix))
        if not may_track or not _track(events, topics):
            mode = "pubsub"
            topics = (*sorted(set(map(channel_of, watched))), heart.prefix)
        commands = _connect(primary)
        opened.append(commands)
        tag = _tag(commands, heart) if mode == "tracking" else b"0"
        link = Link(primary, mode, topics, events, commands, heart, tag, beats)
        link.subscribe()
        return link
    except BaseException:
        for connection in opened:
            connection.disconnect()
        raise


def _track(connection: Any, prefixes: tuple[bytes, ...]) -> bool:
    """Ask for invalidations on this very connection; False if the server refuses that."""
    arguments = [part for prefix in prefixes for part in ("PREFIX", prefix)]
    try:
        connection.send_command("CLIENT", "ID")
        number = connection.read_response()
        connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *arguments)
        connection.read_response()
    except exceptions.NoPermissionError:
        return False
    except exceptions.ResponseError as error:
        # "BUSY ..." or "MASTERDOWN ..." will pass; "unknown command" or "not allowed" will not.
        if type(error) is exceptions.ResponseError and not str(error).split(" ")[0].isupper():
            return False
        raise
    return True


def _tag(connection: Any, heart: Heart) -> bytes:
    """The hash tag that brings heartbeats to this very node, if it is one of a cluster."""
    try:
        connection.send_command("SET", heart.beat(b"0"), b"", "PX", 100)
        connection.read_response()
    except exceptions.MovedError:
        connection.send_command("CLUSTER", "NODES")
        tag = tag_for(connection.read_response())
        if tag is None:
            raise RemoteError("cluster") from None
        return tag
    except exceptions.ResponseError:
        pass  # the first heartbeat will meet it again
    return b"0"
