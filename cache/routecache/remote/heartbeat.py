"""Heartbeats: writes to the server whose own invalidation must come back. No I/O."""

from collections.abc import Iterator
from itertools import count

from redis.crc import key_slot

from routecache import keys


class Heart:
    """Where the heartbeats of one process lie, and their names.

    Each beat has a key of its own, `P:hb:<process>:{<tag>}:<n>`, so that the expiry of one, which
    is pushed too, is not taken for another. On a cluster the tag brings it to a slot of the
    primary that it is to come back from.
    """

    def __init__(self, cache_prefix: bytes, process: str) -> None:
        self.prefix = keys.heartbeat_key(cache_prefix.decode(), process).encode()
        self._numbers = count(1)

    def beat(self, tag: bytes) -> bytes:
        """The key of the next beat."""
        return b"%s:{%s}:%d" % (self.prefix, tag, next(self._numbers))


class Beats:
    """The beats of one connection: which are on their way, and until when nothing was missed.

    What was written before a beat is told before it, since both come over one connection. So
    `verified`, when the latest beat heard was sent, is until when nothing can have been missed.
    All times are seconds of the listener's timer.
    """

    def __init__(self, interval: float, lost_after: float, now: float) -> None:
        self.due_at = now
        self.verified = now
        self._interval = interval
        self._lost_after = lost_after
        self._under_way: dict[bytes, tuple[float, bool]] = {}  # at most lost_after / interval

    def __len__(self) -> int:
        """How many probes are under way."""
        return sum(probe for _, probe in self._under_way.values())

    @property
    def lost_at(self) -> float:
        """When the oldest beat under way is lost; infinite if there is none."""
        return next((sent for sent, _ in self._under_way.values()), float("inf")) + self._lost_after

    def under_way(self, key: bytes) -> bool:
        """Whether this beat has neither come back nor been lost."""
        return key in self._under_way

    def give_up(self) -> None:
        """The connection is closed: nothing comes back any more."""
        self._under_way.clear()

    def sent(self, key: bytes, now: float, *, probe: bool = True) -> None:
        """A beat was sent: a probe, or a PING in its place."""
        self._under_way[key] = (now, probe)
        self.due_at = now + self._interval

    def refused(self, key: bytes) -> bool:
        """The server refused to write a beat, which says nothing about what it tells."""
        return self._under_way.pop(key, None) is not None

    def heard(self, key: bytes, now: float) -> float | None:
        """A beat may have come back: its lag in seconds if it is a probe that was under way."""
        sent, probe = self._under_way.pop(key, (None, False))
        if sent is None:
            return None  # expired, or of an earlier connection
        self.verified = max(self.verified, sent)
        return now - sent if probe else None


def tag_for(cluster_nodes: bytes) -> bytes | None:
    """A hash tag for a slot of the node that answered CLUSTER NODES so; None if it has none."""
    for line in cluster_nodes.splitlines():
        fields = line.split()
        if len(fields) > 8 and b"myself" in fields[2]:
            ranges = list(_ranges(fields[8:]))
            if ranges:
                return next(
                    tag
                    for tag in (b"%x" % n for n in count())
                    if any(low <= key_slot(tag) <= high for low, high in ranges)
                )
    return None


def _ranges(fields: list[bytes]) -> Iterator[tuple[int, int]]:
    for entry in fields:
        if not entry.startswith(b"["):  # a slot that is being moved
            low, _, high = entry.partition(b"-")
            yield int(low), int(high or low)
