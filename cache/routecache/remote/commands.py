"""What the cache asks of L2, as Redis commands, and what their replies mean. No I/O.

Every function returns a `Request`; the sync and the asyncio remote send it and hand the replies to
`Request.read`, so that neither knows a command.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from routecache.errors import RemoteError
from routecache.remote import scripts
from routecache.remote.announcing import Announcer
from routecache.remote.transport import Command
from routecache.typing import Leased, LeaseWanted, Operation, Seen, WireItem

SCAN_COUNT = 1000
SCAN_STEP_TIMEOUT = 1.0  # seconds, for each step of a clear

# What stands for a value of a foreign type under our key: no serializer can read it either, so it
# is an undecodable payload, and the next fill overwrites it.
_FOREIGN = b""


@dataclass(frozen=True, slots=True)
class Request:
    """Commands that travel together; `parse` turns one reply into what the cache wants.

    `changed` are the keys that are written or deleted.
    """

    operation: Operation
    commands: Sequence[Command]
    parse: Callable[[Any], Any]
    changed: Sequence[bytes] = ()

    def read(self, replies: Sequence[Any]) -> list[Any]:
        """The replies as results; a RemoteError stays in the place of what failed."""
        return [self._result(reply) for reply in replies[: len(self.commands)]]

    def _result(self, reply: Any) -> Any:
        if isinstance(reply, RemoteError):
            if reply.kind == "wrongtype":
                return self.parse(_FOREIGN) if self.operation == "get" else RemoteError("other")
            return RemoteError("other") if reply.kind == "noscript" else reply
        return self.parse(reply)


def in_full(
    request: Request, told: Sequence[Command], replies: Sequence[Any]
) -> tuple[list[int], list[Command]]:
    """What to send again to a server that did not know a script, and where its replies belong.

    `told` is what was sent, and ends with what `announced` added. That is sent again, too: when
    other processes were told for the first time, nothing had changed yet.
    """
    places = [
        i
        for i, reply in enumerate(replies)
        if isinstance(reply, RemoteError) and reply.kind == "noscript"
    ]
    if not places:
        return [], []
    again = [scripts.in_full(told[i]) for i in places]
    return places, [*again, *told[len(request.commands) :]]


def announced(request: Request, announcer: Announcer | None) -> Sequence[Command]:
    """The request's commands, and those that tell other processes of it where nobody else does.

    Those that travel apart, when the replies are here, are `afterwards`.
    """
    if announcer is None:
        return request.commands
    announcer.ensure()
    if not request.changed or announcer.apart:
        return request.commands
    return [*request.commands, *announcer.commands(request.changed)]


def afterwards(
    request: Request, announcer: Announcer | None, replies: Sequence[Any]
) -> Sequence[Command]:
    """What tells other processes of what the server has acknowledged, where that travels apart."""
    if announcer is None or not announcer.apart:
        return ()
    return announcer.commands(
        [
            k
            for k, r in zip(request.changed, replies, strict=False)
            if not isinstance(r, RemoteError)
        ]
    )


def untold(results: Sequence[Any], said: Sequence[Any]) -> list[Any]:
    """`results`, or the failure to tell others of them, upon which the cache has L2 forget them."""
    failure = not_said(said)
    return list(results) if failure is None else [failure] * len(results)


def not_said(said: Sequence[Any]) -> RemoteError | None:
    """Why others were not told; None if they were.

    Nor if this user may not publish, which the listener's log tells: it lasts, and says nothing of
    the write.
    """
    failures = (reply for reply in said if isinstance(reply, RemoteError))
    return next((failure for failure in failures if failure.kind != "auth"), None)


def encoded(key: str) -> bytes:
    """`key` as bytes; one that UTF-8 cannot carry must not cost a connection."""
    return key.encode("utf-8", "surrogatepass")


def get(keys: Sequence[str]) -> Request:
    """Payload or None of each key. GETs, because MGET answers nil for a key of a foreign type."""
    return Request("get", [("GET", encoded(key)) for key in keys], _same)


def lease(wanted: Sequence[LeaseWanted], life_ms: int) -> Request:
    """Payload and token (`Leased`) of each key."""
    return Request(
        "get",
        [
            scripts.lease(
                (encoded(w.value_key), encoded(w.lease_key)),
                w.token,
                life_ms,
                "1" if w.beside_value else "0",
            )
            for w in wanted
        ],
        _leased,
    )


def look(keys: Sequence[tuple[str, str]]) -> Request:
    """What stands (`Seen`) under each (value key, lease key)."""
    looks = [scripts.look((encoded(value), encoded(lease_))) for value, lease_ in keys]
    return Request("get", looks, _seen)


def store(items: Sequence[WireItem]) -> Request:
    """Store each item: True, or False if its token no longer stands, or "duplicate"."""
    commands = []
    for item in items:
        keys = encoded(item.value_key), encoded(item.lease_key)
        if item.token is None:
            commands.append(scripts.set_value(keys, item.payload, item.ttl_ms))
        else:
            commands.append(scripts.fill(keys, item.payload, item.ttl_ms, _shown(item.token)))
    return Request("set", commands, _stored, [encoded(item.value_key) for item in items])


def delete(keys: Sequence[tuple[str, str]]) -> Request:
    """Whether each (value key, lease key) held a value; both are gone afterwards."""
    return Request(
        "delete",
        [scripts.delete((encoded(value), encoded(lease_))) for value, lease_ in keys],
        bool,
        [encoded(value) for value, _ in keys],
    )


def renew(leases: Sequence[tuple[str, str]], life_ms: int) -> Request:
    """Whether each (lease key, token) still stood; a life of 0 ms ends it."""
    return Request(
        "set",
        [scripts.renew((encoded(key),), _shown(token), life_ms) for key, token in leases],
        bool,
    )


def invalidate_tags(keys: Sequence[str], ttl_ms: int) -> Request:
    """The server's time, in microseconds, that now stands under each tag key."""
    tag_keys = [encoded(key) for key in keys]
    invalidations = [scripts.invalidate_tag((key,), ttl_ms) for key in tag_keys]
    return Request("tags", invalidations, int, tag_keys)


def _same(reply: Any) -> Any:
    return reply


def _leased(reply: Any) -> Leased:
    if reply == _FOREIGN:
        return Leased(_FOREIGN, None)
    payload, token = reply if len(reply) == 2 else (reply[0], None)
    return Leased(payload, _token(token))


def _seen(reply: Any) -> Seen:
    payload, ttl_ms, token, lease_ms = reply
    return Seen(payload, ttl_ms, token.decode(errors="replace") if token else None, lease_ms)


def _token(reply: bytes | None) -> str | None:
    # Another program may have written anything there; sent back, it is the same bytes again.
    return reply.decode("utf-8", "surrogateescape") if reply else None


def _shown(token: str) -> bytes:
    return token.encode("utf-8", "surrogateescape")


def _stored(reply: Any) -> bool | str:
    return "duplicate" if reply == 2 else bool(reply)
