"""The state of one cache, and the small questions that all of its parts ask. No I/O."""

import copy
import functools
import importlib.metadata
import itertools
import random
import secrets
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from routecache import forking, keys
from routecache.errors import CacheClosedError, ConfigurationError, KeyTypeError, RemoteError
from routecache.local import Entry, L1Policy, LocalTier
from routecache.outcomes import Remembered, Unstored, is_none
from routecache.policy import Policy, check_ttl
from routecache.sizing import WhatIf
from routecache.stats import CacheStats
from routecache.tiered.books import Books
from routecache.tiered.fences import Fences, TagTimes
from routecache.tiered.flights import Flights
from routecache.tiered.operations import Read
from routecache.tiered.recovery import Recovery
from routecache.typing import MISS, Operation, Serializer, Timer

# A tag key must outlive every entry that it invalidates, also those of other processes.
TAG_TTL = 24 * 3600.0

LEASE_MS = 10_000
"""Milliseconds: a crashed holder's lease ends after so long; a live one's is lengthened."""

NEVER = float("-inf")
"""Before any time: what keeps an entry off the hit path."""
_IMMUTABLE = (str, bytes, int, float, bool, type(None))


class WarmUp(NamedTuple):
    """A cache's last warm-up: when it started and when one last completed, in seconds since the
    epoch, and how many entries it has warmed. None and 0 before the first."""

    started: float | None = None
    completed: float | None = None
    entries: int = 0


NOT_WARMED = WarmUp()


class ShowsHits(Protocol):
    """A manager, as far as the core knows it."""

    def show(self, entries: Mapping[str, Entry]) -> None:
        """Answer L1 hits from `entries`."""
        ...


