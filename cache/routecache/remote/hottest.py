"""Which keys of a server are asked for most, as far as it knows. No I/O.

A server under an LFU policy counts how often a key is read (OBJECT FREQ); under any other it knows
when it was read last (OBJECT IDLETIME). One that tells neither, because a proxy or an access list
forbids the question, still tells how long a key has to live: what has longest left is worth most to
a cache that is being filled. None of these questions counts as a read.
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

_QUESTIONS: Final = ("OBJECT FREQ", "OBJECT IDLETIME", "PTTL")
_SIGNS: Final = (1, -1, 1)  # the greater the reply the hotter, but for idle seconds


class Hottest:
    """Collects the keys of one survey and ranks them; for one thread or task."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._asks: tuple[int, ...] = (0, 1, 2)
        self._steps = 0
        # Servers of a cluster may answer different questions, so scores are kept apart by question.
        self._found: dict[bytes, tuple[int, int]] = {}

    def begin(self) -> None:
        """A server is about to be walked."""
        self._steps, self._asks = 0, (0, 1, 2)

    def goes_on(self) -> bool:
        """Whether to take one more step; counts it."""
        self._steps += 1
        return self._steps <= MAX_STEPS and len(self._found) < MAX_KEYS

    def questions(self, keys: Sequence[bytes]) -> list[Command]:
        """What to ask about `keys`."""
        return [(_QUESTIONS[i], key) for key in keys for i in self._asks]

    def answered(self, keys: Sequence[bytes], replies: Sequence[Any]) -> None:
        """Take in what the server said."""
        width = len(self._asks)
        for at, key in enumerate(keys):
            told = replies[at * width : (at + 1) * width]
            for question, reply in zip(self._asks, told, strict=True):
                if isinstance(reply, int):
                    # What one question answers, the others need not.
                    self._asks = (question,) if len(self._asks) > 1 else self._asks
                    self._found[key] = (-question, reply * _SIGNS[question])
                    break
            if len(self._asks) != width:
                self._found.update(self._rest(keys[at + 1 :], replies[(at + 1) * width :], width))
                return

    def _rest(
        self, keys: Sequence[bytes], replies: Sequence[Any], width: int
    ) -> dict[bytes, tuple[int, int]]:
        (question,) = self._asks
        told = zip(keys, replies[question::width], strict=True)
        sign = _SIGNS[question]
        return {key: (-question, reply * sign) for key, reply in told if isinstance(reply, int)}

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
