"""How keys are warmed: read and loaded before anybody asks for them, so counted as no request."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Literal, TypeAlias

from routecache.tiered.operations import Read
from routecache.tiered.reading import Reading

Filled: TypeAlias = Literal["l1", "l2", "missing", "unavailable"]
"""Where a key's value was found, that no tier has it, or that L2 could not be asked."""


class Warming(Reading):
    """The look-ups of a warm-up. Their loads go by the same leases and fences as anybody's."""

    def begin_warming(self, wanted: Sequence[str], *, loads: bool = False) -> list[Read]:
        """Open the look-ups; `loads` says that a load follows if L2 does not answer."""
        reads = []
        for key in wanted:
            read = self.new_read(key)
            read.loads = read.background = loads
            with self.local.lock:
                entry = None if loads or self.deaf else self.local.peek(key, read.started)
                if entry is not None and read.started < entry.expires_at:
                    read.answered("l1", entry.value)
                else:
                    read.fence = self._fences.open(key)
            reads.append(read)
        return reads

    def filled(self, reads: Sequence[Read]) -> list[Filled]:
        """What became of the look-ups; what L2 answered is promoted."""
        return [self._filled(read) for read in reads]

    def _filled(self, read: Read) -> Filled:
        self.settle(read)
        if read.answer is not None:
            return read.answer
        return "unavailable" if read.failure == "l2_unavailable" else "missing"

    def end_warming(self, reads: Sequence[Read]) -> None:
        """Close the look-ups."""
        for read in reads:
            self.forgo(read)

    # The echo: a server tells a process of its own writes, too, which costs the copy in L1. Who
    # waits for it before he reads the key again keeps the copy.

    def expect(self, key: str) -> "Future[None] | None":
        """A future that ends when the next write of `key` is heard; None if nobody listens."""
        if not self.hears:
            return None
        future: Future[None] = Future()
        with self.local.lock:
            self._news.setdefault(key, []).append(future)
        return future

    def expect_no_more(self, key: str, future: "Future[None]") -> None:
        """Nobody waits for `future` any more."""
        with self.local.lock:
            waiting = self._news.get(key, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._news.pop(key, None)
