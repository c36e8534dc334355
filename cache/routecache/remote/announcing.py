"""Between a cache and the listener: who hears, and who must be told by ourselves."""

import weakref
from collections.abc import Sequence
from typing import Protocol

from routecache.keys import all_changed
from routecache.remote.interest import cache_prefix
from routecache.remote.listener import Listener, message_for
from routecache.remote.transport import Command
from routecache.typing import RemoteState, Sink


class WeakSink:
    """Hands on to `sink` for as long as that lives: a listener must not keep a dropped cache."""

    def __init__(self, sink: Sink) -> None:
        self._sink = weakref.ref(sink)

    def invalidated(self, keys: Sequence[bytes]) -> None:
        """See `Sink`."""
        sink = self._sink()
        if sink is not None:
            sink.invalidated(keys)

    def disconnected(self, at: float) -> None:
        """See `Sink`."""
        sink = self._sink()
        if sink is not None:
            sink.disconnected(at)

    def reconnected(self) -> None:
        """See `Sink`."""
        sink = self._sink()
        if sink is not None:
            sink.reconnected()

    def everything(self) -> None:
        """See `Sink`."""
        sink = self._sink()
        if sink is not None:
            sink.everything()


class Announcer:
    """Where the server does not tell listeners of writes: the commands by which writers do.

    `apart` says that a message must not travel together with the write of which it tells: in a
    cluster it takes another way, on which it may overtake the write.
    """

    def __init__(self, listener: Listener, prefix: bytes, *, apart: bool) -> None:
        self.apart = apart
        self._listener = listener
        self._channel = cache_prefix(prefix) + b":inv"
        self._all_changed = all_changed(prefix.decode()).encode()

    def ensure(self) -> None:
        """Have somebody listen, in a forked child too."""
        self._listener.ensure()

    def commands(self, changed: Sequence[bytes]) -> list[Command]:
        """What tells of a write of the keys `changed`."""
        if not changed or not self._listener.publishes:
            return []
        return [("PUBLISH", self._channel, message_for(changed))]

    def all_changed(self) -> list[Command]:
        """What tells that any key of the cache may have changed.

        A sweep deletes what L2 holds, and a server tells of no other key; a copy that L2 lacks may
        still be in the L1 of a process that loaded it while it could not reach L2.
        """
        tracked: Command = ("SET", self._all_changed, b"", "PX", 1)
        if not self._listener.publishes:
            return [tracked]
        return [tracked, ("PUBLISH", self._channel, message_for(None))]


class Announcing(RemoteState, Protocol):
    """A remote that knows whom to tell, and the name of the cache that it belongs to."""

    announcer: Announcer | None
    cache: str
