"""`AsyncCacheManager`: the two-tier cache for asyncio."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from routecache.errors import CacheClosedError
from routecache.explanation import Explanation
from routecache.keys import check_key
from routecache.local import Entry, L1Policy
from routecache.manager import BaseCacheManager, several
from routecache.policy import Policy
from routecache.remote.sync import RedisClient
from routecache.stats import L1_HIT_BOUNDS, CacheSnapshot
from routecache.tiered._async import AsyncTiers
from routecache.typing import MISS, Remote, Removal, Serializer, Timer
from routecache.warming._async import warm_up
from routecache.warming.options import Terms, WarmOptions, WarmResult
from routecache.warming.plan import AnySource, Plan


class AsyncCacheManager:
    """`BaseCacheManager` for asyncio: the same names and promises, awaited.

    Takes the arguments of `BaseCacheManager`. Its own L1 unless it is made by `from_sync`. Safe
    for tasks of any number of event loops: each loop has one connection to L2, over which the
    look-ups of one turn of the loop travel as one batch. Constructing it does not wait for Redis;
    the first look-up does, at most `Policy.l2_timeout`.

    A cancelled task leaves nothing behind: a load that it led goes on with another waiter, its
    reply reaches nobody else, and what its interrupted write may have done, Redis forgets.

    An L1 hit awaits nothing, so a loop of hits must give way to other tasks by itself.
    """

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
        manager = BaseCacheManager._unconnected(  # noqa: SLF001  # the sync half of this manager
            l1_maxsize,
            l1_ttl,
            l2_ttl,
            enable_redis,
            cache_prefix,
            name=name,
            redis_url=redis_url,
            redis_client=redis_client,
            l1_policy=l1_policy,
            l1_max_bytes=l1_max_bytes,
            serializer=serializer,
            policy=policy,
            timer=timer,
        )
        self._share(manager)
        self._owns_sync = True

    @classmethod
    def from_sync(cls, manager: BaseCacheManager) -> Self:
        """An AsyncCacheManager over the L1, counters and listener of `manager`.

        Closing it closes its own connections and leaves `manager` open.
        """
        made = cls.__new__(cls)
        made._share(manager)  # noqa: SLF001  # of this very class
        made._owns_sync = False  # noqa: SLF001
        return made

    def _share(self, manager: BaseCacheManager) -> None:
        self.sync = manager
        self.core = manager.core
        self.name = manager.name
        self.remote = None if manager.remote is None else manager.remote.awaited()
        self.tiers = AsyncTiers(manager.core, self.remote, manager.tend)
        self._closed = False
        self._timer = manager.core.timer
        self._thread = manager.core.books.stats.cells.local
        self._entries = manager.core.local.entries
        manager.core.shown_by(self)

    # The body of `get` stands again in `get_or_load`, as in BaseCacheManager.

    async def get(self, key: str, default: Any = None) -> Any:
        """See `BaseCacheManager.get`."""
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
        value = await self._open().get(key)
        return default if value is MISS else value

    async def get_or_load(
        self,
        key: str,
        loader: Callable[[], Any],
        ttl: float | None = None,
        *,
        tags: Iterable[str] | Callable[[Any], Iterable[str]] = (),
    ) -> Any:
        """See `BaseCacheManager.get_or_load`; `loader` may be a coroutine function or plain."""
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
        return await self._open().get_or_load(key, loader, ttl, tags)

    async def set(
        self, key: str, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """See `BaseCacheManager.set`."""
        await self._open().set_many({check_key(key): value}, ttl, tags)

    async def delete(self, key: str) -> bool:
        """See `BaseCacheManager.delete`."""
        return (await self._open().delete_many((key,)))[0]

    async def delete_as(self, key: str, reason: Removal) -> None:
        """See `BaseCacheManager.delete_as`."""
        await self._open().delete_many((key,), reason)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """See `BaseCacheManager.get_many`."""
        return await self._open().get_many(several(keys))

    async def set_many(
        self, mapping: Mapping[str, Any], ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """See `BaseCacheManager.set_many`."""
        await self._open().set_many(mapping, ttl, tags)

    async def delete_many(self, keys: Iterable[str]) -> int:
        """See `BaseCacheManager.delete_many`."""
        return sum(await self._open().delete_many(several(keys)))

    async def invalidate_tags(self, *tags: str) -> None:
        """See `BaseCacheManager.invalidate_tags`."""
        await self._open().invalidate_tags(tags)

    async def invalidate_together(
        self, tags: Sequence[str], others: Sequence["AsyncCacheManager"], reason: Removal
    ) -> None:
        """See `BaseCacheManager.invalidate_together`."""
        await self._open().invalidate_tags(tags, reason, [other.tiers for other in others])

    async def clear(self) -> bool:
        """See `BaseCacheManager.clear`."""
        return await self._open().clear()

    async def warm(
        self,
        keys_or_items: AnySource = None,
        *,
        loader: Callable[[str], Any] | None = None,
        ttl: float | None = None,
        tags: Iterable[str] | Callable[[Any], Iterable[str]] = (),
        limit: int | None = None,
        **options: Unpack[WarmOptions],
    ) -> WarmResult:
        """See `BaseCacheManager.warm`; `loader` and source may be asynchronous or plain.

        A plain source is read in a thread. A plain loader runs on the event loop, which nothing
        can interrupt: one that may block has to be a coroutine function.
        """
        tiers, terms = self._open(), Terms(**options)
        plan = Plan(self.core, keys_or_items, terms, loader=loader, ttl=ttl, tags=tags, limit=limit)
        return (await warm_up([(plan, tiers, self.remote)], terms))[0]

    async def ttl(self, key: str) -> float | None:
        """See `BaseCacheManager.ttl`."""
        return await self._open().ttl(key)

    async def explain(self, key: str, *, value: bool = False) -> Explanation:
        """See `BaseCacheManager.explain`."""
        return await self._open().explain(key, value=value)

    def get_stats(self) -> dict[str, Any]:
        """See `BaseCacheManager.get_stats`."""
        return self.sync.get_stats()

    @property
    def redis_available(self) -> bool:
        """Whether L2 is enabled and its circuit closed."""
        return self.sync.redis_available

    def describe(self, snapshot: CacheSnapshot) -> CacheSnapshot:
        """`snapshot` with this manager's gauges added; for exporters."""
        return self.sync.describe(snapshot)

    async def close(self) -> None:
        """Let go of the connections; later calls raise CacheClosedError.

        Ends the background loads of the running loop. Closing twice does nothing.
        """
        if self._closed:
            return
        self._closed = True
        self._entries = {}
        await self.tiers.stop()
        if self._owns_sync:
            self.sync.close()

    def _open(self) -> AsyncTiers:
        if self._closed:
            raise CacheClosedError("this cache manager is closed: make a new one")
        return self.tiers

    def show(self, entries: Mapping[str, Entry]) -> None:
        """Answer L1 hits from `entries`; for the core."""
        self._entries = {} if self._closed else entries

    def __len__(self) -> int:
        """How many unexpired entries L1 holds."""
        return len(self.sync)

    def __bool__(self) -> bool:
        """True: an empty cache is still a cache."""
        return True

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.sync!r}>"
