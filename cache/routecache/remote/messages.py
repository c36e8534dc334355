"""What a listener's connection says, and what writers say themselves where a server does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

INVALIDATE = b"__redis__:invalidate"
LEAVING = b"leaving"

_decoder = msgspec.msgpack.Decoder(list[bytes] | None)


@dataclass(frozen=True, slots=True)
class Message:
    """Changed keys (None: all may have changed, of `channel` or of the server) and heartbeats."""

    keys: Sequence[bytes] | None = ()
    beats: Sequence[bytes] = ()
    channel: bytes | None = None


def message_for(keys: Sequence[bytes] | None) -> bytes:
    """The payload that tells others of changed wire keys, or with None that all have changed.

    For PUBLISH to the cache's `channel`, where `Listener.publishes` says that writers must.
    """
    return msgspec.msgpack.encode(None if keys is None else list(keys))


def read(reply: Any, heart: bytes) -> Message:
    """The meaning of one reply on a subscribed RESP2 connection.

    heart: how the keys of this process's heartbeats begin, and the channel that they come over.
    """
    if not isinstance(reply, list) or len(reply) < 2:
        return Message()
    if reply[0] == b"pong":
        return Message(beats=(reply[1],))
    if reply[0] != b"message":
        return Message()  # the confirmation of a subscription
    _, channel, payload = reply
    if channel == INVALIDATE:
        if payload is None:
            return Message(keys=None)
        beats = [key for key in payload if key.startswith(heart)]
        if not beats:
            return Message(keys=payload)
        return Message([key for key in payload if not key.startswith(heart)], beats)
    if channel == heart:
        return Message(beats=(payload,))
    try:
        return Message(_decoder.decode(payload), channel=channel)
    except msgspec.MsgspecError:
        return Message(None, channel=channel)  # of a later release, or garbage: something changed
