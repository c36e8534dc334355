"""`BaseCacheManager`: the two-tier cache that a program talks to."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from routecache import keys, publishing, registry
from routecache.errors import CacheClosedError, ConfigurationError, KeyTypeError
from routecache.explanation import Explanation
from routecache.local import Entry, L1Policy
from routecache.policy import Policy, check_ttl
from routecache.remote.sync import RedisClient, SyncRemote
from routecache.serializers import CompressedSerializer, JsonSerializer
from routecache.stats import L1_HIT_BOUNDS, CacheSnapshot, stats_for
from routecache.tiered._core import TieredCore
from routecache.tiered._sync import SyncTiers
from routecache.tiered.tending import Tending
from routecache.typing import MISS, Remote, Removal, Serializer, Timer
from routecache.warming._sync import warm_up
from routecache.warming.options import Terms, WarmOptions, WarmResult
from routecache.warming.plan import Plan, Source

DEFAULT_REDIS_URL = "redis://localhost:6379/0"


class BaseCacheManager:
    """A cache in memory (L1) and in Redis (L2) whose look-ups never fail because of Redis.

    A look-up asks L1, then L2, and then misses; a value found in L2 is kept in L1 for the time
    it has left there. Writes and deletes go to L2 and then to L1. Without Redis, be it disabled,
    absent or failing, L1 goes on alone, and L2 is used again by itself when it is back.

    Args:
        l1_maxsize: entries that L1 holds at most.
        l1_ttl: seconds that an entry lives in L1 at most; `math.inf` without Redis only.
        l2_ttl: seconds that an entry lives in Redis.
        enable_redis: False for a cache in memory only.
        cache_prefix: what its keys in Redis begin with; `[A-Za-z0-9._:-]+`.
        name: the cache's name in metrics and statistics; `cache_prefix` unless given.
        redis_url: `redis://`, `rediss://` or `unix://`; None reads REDIS_URL now, else
            localhost. Managers of one URL share one connection pool.
        redis_client: a `redis.Redis` whose address, credentials and TLS options to use instead
            of `redis_url`. Its own connections are not used, as their time-outs cannot bound a
            call, and it is never closed. Or a Remote, such as `routecache.testing.FakeRemote`.
        l1_max_bytes: bytes that L1 holds at most, by the encoded size of its values (estimated
            without Redis); None for no such bound.
        l1_policy: "sieve", whose hits take no lock, or cachetools' "lru" or "lfu".
        serializer: JSON unless given.
        policy: time-outs and bounds, see `Policy`.
        timer: a monotonic clock in seconds, for tests.

    Raises:
        ConfigurationError: a ValueError that names the argument and what is allowed.

    Safe for threads. A forked child keeps the entries of L1, makes its own connections and counts
    from zero. Values are shared, not copied: treat what `get` returns as read-only.
    """

    _waits_for_nothing = False

    @classmethod
    def _unconnected(cls, *args: Any, **options: Any) -> "BaseCacheManager":
        """A manager whose construction does not wait for Redis: an event loop may be waiting."""
        return _Unconnected(*args, **options)

    def __init__(
        self,
        l1_maxsize: int = 100,
        l1_ttl: float = 300,
        l2_ttl: float = 300,
        enable_redis: bool = True,
        cache_prefix: str = "cache",
        *,
        name: str | None = None,
        redis_url: str | None = None,
        redis_client: RedisClient | Remote | None = None,
        l1_policy: L1Policy = "sieve",
        l1_max_bytes: int | None = None,
        serializer: Serializer | None = None,
        policy: Policy = Policy(),  # noqa: B008  # frozen, and part of the documented signature
        timer: Timer = time.monotonic,
    ) -> None:
        check_maxsize(l1_maxsize, "l1_maxsize")
        _check_max_bytes(l1_max_bytes)
        _check_kinds(enable_redis=enable_redis, policy=policy, redis_url=redis_url)
        keys.check_prefix(cache_prefix)
        check_ttl(l1_ttl, "l1_ttl", endless=not enable_redis)
        check_ttl(l2_ttl, "l2_ttl")
        self.name = _check_name(cache_prefix if name is None else name)
        stats = stats_for(self.name)
        self.core = TieredCore(
            prefix=cache_prefix,
            stats=stats,
            l1_maxsize=l1_maxsize,
            l1_ttl=float(l1_ttl),
            l2_ttl=float(l2_ttl),
            l1_policy=l1_policy,
            serializer=_serializer(serializer, policy),
            policy=policy,
            timer=timer,
            has_l2=enable_redis,
            l1_max_bytes=l1_max_bytes,
        )
        connect = not self._waits_for_nothing
        self.remote = remote = (
            _remote(redis_url, redis_client, connect, self.name) if enable_redis else None
        )
        self.tend = None if remote is None else Tending(self.core, remote)
        self.tiers = SyncTiers(self.core, remote, self.tend)
        # What the hit path reads; see `get`.
        self._entries = self.core.local.entries
        self._timer = timer
        self._thread = stats.cells.local
        self.core.shown_by(self)
        if remote is not None:
            self.core.listen(remote)
        registry.register(self)
        publishing.refresh()

    # The body of `get` stands again in `get_or_load`: on the hit path a call costs more than the
    # look-up. Nothing here may take a lock, allocate or call what can be avoided.

    def get(self, key: str, default: Any = None) -> Any:
        """The key's value, or `default` if no tier holds it; `get(key, MISS)` tells them apart.

        Raises TypeError if `key` is not a non-empty str.
        """
        try:
            entry = self._entries[key]
        except (KeyError, TypeError):  # an unhashable key is refused below, like any that is no str
            entry = None
        if entry is not None:
            now = self._timer()
            if now < entry.fresh_until:
                entry.visited = True
                cell = self._thread.cell
                cell.l1_hits = hits = cell.l1_hits + 1
                if hits >= cell.sample_at:
                    took = self._timer() - now
                    cell.sample(L1_HIT_BOUNDS, took, "l1_hit", avoided=entry.delta)
                    self.core.hit_sampled(entry, now)
                return entry.value
        value = self.tiers.get(key)
        return default if value is MISS else value

    def get_or_load(
        self,
        key: str,
        loader: Callable[[], Any],
        ttl: float | None = None,
        *,
        tags: Iterable[str] | Callable[[Any], Iterable[str]] = (),
    ) -> Any:
        """The key's value, computed by `loader` and stored if no tier holds it.

        However many threads ask for a key meanwhile, its loader runs once; the others wait, at
        most `Policy.hard_timeout` seconds. A value that is too large or that was invalidated
        while it was loaded is returned and not stored.

        Args:
            loader: gives the value, or MISS for "there is none", which is not stored.
            ttl: seconds for both tiers, instead of the manager's.
            tags: names by which `invalidate_tags` finds the entry, or a function of the value.

        Returns:
            The value, or MISS if the loader said so.

        Raises:
            Whatever the loader raises, in every caller that waited for it and nobody later;
            LoadTimeoutError; SerializationError for a value that could not be given back equal.
        """
        try:
            entry = self._entries[key]
        except (KeyError, TypeError):
            entry = None
        if entry is not None:
            now = self._timer()
            if now < entry.fresh_until:
                entry.visited = True
                cell = self._thread.cell
                cell.l1_hits = hits = cell.l1_hits + 1
                if hits >= cell.sample_at:
                    took = self._timer() - now
                    cell.sample(L1_HIT_BOUNDS, took, "l1_hit", avoided=entry.delta)
                    self.core.hit_sampled(entry, now)
                return entry.value
        return self.tiers.get_or_load(key, loader, ttl, tags)

    def set(
        self, key: str, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """Store `value` in both tiers, as the caller's statement of truth.

        Args:
            ttl: seconds for both tiers, instead of the manager's.
            tags: names by which `invalidate_tags` finds the entry.

        Raises:
            SerializationError: the serializer would not give `value` back equal.
            ValueTooLargeError: it exceeds `Policy.max_value_bytes`; the key is then deleted.
            ConfigurationError: `ttl` is not a number of seconds greater than 0.
        """
        self.tiers.set_many({keys.check_key(key): value}, ttl, tags)

    def delete(self, key: str) -> bool:
        """Remove the key from both tiers; True if one of them held it."""
        return self.tiers.delete_many((key,))[0]

    def delete_as(self, key: str, reason: Removal) -> None:
        """`delete`, whose removal from L1 is counted as `reason`."""
        self.tiers.delete_many((key,), reason)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that a tier holds, in one round trip; n keys are n requests."""
        return self.tiers.get_many(several(keys))

    def set_many(
        self, mapping: Mapping[str, Any], ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """`set` for every item, in one round trip; what cannot be stored raises before any is."""
        self.tiers.set_many(mapping, ttl, tags)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove the keys from both tiers in one round trip; how many of them a tier held."""
        return sum(self.tiers.delete_many(several(keys)))

    def invalidate_tags(self, *tags: str) -> None:
        """Make every entry that carries one of `tags` a miss.

        In L2 and in this process at once, in other processes as soon as they hear of it.
        """
        self.tiers.invalidate_tags(tags)

    def invalidate_together(
        self, tags: Sequence[str], others: Sequence["BaseCacheManager"], reason: Removal
    ) -> None:
        """`invalidate_tags` for this cache and `others` of the same Redis, in one round trip.

        L1 of all of them comes first. `reason` is what the removals are counted as.
        """
        self.tiers.invalidate_tags(tags, reason, [other.tiers for other in others])

    def clear(self) -> bool:
        """Remove this cache's entries from both tiers, and no other key of a shared Redis.

        Walks L2 with SCAN, so it may take longer than a look-up. Returns False if L2 failed at
        it, which is counted too.
        """
        return self.tiers.clear()

    def warm(
        self,
        keys_or_items: Source = None,
        *,
        loader: Callable[[str], Any] | None = None,
        ttl: float | None = None,
        tags: Iterable[str] | Callable[[Any], Iterable[str]] = (),
        limit: int | None = None,
        **options: Unpack[WarmOptions],
    ) -> WarmResult:
        """Fill the cache before anybody asks: from L2, and what L2 lacks by `loader`.

        Returns at the deadline whatever hangs, with what there is then, and never raises because
        of L2 or of what a loader raises. What a tier holds already is left as it is. Nothing of it
        is a request, hit or miss. See docs/warming.md.

        Args:
            keys_or_items: keys, or pairs of key and value, hottest first; a mapping; a function
                that gives any of these. None stands for the hottest keys of L2.
            loader: gives the value of a key, or MISS; without it, keys that L2 lacks are skipped.
            ttl, tags: as of `get_or_load`.
            limit: keys at most, as many as L1 holds if None.
            options: see `WarmOptions`; concurrency=8, deadline=10 seconds, rate=None per second,
                fleet="startup", enough=0.5, progress=None.

        Raises:
            ConfigurationError, TypeError: a mistake in the arguments, or a key that cannot be one.
        """
        terms = Terms(**options)
        plan = Plan(self.core, keys_or_items, terms, loader=loader, ttl=ttl, tags=tags, limit=limit)
        return warm_up([(plan, self.tiers, self.remote)], terms)[0]

    def ttl(self, key: str) -> float | None:
        """Seconds for which a tier will still answer for the key; None if none holds it."""
        return self.tiers.ttl(key)

    def explain(self, key: str, *, value: bool = False) -> Explanation:
        """What each tier holds of the key, why, and which of them would answer a `get`.

        Asking changes nothing: no count, no promotion, no eviction order of L1, no lease. It takes
        one round trip, two for a tagged entry, within one `Policy.l2_timeout`, and never raises
        because of L2. To Redis it is a read like any other, for its own eviction too.

        Args:
            value: also give the values, which an explanation does not hold otherwise.
        """
        return self.tiers.explain(key, value=value)

    def get_stats(self) -> dict[str, Any]:
        """Counters of this cache's name and state of this manager, as plain numbers.

        Ratios are shares of all requests, but for `l2_hit_ratio`, a share of those that reached
        L2; without requests they are 0.0.
        """
        s = self.describe(stats_for(self.name).snapshot())
        hits, asked_l2 = s.l1_hits + s.l2_hits, s.requests - s.l1_hits
        return {
            "requests": s.requests,
            "l1_hits": s.l1_hits,
            "l2_hits": s.l2_hits,
            "misses": sum(s.misses.values()),
            "misses_by_reason": dict(s.misses),
            "loads": s.loads,
            "coalesced": s.coalesced,
            "errors": sum(s.errors.values()),
            "sets": s.sets,
            "deletes": s.deletes.get("l1", 0),
            "evictions": sum(s.evictions.values()),
            "hit_ratio": hits / s.requests if s.requests else 0.0,
            "l1_hit_ratio": s.l1_hits / s.requests if s.requests else 0.0,
            "l2_hit_ratio": s.l2_hits / asked_l2 if asked_l2 else 0.0,
            "l1_size": len(self),
            "l1_maxsize": self.core.local.maxsize,
            "redis_available": self.redis_available,
        }

    @property
    def redis_available(self) -> bool:
        """Whether L2 is enabled and its circuit closed."""
        return self.remote is not None and self.remote.available

    def describe(self, snapshot: CacheSnapshot) -> CacheSnapshot:
        """`snapshot` with this manager's gauges added; for exporters."""
        core = self.core
        return registry.add_gauges(
            snapshot,
            l1_entries=len(self),
            l1_max_entries=core.local.maxsize,
            l1_size_bytes=core.local.bytes,
            loads_in_flight=core.loads_in_flight,
            recovery_pending=len(core.recovery),
            l1_ttl=core.l1_ttl,
            l2_ttl=core.l2_ttl if core.has_l2 else None,
            policy=core.local.policy,
            serializer=core.serializer.name,
            l2=self.remote.alias if self.remote is not None else None,
            stale_reasons=core.policy.stale_reasons | ({"blind"} if core.listens else set()),
            refresh_kinds=core.policy.refresh_kinds,
            last_invalidation=core.last_invalidation,
            warm_up=core.warm_up,
        )

    def close(self) -> None:
        """Empty L1 and let go of the connections; later calls raise CacheClosedError.

        Entries in Redis stay, and so do the counters. Closing twice does nothing.
        """
        registry.unregister(self)
        if not self.core.closed:
            self.core.closed = True
            self.core.show(open_=False)  # what a call under way still puts in is not found
            self.core.drop_all()
            self.tiers.stop()
            publishing.refresh()

    def show(self, entries: Mapping[str, Entry]) -> None:
        """Answer L1 hits from `entries`; for the core."""
        self._entries = {} if self.core.closed else entries

    def __len__(self) -> int:
        """How many unexpired entries L1 holds."""
        return self.core.local.size(self._timer())

    def __bool__(self) -> bool:
        """True: an empty cache is still a cache."""
        return True

    def __enter__(self) -> Self:
        if self.core.closed:
            raise CacheClosedError("this cache manager is closed: make a new one")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name!r} l1={len(self)}/{self.core.local.maxsize} "
            f"redis={'available' if self.redis_available else 'unavailable'}>"
        )


