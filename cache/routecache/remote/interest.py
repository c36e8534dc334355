"""Who wants to hear of which keys, and the fewest prefixes that cover them all."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from routecache import forking
from routecache.typing import Sink

_logger = logging.getLogger("routecache")

# A server says in one message whatever changed in one turn of its event loop, a million keys if a
# script deleted them; a sink is given so many at a time.
CHUNK = 1024

_OF_A_CACHE = re.compile(rb"(.+):(?:v[0-9]+:\{|tag:)", re.DOTALL)


@dataclass(slots=True, eq=False)
class _Watch:
    """One sink: `armed` between `reconnected` and `disconnected`, `pending` if it has prefixes
    that were not announced to it as listened to."""

    sink: Sink
    prefixes: tuple[bytes, ...]
    pending: bool = True
    armed: bool = False
    stale_from: float = float("inf")


@dataclass(slots=True, eq=False)
class Watches:
    """The sinks of one listener. `add` and `remove` are safe for threads; the rest is called in
    the listener's thread alone."""

    version: int = 0
    _by_sink: dict[int, _Watch] = field(default_factory=dict)
    _lock: forking.RenewedLock = field(default_factory=forking.RenewedLock)

    def __len__(self) -> int:
        return len(self._by_sink)

    def add(self, prefixes: Iterable[bytes], sink: Sink) -> None:
        """Have `sink` told of these prefixes too."""
        with self._lock:
            watch = self._by_sink.get(id(sink))
            if watch is None:
                self._by_sink[id(sink)] = _Watch(sink, minimal(prefixes))
            else:
                watch.prefixes = minimal((*watch.prefixes, *prefixes))
                watch.pending = True
            self.version += 1

    def remove(self, sink: Sink) -> None:
        """Tell `sink` nothing more."""
        with self._lock:
            self._by_sink.pop(id(sink), None)

    def prefixes(self) -> tuple[bytes, ...]:
        """Those of all sinks, in order; some may cover others."""
        with self._lock:
            return tuple(dict.fromkeys(p for w in self._by_sink.values() for p in w.prefixes))

    def invalidated(self, keys: Sequence[bytes]) -> None:
        """Tell each sink of those keys that are under its prefixes."""
        watches = self._all()
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            for watch in watches:
                mine = [key for key in chunk if key.startswith(watch.prefixes)]
                if mine:
                    _tell(watch.sink.invalidated, mine)

    def everything(self, channel: bytes | None = None) -> None:
        """Tell all sinks, or those of one channel, to drop all."""
        for watch in self._all():
            if channel is None or channel in map(channel_of, watch.prefixes):
                _tell(watch.sink.everything)

    def lost(self, at: float) -> None:
        """Tell all sinks that what changed after `at` was perhaps not told."""
        for watch in self._all():
            if watch.armed or at < watch.stale_from < float("inf"):
                watch.armed = False
                watch.stale_from = at
                _tell(watch.sink.disconnected, at)

    def listening(self, covers: Callable[[bytes], bool]) -> None:
        """Tell the sinks, unless they know, that all prefixes that `covers` says are heard."""
        for watch in self._all():
            if watch.armed and not watch.pending:
                continue
            with self._lock:  # beside `add`, which may give it another prefix now
                if not all(map(covers, watch.prefixes)):
                    continue
                watch.pending = False
            watch.armed = True
            watch.stale_from = float("inf")
            _tell(watch.sink.reconnected)

    def _all(self) -> list[_Watch]:
        return list(self._by_sink.values())


def _tell(method: Callable[..., None], *args: object) -> None:
    try:
        method(*args)
    except Exception as error:  # noqa: BLE001  # one bad sink must not deafen the others
        _logger.warning("a listener's sink raised %s", type(error).__name__)


def minimal(prefixes: Iterable[bytes]) -> tuple[bytes, ...]:
    """`prefixes` without those that another covers: the server takes none that contain another."""
    kept: list[bytes] = []
    for prefix in sorted(set(prefixes)):  # what a prefix covers comes right after it
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def cache_prefix(prefix: bytes) -> bytes:
    """The prefix of the cache whose values or tags begin with `prefix`, `P:v1:{` or `P:tag:`."""
    match = _OF_A_CACHE.fullmatch(prefix)
    return match.group(1) if match else prefix.rstrip(b":{")


def channel(cache_prefix: bytes) -> bytes:
    """Where invalidations of a cache are published if the server refuses tracking, `P:inv`."""
    return cache_prefix + b":inv"


def channel_of(prefix: bytes) -> bytes:
    """The `channel` of the cache whose values or tags begin with `prefix`."""
    return channel(cache_prefix(prefix))
