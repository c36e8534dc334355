"""Which keys of a server are asked for most, as far as it knows. No I/O.

A server under an LFU policy counts how often a key is read (OBJECT FREQ). Under any other it knows
when it was read last (OBJECT IDLETIME), and that alone misleads: a copy in L1 ends with its entry,
so that processes read a hot key early in its life and hit their copies until its end, while a key
that was asked for once was written a moment ago. What tells them apart is whether it was read again
at all: of keys with one TTL, idle time and time to live add up to the TTL for those that were
not, and to less for those that were. So the least sum comes first. A server that tells neither,
because a proxy or an access list forbids the question, still tells how long a key has to live.
None of these questions counts as a read.
"""

import heapq
from collections.abc import Sequence
from typing import Any, Final

from routecache.errors import RemoteError
from routecache.remote.transport import Command

MAX_STEPS: Final = 100
"""SCAN steps of each server at most: 100,000 keys, of whatever program."""
MAX_KEYS: Final = 10_000
"""Own keys that are compared at most."""

_FREQ, _IDLE, _TTL = "OBJECT FREQ", "OBJECT IDLETIME", "PTTL"
_ALL: Final = (_FREQ, _IDLE, _TTL)


class Hottest:
    """Collects the keys of one survey and ranks them; for one thread or task."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._asks: tuple[str, ...] = _ALL
        self._steps = 0
        # Primaries of a cluster may answer different questions, whose scores cannot be compared:
        # the better question's keys come first.
        self._found: dict[bytes, tuple[int, float]] = {}

    def begin(self) -> None:
        """A server is about to be walked."""
        self._steps, self._asks = 0, _ALL

    def goes_on(self) -> bool:
        """Whether to take one more step; counts it."""
        self._steps += 1
        return self._steps <= MAX_STEPS and len(self._found) < MAX_KEYS

    def questions(self, keys: Sequence[bytes]) -> list[Command]:
        """What to ask about `keys`."""
        return [(question, key) for key in keys for question in self._asks]

    def answered(self, keys: Sequence[bytes], replies: Sequence[Any]) -> None:
        """Take in what the server said; from then on it is asked what it answers."""
        asked, width = self._asks, len(self._asks)
        for at, key in enumerate(keys):
            told = dict(zip(asked, replies[at * width : (at + 1) * width], strict=True))
            frequency, idle, left = told.get(_FREQ), told.get(_IDLE), told.get(_TTL)
            if isinstance(frequency, int):
                self._asks, self._found[key] = (_FREQ,), (2, frequency)
            elif isinstance(left, int) and left > 0:  # else it is gone
                if isinstance(idle, int):
                    self._asks, self._found[key] = (_IDLE, _TTL), (1, -idle - left / 1000)
                else:
                    self._asks, self._found[key] = (_TTL,), (0, left)

    def ranked(self) -> list[str]:
        """The hottest keys, hottest first; those that UTF-8 cannot read are no keys of ours."""
        best = heapq.nlargest(self._most, self._found.items(), key=lambda item: item[1])
        found = []
        for key, _ in best:
            try:
                found.append(key.decode("utf-8", "surrogatepass"))
            except UnicodeDecodeError:
                continue
        return found


def refused(replies: Sequence[Any]) -> RemoteError | None:
    """The failure if the whole round trip failed, not just some questions."""
    if replies and all(isinstance(reply, RemoteError) for reply in replies):
        return replies[0]  # type: ignore[no-any-return]
    return None