class _Unconnected(BaseCacheManager):
    _waits_for_nothing = True


def several(keys: Iterable[str]) -> list[str]:
    """`keys` as a list; TypeError for a single str, which would fall into its characters."""
    if isinstance(keys, str):
        raise KeyTypeError(f"keys={keys!r} is one str: give an iterable of keys, such as a list")
    return list(keys)


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isprintable():
        raise ConfigurationError(f"name={name!r}: give 1 to 128 printable characters")
    return name


def check_maxsize(maxsize: object, name: str) -> None:
    """Raise a ConfigurationError that names `name` unless `maxsize` is a number of entries."""
    if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:
        raise ConfigurationError(f"{name}={maxsize!r}: give a number of entries from 1 on")


def _check_max_bytes(most: object) -> None:
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise ConfigurationError(
            f"l1_max_bytes={most!r}: give a number of bytes from 1 on, or None"
        )


def _check_kinds(*, enable_redis: object, policy: object, redis_url: object) -> None:
    if not isinstance(enable_redis, bool):  # "false" is true
        raise ConfigurationError(f"enable_redis={enable_redis!r}: give True or False")
    if not isinstance(policy, Policy):
        raise ConfigurationError(f"policy is a {type(policy).__qualname__}: give a Policy")
    if redis_url is not None and not isinstance(redis_url, str):
        raise ConfigurationError(f"redis_url is a {type(redis_url).__qualname__}: give a str")


def _serializer(given: Serializer | None, policy: Policy) -> Serializer:
    serializer = JsonSerializer() if given is None else given
    if policy.compress_over is None:
        return serializer
    return CompressedSerializer(serializer, policy.compress_over)


def _remote(
    url: str | None, client: RedisClient | Remote | None, connect: bool, cache: str
) -> Remote:
    if client is not None and url is not None:
        raise ConfigurationError("redis_url and redis_client: give one of them")
    if client is not None and isinstance(client, Remote):
        return client
    if client is None and url is None:
        url = os.environ.get("REDIS_URL") or DEFAULT_REDIS_URL
    return SyncRemote(url, client, connect=connect, cache=cache)
