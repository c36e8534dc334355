"""The primaries, the links to them, and the sockets that one thread waits for."""

import contextlib
import selectors
import socket
from typing import Literal

from routecache.remote.feed import Feed
from routecache.remote.subscription import Address, Link, Primary


class Roster:
    """Which primaries there are and how they are listened to. Belongs to one thread.

    A link that was opened is a candidate while its first heartbeat is under way. Then it is one of
    `links`, and what it hears is passed on. When another takes its place it leaves, once the
    server has said that nothing for it is left.
    """

    def __init__(self) -> None:
        self.primaries: dict[Address, Primary] | None = None
        self.links: dict[Address, Link] = {}
        self.candidates: dict[Address, Link] = {}
        self.leaving: list[Link] = []

    def is_complete(self) -> bool:
        """Whether there are primaries, and each is listened to."""
        return bool(self.primaries) and (self.primaries or {}).keys() <= self.links.keys()

    def covers(self, prefix: bytes) -> bool:
        """Whether changes under `prefix` are heard from all primaries that have a link."""
        return all(link.covers(prefix) for link in self.links.values())

    def all(self) -> list[Link]:
        """Every link that is open."""
        return [*self.links.values(), *self.candidates.values(), *self.leaving]

    def prove(self, link: Link) -> Link | None:
        """A candidate's first heartbeat has come back; gives the link whose place it takes."""
        address = link.primary.address
        self.candidates.pop(address, None)
        replaced = self.links.get(address)
        self.links[address] = link
        link.proved = True
        return replaced

    def remove(self, link: Link) -> Literal["candidate", "heard", "leaving", "gone"]:
        """Take `link` off; gives what it was."""
        address = link.primary.address
        if link in self.leaving:
            self.leaving.remove(link)
            return "leaving"
        if self.links.get(address) is link:
            del self.links[address]
            return "heard"
        if self.candidates.get(address) is link:
            del self.candidates[address]
            return "candidate"
        return "gone"


class Waiter:
    """Waits for all connections of a listener at once, or until somebody rings.

    `ring` is safe for threads. A forked child only closes it: what it waited for would otherwise
    be taken from its parent, with which it shares the selector's state in the kernel.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._again: list[tuple[Link, Feed]] = []

    def ring(self) -> None:
        """End the present wait, or the next."""
        with contextlib.suppress(OSError):  # it rings already, or nobody waits any more
            self._bell.send(b"!")

    def add(self, link: Link) -> None:
        """Wait for what `link` has to say, too."""
        for feed in (link.events, link.commands):
            self._selector.register(feed, selectors.EVENT_READ, (link, feed))

    def remove(self, link: Link) -> None:
        """Do not wait for `link` any more; to be called before it is closed."""
        for feed in (link.events, link.commands):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(feed)
        self._again = [(other, feed) for other, feed in self._again if other is not link]

    def again(self, link: Link, feed: Feed) -> None:
        """`feed` has been read in part: give it at the next wait, and do not wait."""
        self._again.append((link, feed))

    def wait(self, seconds: float) -> list[tuple[Link, Feed]]:
        """What can be read, at the latest after `seconds`."""
        ready, self._again = self._again, []
        for key, _ in self._selector.select(0 if ready else seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._ear.recv(4096)
            elif key.data not in ready:
                ready.append(key.data)
        return ready

    def close(self) -> None:
        """Wait no more. The links are closed by those who opened them."""
        self._selector.close()
        self._bell.close()
        self._ear.close()
