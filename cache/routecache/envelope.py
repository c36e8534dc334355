"""The wire format, version 1: what stands in Redis under `P:v1:{key}`.

A MessagePack array, so that a field can be appended with a default and both releases of a rolling
upgrade read each other: older readers ignore trailing fields, newer ones fill the missing. A
change that is not of this kind needs a new WIRE_VERSION in the key (keys.py).

Times are microseconds of the Redis server's own clock, as each process has learnt it from TIME,
never of the writer's host: hosts may differ by minutes and the remaining time must not.
"""

from typing import Annotated

import msgspec

from routecache.errors import DecodeError


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One value on the wire.

    `created` is when its load or its `set` began and `expires` when it ends, both in server
    microseconds and both rounded so that the entry is rather older than it is; `codec` is the
    name of the serializer that wrote `payload`. `none` is a remembered "there is none", `load_us`
    the microseconds that its load took, `writer` the release that wrote it.
    """

    created: int
    expires: int
    codec: str
    payload: bytes
    tags: tuple[str, ...] = ()
    none: bool = False
    load_us: Annotated[int, msgspec.Meta(ge=0)] = 0
    writer: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """The bytes that are stored in Redis."""
    return _encoder.encode(envelope)


def read(data: bytes) -> Envelope:
    """Read what `encode` wrote, by this release or another of the same wire version.

    Raises DecodeError for anything else; nothing in `data` is ever executed.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError("not an envelope of wire version 1") from error


def decode(data: bytes, *, codec: str) -> Envelope:
    """`read`, and DecodeError for a payload of another serializer than `codec` too."""
    found = read(data)
    if found.codec != codec:
        raise DecodeError("written by another serializer")
    return found
