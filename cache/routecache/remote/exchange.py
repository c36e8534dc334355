"""One round trip to one server: commands out, replies in, errors in their places."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from routecache.errors import RemoteError
from routecache.remote.node import Node
from routecache.remote.pool import Connection
from routecache.remote.translate import translate
from routecache.remote.transport import Command


class Sent(NamedTuple):
    """Commands on their way, whose replies `receive` reads or `drop` forgoes."""

    node: Node
    connection: Connection
    sent_at: float
    replies: int
    asked_time: bool


def send(node: Node, began: float, deadline: float, commands: Sequence[Command]) -> Sent:
    """Send `commands` over a connection of the caller's own.

    `began` is when the whole call did, in monotonic seconds as `deadline` is. Raises RemoteError
    or what redis-py raises; nothing is left behind then.
    """
    connection = node.pool.acquire(deadline, began)
    now = time.monotonic()
    if now >= deadline:  # it went by in the queue
        node.pool.release(connection)
        raise RemoteError("pool")
    asks_time = node.clock.due(now)
    sent = Sent(node, connection, now, len(commands), asks_time)
    try:
        if asks_time:
            commands = (*commands, ("TIME",))
        if len(commands) == 1:
            connection.send_command(*commands[0])
        else:
            connection.send_packed_command(connection.pack_commands(commands))
    except BaseException as error:
        drop(sent, error)
        raise
    return sent


def receive(sent: Sent) -> list[Any]:
    """The replies; an error reply is a RemoteError in its place.

    Raises what redis-py raises, or RemoteError, if not all could be read.
    """
    read = sent.connection.read_response
    replies: list[Any] = []
    try:
        for _ in range(sent.replies):
            try:
                replies.append(read())
            except redis.ResponseError as error:
                replies.append(translate(error))  # the other replies must be read all the same
        if sent.asked_time:
            with contextlib.suppress(redis.ResponseError):
                reply = read()
                sent.node.clock.told(sent.sent_at, time.monotonic(), reply)
    except BaseException as error:
        drop(sent, error)
        raise
    sent.node.pool.release(sent.connection)
    return replies


def drop(sent: Sent, error: BaseException) -> None:
    """Forgo the replies because of `error`."""
    sent.node.pool.discard(sent.connection)
    if isinstance(error, redis.ConnectionError):
        sent.node.pool.drop_all()  # one of their kind has just turned out to be dead