class CoreState:
    """State shared by look-ups, writes and coherence of one manager. Safe for threads and tasks.

    `l1_ttl` and `l2_ttl` are seconds; `has_l2` says whether there is a second tier at all.
    """

    def __init__(
        self, *, prefix: str, stats: CacheStats, l1_maxsize: int, l1_ttl: float, l2_ttl: float,
        l1_policy: L1Policy, serializer: Serializer, policy: Policy, timer: Timer, has_l2: bool,
        l1_max_bytes: int | None = None,
    ) -> None:  # fmt: skip
        self.prefix = prefix
        self.l1_ttl = l1_ttl
        self.l2_ttl = l2_ttl
        self.serializer = serializer
        self.policy = policy
        self.timer = timer
        self.has_l2 = has_l2
        self.release = _release()
        self.books = Books(stats)
        self.local = LocalTier(l1_maxsize, l1_policy, self.books.evicted, l1_max_bytes)
        self.what_if = WhatIf(l1_maxsize, stats.cells.l1_hits, self.books.what_if_miss)
        self.flights = Flights()
        self.recovery = Recovery()
        self.loads_in_flight = 0
        self.last_invalidation: float | None = None  # seconds since the epoch
        self.warm_up = NOT_WARMED
        self.closed = False
        # Coherence: None without a listener, else whether other processes' writes are heard.
        self.hears: bool | None = None
        self.deaf_since = NEVER
        self.l2_answers: Callable[[], bool] = _no
        self._showing: weakref.WeakSet[ShowsHits] = weakref.WeakSet()
        self._fences = Fences()
        self._tag_times = TagTimes()
        self._news: dict[str, list[Future[None]]] = {}
        self._leases: dict[Read, tuple[str, float]] = {}
        self._process = secrets.token_hex(6)
        self._offers = itertools.count()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget what other threads of the parent were reading, loading and writing."""
        self._fences = Fences()
        self.what_if.reset()
        self.loads_in_flight = 0
        self.warm_up = NOT_WARMED  # a child has begun none
        self._news = {}
        self._leases = {}
        self._process = secrets.token_hex(6)
        self._offers = itertools.count()
        if self.hears is not None:
            self.hears, self.deaf_since = False, self.timer()
            self.show(open_=False)

    def shown_by(self, manager: "ShowsHits") -> None:
        """`manager` has a hit path over this L1."""
        self._showing.add(manager)
        self.show(open_=self.hears is not False)

    def show(self, *, open_: bool) -> None:
        """Open or close the hit path: while deaf, every look-up must ask how old an entry is."""
        entries = self.local.entries if open_ else {}
        for manager in list(self._showing):
            manager.show(entries)

    # Checks

    def check_keys(self, *wanted: str) -> None:
        """Raise CacheClosedError, or TypeError for what is not a non-empty str."""
        if self.closed:
            raise CacheClosedError("this cache manager is closed: make a new one")
        for key in wanted:
            keys.check_key(key)

    def check_tags(self, tags: Any) -> tuple[str, ...]:
        """`tags` as a tuple of non-empty str, or TypeError."""
        if isinstance(tags, str) or not isinstance(tags, Iterable):
            raise KeyTypeError(
                f"tags={tags!r}: give an iterable of str, such as a tuple"
                if isinstance(tags, str)
                else f"tags must be an iterable of str, not {type(tags).__qualname__}"
            )
        carried = tuple(tags)
        for tag in carried:
            keys.check_text(tag, "a tag")
        return carried

    def check_write(self, ttl: float | None, tags: Sequence[str]) -> None:
        """Raise ConfigurationError for a `ttl` that cannot be kept."""
        if ttl is not None:
            check_ttl(ttl, endless=not self.has_l2)
        if tags and self.has_l2 and (ttl or self.l2_ttl) + self.policy.retention > TAG_TTL:
            raise ConfigurationError(
                f"a tagged entry lives at most {TAG_TTL:.0f} s, as long as the keys of its tags: "
                f"ttl={ttl or self.l2_ttl} is longer"
            )

    # Names

    def new_read(self, key: str) -> Read:
        """A look-up of `key` that starts now."""
        return Read(self.prefix, key, self.timer())

    def wire_keys(self, wanted: Iterable[str]) -> list[tuple[str, str]]:
        """Value key and lease key of each."""
        prefix = self.prefix
        return [(keys.value_key(prefix, key), keys.lease_key(prefix, key)) for key in wanted]

    def tag_keys(self, tags: Iterable[str]) -> list[str]:
        """The Redis keys of `tags`."""
        return [keys.tag_key(self.prefix, tag) for tag in tags]

    def patterns(self) -> list[str]:
        """What `clear` deletes from L2: this cache's own values, leases and tags."""
        return [
            keys.lease_pattern(self.prefix),  # first: a load that ends meanwhile stores nothing
            keys.value_pattern(self.prefix),
            keys.tag_pattern(self.prefix),
        ]

    # Small answers

    @property
    def listens(self) -> bool:
        """Whether other processes' writes are to be heard, now or once L2 is there."""
        return self.hears is not None

    @property
    def deaf(self) -> bool:
        """Whether L2 answers while nobody hears what other processes write to it."""
        return self.hears is False and self.l2_answers()

    def failed(self, operation: Operation, replies: Iterable[object]) -> bool:
        """Count the L2 commands that failed, each round trip once; whether there were any.

        A command that an open circuit held back is none.
        """
        errors = {id(reply): reply for reply in replies if isinstance(reply, RemoteError)}
        for error in errors.values():
            if error.kind != "circuit":
                self.books.error("l2", operation, error.kind)
        return bool(errors)

    def owe(self, doomed: Iterable[str]) -> None:
        """L2 must forget these keys before it is read for them."""
        if self.recovery.add(doomed):
            self.books.recovery_overflow()

    def give(self, value: Any) -> Any:
        """What a caller gets for the cached `value`: a copy of its own if the policy says so.

        Raises what a load raised that is remembered.
        """
        if isinstance(value, Unstored | Remembered):
            value = value.given()
        if self.policy.copy_on_get and not isinstance(value, _IMMUTABLE):
            return value if value is MISS else copy.deepcopy(value)
        return value

    def ttls(self, ttl: float | None) -> tuple[float, float]:
        """Seconds in L1 and in L2 of a write with this `ttl`."""
        if ttl is not None:
            l1 = l2 = float(ttl)
        else:
            l1, l2 = (min(self.l1_ttl, self.l2_ttl) if self.has_l2 else self.l1_ttl), self.l2_ttl
        if self.policy.ttl_jitter:
            share = 1 - self.policy.ttl_jitter * random.random()
            l1, l2 = l1 * share, l2 * share
        return l1, l2

    def put(
        self, key: str, value: object, expires_at: float, tags: tuple[str, ...], *,
        now: float, created: int = 0, load_seconds: float = 0.0, size: int = 0,
    ) -> None:  # fmt: skip
        """Store in L1. The caller holds L1's lock."""
        probed = self.what_if.stored(key, expires_at - now)
        retention = 0.0 if type(value) is Remembered else self.policy.retention
        entry = Entry(
            key,
            value,
            expires_at,
            tags,
            fresh_until=NEVER if probed else self._fresh_until(value, expires_at, load_seconds),
            kept_until=expires_at + retention,
            created=created,
            size=size,
            filled_at=now,
            delta=load_seconds,
        )
        if self.local.put(entry, now):
            self.books.write("l1")
        else:
            self.books.error("l1", "set", "oversize")

    def spent(self, began: float) -> None:
        """A caller's write, delete or invalidation, begun at `began`, has ended."""
        self.books.spent(self.timer() - began)

    def _fresh_until(self, value: object, expires_at: float, load_seconds: float) -> float:
        policy = self.policy
        if is_none(value) or (policy.copy_on_get and not isinstance(value, _IMMUTABLE)):
            return NEVER  # the hit path knows no "none" and makes no copies
        if policy.early_refresh:
            expires_at -= load_seconds * policy.early_refresh * random.expovariate(1)
        return expires_at

    # What-if (sizing.py)

    def end_probe(self, key: str, now: float) -> bool:
        """Give a probed key's entry back to the hit path; whether there was a probe.

        The caller holds L1's lock, and ends the probe when it knows how the look-up went.
        """
        if key not in self.what_if.probes:
            return False
        entry = self.local.peek(key, now)
        if entry is not None and entry.fresh_until == NEVER:
            entry.fresh_until = self._fresh_until(entry.value, entry.expires_at, entry.delta)
        return True

    def hit_sampled(self, entry: Entry, now: float) -> None:
        """The hit path answered with `entry`, as it does for one look-up in 128 that comes here."""
        with self.local.lock:
            if entry.live:
                self.what_if.begin(entry.key, entry, now)

    def close_read(self, read: Read) -> bool:
        """Close the fence of a look-up; whether it still stood. The caller holds L1's lock."""
        if read.fence is None:
            return False
        fence, read.fence = read.fence, None
        return self._fences.close(fence)

    def offer(self) -> str:
        """A new lease token of this process."""
        return f"{self._process}-{next(self._offers):x}"

    def is_ours(self, token: str) -> bool:
        """Whether this process was the first to ask for the lease with this token."""
        return token.startswith(self._process)

    # Leases of loads under way

    def hold(self, read: Read) -> None:
        """A load under `read.token` begins."""
        if read.token is not None:
            self._leases[read] = (read.token, self.timer())

    def let_go(self, read: Read) -> None:
        """The load of `read` has ended."""
        self._leases.pop(read, None)

    def old_leases(self) -> list[tuple[str, str]]:
        """Lease key and token of loads that have lasted for a third of the lease."""
        now, third = self.timer(), LEASE_MS / 3000
        held = list(self._leases.copy().items())
        old = [(read, token) for read, (token, since) in held if now - since > third]
        for read, token in old:
            if read in self._leases:
                self._leases[read] = (token, now)
        return [(read.lease_key, token) for read, token in old]

    @property
    def holds_leases(self) -> bool:
        """Whether a load under a lease is under way."""
        return bool(self._leases)

    # News of a key, for those who wait for another process's load

    def news(self, read: Read) -> "Future[None]":
        """A future that ends when the key is written by anybody; give it back to `no_news`."""
        future: Future[None] = Future()
        read.waits_since = self.timer()
        with self.local.lock:
            self._news.setdefault(read.key, []).append(future)
        return future

    def no_news(self, read: Read, future: "Future[None]") -> None:
        """Nobody waits for `future` any more."""
        read.loading += self.timer() - read.waits_since
        with self.local.lock:
            waiting = self._news.get(read.key, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._news.pop(read.key, None)

    def tell(self, key: str) -> None:
        """Wake those who wait for news of `key`."""
        with self.local.lock:
            waiting = self._news.pop(key, [])
        for future in waiting:
            future.set_result(None)


@functools.cache
def _release() -> str:
    try:
        return importlib.metadata.version("routecache")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _no() -> bool:
    return False
