"""Fences: what keeps a value that was read before an invalidation out of L1 after it.

Between reading L2 (or loading) and storing the result in L1, another thread may delete or set the
key. So every read, load and write opens a fence on its key, every delete and set breaks the open
ones, and a result is stored only while its fence stands. Deletes and sets break twice: before
their L2 step, so that an older load does not write after it, and together with their L1 step, so
that a read of the old L2 value does not promote it afterwards.

Two overlapping sets of one key may reach L2 in one order and L1 in the other. Neither can know,
so both leave L1 without the key and the next look-up takes what L2 holds.
"""

from collections import OrderedDict
from collections.abc import Iterable


class Fence:
    """One open read, load or write of a key."""

    __slots__ = ("key", "stands", "writes")

    def __init__(self, key: str, writes: bool) -> None:
        self.key = key
        self.writes = writes
        self.stands = True


class Fences:
    """The open fences of one cache; bounded by the calls in flight. The caller holds L1's lock."""

    def __init__(self) -> None:
        self._open: dict[str, set[Fence]] = {}  # sets: thousands of tasks may wait for one key

    def open(self, key: str, *, writes: bool = False) -> Fence:
        """Open a fence on `key`; a write breaks all others and falls itself if one is a write."""
        fence = Fence(key, writes)
        others = self._open.setdefault(key, set())
        if writes:
            fence.stands = not any(other.writes for other in others)
            self._break(others)
        others.add(fence)
        return fence

    def close(self, fence: Fence) -> bool:
        """Close `fence`; True if what it guards may be stored."""
        others = self._open.get(fence.key, set())
        others.discard(fence)
        if not others:
            self._open.pop(fence.key, None)
        if fence.writes:
            fence.stands = fence.stands and not any(other.writes for other in others)
            self._break(others)
        return fence.stands

    def break_key(self, key: str) -> None:
        """Break every fence that is open on `key`."""
        self._break(self._open.get(key, ()))

    def break_all(self) -> None:
        """Break every open fence."""
        for fences in self._open.values():
            self._break(fences)

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    @staticmethod
    def _break(fences: Iterable[Fence]) -> None:
        for fence in fences:
            fence.stands = False


class TagTimes:
    """When tags were last invalidated by this process, bounded. The caller holds L1's lock.

    The tag that was not invalidated for longest is pushed out by the bound and leaves its times as
    the floor for all tags: what began before it is treated as invalidated, which costs a look-up
    and is never wrong. Neither a tag's times nor the floor ever go back, whatever the clocks do.
    """

    LIMIT = 1024

    def __init__(self) -> None:
        self._times: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._floor: tuple[float, int] = (float("-inf"), 0)

    def invalidate(self, tag: str, now: float, server_time: int) -> None:
        """Remember that `tag` was invalidated at `now` and at the server's `server_time`."""
        self._times[tag] = _later(self._times.get(tag, self._floor), (now, server_time))
        self._times.move_to_end(tag)
        if len(self._times) > self.LIMIT:
            self._floor = _later(self._floor, self._times.popitem(last=False)[1])

    def began_before(self, tags: tuple[str, ...], began: float) -> bool:
        """Whether something that began at `began` is older than an invalidation of its tags."""
        return any(began <= self._times.get(tag, self._floor)[0] for tag in tags)

    def created_before(self, tags: tuple[str, ...], created: int) -> bool:
        """The same for an entry created at the server's `created`, in microseconds."""
        return any(created <= self._times.get(tag, self._floor)[1] for tag in tags)


def _later(a: tuple[float, int], b: tuple[float, int]) -> tuple[float, int]:
    return max(a[0], b[0]), max(a[1], b[1])
