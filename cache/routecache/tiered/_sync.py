"""The sync driver: the I/O between the core's decisions, and nothing else.

`_async.py` is the same text with `async` and `await`; a test holds the two together.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

from routecache import tracing
from routecache.errors import LoadTimeoutError, RemoteError, ValueTooLargeError
from routecache.explanation import Explanation
from routecache.outcomes import again
from routecache.tiered._core import LEASE_MS, TAG_TTL, TieredCore
from routecache.tiered.flights import ABANDONED, Flight, Landing
from routecache.tiered.operations import Read, Write
from routecache.tiered.tending import Tending
from routecache.tiered.waits import SyncWaits
from routecache.tiered.warming import Filled
from routecache.typing import MISS, RefreshKind, Remote

Loader: TypeAlias = Callable[[], Any]
Tags: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]


class SyncTiers:
    """Drives `core` over `remote`, or over L1 alone if that is None.

    `tend` is what `remote` is asked to call in the background while the core owes L2 something.
    Safe for threads.
    """

    def __init__(self, core: TieredCore, remote: Remote | None, tend: Tending | None) -> None:
        self.core = core
        self._remote = remote
        self._tend = tend
        self._waits = SyncWaits()

    # Look-ups

    def get(self, key: str) -> Any:
        """The value of a key that the hit path did not find, or MISS."""
        core = self.core
        core.check_keys(key)
        if self._remote is None:
            return core.missed(key)
        read = core.begin_read(key)
        try:
            self._fetch((read,), core.policy.l2_timeout)
            core.settle(read)
        except BaseException:
            core.broke(read)
            raise
        return core.give(core.end_read(read))

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The keys that a tier holds, with their values; one round trip for all."""
        core = self.core
        core.check_keys(*keys)
        reads = core.begin_reads(keys)
        try:
            self._fetch(reads, core.policy.l2_timeout)
        except BaseException:
            for read in reads:
                core.broke(read)
            raise
        found = {}
        for read in reads:
            core.settle(read)
            value = core.end_read(read)
            if value is not MISS:
                found[read.key] = value
        return {key: core.give(value) for key, value in found.items()}

    def ttl(self, key: str) -> float | None:
        """Seconds for which a tier will still answer for `key`; None if none does."""
        core = self.core
        core.check_keys(key)
        read = core.begin_peek(key)
        self._fetch((read,), core.policy.l2_timeout)
        return core.seconds_left(read)

    def explain(self, key: str, *, value: bool) -> Explanation:
        """What each tier holds of `key`, and why; changes nothing and counts nothing."""
        core, remote = self.core, self._remote
        core.check_keys(key)
        look = core.begin_look(key)
        if remote is not None:
            deadline = remote.deadline(core.policy.l2_timeout)
            (seen,) = remote.look_many(core.wire_keys((key,)), deadline)
            tags = core.looked(look, seen, remote.server_times())
            if tags:
                tag_keys = core.tag_keys(tags)
                core.tags_looked(look, tags, remote.get_many(tag_keys, deadline))
        return core.explained(look, value=value)

    def _fetch(self, reads: Sequence[Read], left: float) -> float:
        """Ask L2 for what L1 lacks, within `left` seconds; returns how many of them are left."""
        core, remote = self.core, self._remote
        if remote is None:
            return 0.0
        deadline = remote.deadline(left)
        if core.recovery:
            self.owe()  # a forked child inherits debts, and nobody who pays them
            self._recover([read.key for read in reads], deadline)
        wanted = core.to_fetch(reads)
        if not wanted:
            return remote.left(deadline)
        if wanted[0].loads:
            leases = core.leases_wanted(wanted)
            replies: Sequence[Any] = remote.lease_many(leases, LEASE_MS, deadline)
        else:
            replies = remote.get_many([read.wire_key for read in wanted], deadline)
        # L1's clock is read first: what passes between the two makes entries older, not younger.
        tag_keys = core.arrived(wanted, replies, core.timer(), remote.server_times())
        if tag_keys:
            core.tags_arrived(wanted, tag_keys, remote.get_many(tag_keys, deadline))
        return remote.left(deadline)

    def _recover(self, keys: Sequence[str], deadline: Any) -> None:
        """Delete what L2 owes for `keys`, so that it may be read for them."""
        core, remote = self.core, self._remote
        doomed = core.recovery.owed(keys)
        if doomed and remote is not None:
            mark = core.recovery.mark()
            core.recovered(mark, doomed, remote.delete_many(core.wire_keys(doomed), deadline))

    # Loads

    def get_or_load(self, key: str, loader: Loader, ttl: float | None, tags: Tags) -> Any:
        """The key's value, loaded once for all who ask meanwhile; MISS if there is none."""
        core = self.core
        core.check_keys(key)
        core.check_write(ttl, () if callable(tags) else core.check_tags(tags))
        began = core.timer()
        while True:
            read = core.begin_read(key, loads=True, fenced=False)
            if read.answer is not None:
                value = core.end_read(read)
                if read.refresh is not None:
                    self._refresh(key, loader, ttl, tags, read.refresh)
                return core.give(value)
            lends = core.lends(read)
            flight, leads = core.flights.join(key)
            if leads and lends:
                leads = not self._spawn(flight, loader, ttl, tags, "stale")
            if leads:
                core.fence(read)
                return self._lead(flight, read, loader, ttl, tags)
            if core.flights.may_wait(flight, blocks=self._waits.blocks):
                landing = self._wait(flight, read, began)
            else:
                landing = self._alone(flight, read, loader)
            if landing.outcome != "abandoned":
                return core.give(landing.value)

    def _alone(self, flight: Flight, read: Read, loader: Loader) -> Landing:
        # To wait would be to wait for oneself: a loader that asks, over any number of others, for
        # its own key.
        landing: Landing | None = None
        try:
            plain = tracing.hook is None
            value = self._waits.call(loader) if plain else self._traced(loader, None)
            landing = Landing("load", value)
            return landing
        finally:
            self.core.end_wait(read, flight, landing)

    def _wait(self, flight: Flight, read: Read, began: float) -> Landing:
        core = self.core
        landing: Landing | None = None
        try:
            landing = self._waits.result(flight.future, core.patience(read, began))
            return landing
        except Exception as error:
            late = isinstance(error, TimeoutError) and not flight.future.done()
            if isinstance(error, TimeoutError) and core.flights.has_landed(flight):
                landing = flight.future.result()  # in the same moment
                return landing
            if core.serve_stale(read, "refreshing" if late else "error"):
                landing = core.landed(read)
                return landing
            if late:
                raise LoadTimeoutError(
                    f"waited {core.policy.hard_timeout} s for another caller's load"
                ) from error
            raise again(error) from error
        finally:
            core.flights.waited(flight)
            if tracing.hook is not None:
                core.trace_wait(read, flight, landing)
            if landing is ABANDONED:
                core.forgo(read)
            else:
                core.end_wait(read, flight, landing)

    def _lead(
        self, flight: Flight, read: Read, loader: Loader, ttl: float | None, tags: Tags
    ) -> Any:
        core = self.core
        try:
            landing = self._answer(flight, read, loader, ttl, tags)
        except Exception as error:
            core.broke(read)
            core.flights.fail(flight, error)
            raise
        except BaseException:
            core.broke(read)
            core.flights.abandon(flight)
            raise
        core.end_read(read, "load")
        core.flights.land(flight, landing)
        if read.refresh is not None:
            self._refresh(flight.key, loader, ttl, tags, read.refresh)
        return core.give(landing.value)

    def _refresh(
        self, key: str, loader: Loader, ttl: float | None, tags: Tags, kind: RefreshKind
    ) -> None:
        """Load `key` in the background, unless somebody loads it already."""
        core = self.core
        flight, leads = core.flights.join(key)
        if leads and not self._spawn(flight, loader, ttl, tags, kind):
            core.flights.abandon(flight)

    def _spawn(
        self, flight: Flight, loader: Loader, ttl: float | None, tags: Tags, kind: RefreshKind
    ) -> bool:
        if tracing.hook is not None:
            flight.origin = tracing.here()
        lost = functools.partial(self.core.flights.abandon, flight)
        return self._waits.spawn(lost, self._lead_behind, flight, loader, ttl, tags, kind)

    def _lead_behind(
        self, flight: Flight, loader: Loader, ttl: float | None, tags: Tags, kind: RefreshKind
    ) -> None:
        if tracing.hook is None or not tracing.wanted_behind(flight.origin):
            self._refreshed(flight, loader, ttl, tags, kind)
            return
        details = self.core.details("refresh", kind, link=flight.origin)
        with tracing.Opened(details) as span:
            span.outcome = self._refreshed(flight, loader, ttl, tags, kind)

    def _refreshed(
        self, flight: Flight, loader: Loader, ttl: float | None, tags: Tags, kind: RefreshKind
    ) -> tracing.SpanOutcome:
        core = self.core
        read = core.begin_refresh(flight.key, kind)
        try:
            return self._bring_home(flight, read, loader, ttl, tags)
        finally:
            core.end_refresh(read, kind)

    def _bring_home(
        self, flight: Flight, read: Read, loader: Loader, ttl: float | None, tags: Tags
    ) -> tracing.SpanOutcome:
        """Lead `flight` for nobody who waits; says how it ended."""
        core = self.core
        try:
            landing = self._answer(flight, read, loader, ttl, tags)
        except Exception as error:  # noqa: BLE001  # counted; it belongs to those who wait for it
            core.flights.fail(flight, error)
            return "error"
        except BaseException:
            core.flights.abandon(flight)
            raise
        core.flights.land(flight, landing)
        return core.outcome(landing)

    def _answer(
        self, flight: Flight, read: Read, loader: Loader, ttl: float | None, tags: Tags
    ) -> Landing:
        """What the leader of `flight` brings home: from a tier, or loaded."""
        core = self.core
        core.look_again(read)
        left = core.policy.l2_timeout
        try:
            with core.flights.leading(flight):
                while read.answer is None:
                    left = self._fetch((read,), left)
                    flight.failure = read.failure
                    pause = None if core.settle(read) else core.pause(read)
                    if pause is None:
                        break
                    if pause:
                        self._nap(read, pause)
                        left = core.policy.l2_timeout
                if read.answer is not None:
                    return core.landed(read)
                return Landing("load", self._load(flight, read, left, loader, ttl, tags))
        except Exception:
            if not read.background and core.serve_stale(read, "error"):
                return core.landed(read)
            raise

    def _nap(self, read: Read, seconds: float) -> None:
        """Wait for another process's load of the key, at most `seconds`."""
        core = self.core
        core.check_patience(read)
        news: Future[None] = core.news(read)
        try:
            self._waits.result(news, seconds)
        except TimeoutError:
            pass
        finally:
            core.no_news(read, news)

    def _load(
        self,
        flight: Flight,
        read: Read,
        left: float,
        loader: Loader,
        ttl: float | None,
        tags: Tags,
        /,
    ) -> Any:
        core, remote = self.core, self._remote
        created = core.created(read, None if remote is None else remote.server_times())
        self._hold(read)
        began = core.begin_load()
        try:
            if tracing.hook is None:
                value = self._waits.call(loader)
            else:
                value = self._traced(loader, flight)
        except BaseException as error:
            core.end_load(read, began, error)
            self._give_up(read, left)
            raise
        seconds = core.end_load(read, began)
        try:
            if core.discards(value):
                self._give_up(read, left)
                return value
            carried = core.check_tags(tags(value) if callable(tags) and value is not MISS else
                                      () if callable(tags) else tags)  # fmt: skip
            core.check_write(ttl, carried)
            try:
                payload = core.encode(value)
            except ValueTooLargeError:
                self._delete([read.key], left)
                return value  # counted; who asked for a load must not fail for its size
            write = core.begin_fill(read, value, payload, ttl, carried, created, seconds)
            self._store([write], left)
            if write.l2 == "none":
                self._give_up(read, left)
        except BaseException:
            self._give_up(read, left)
            raise
        finally:
            core.let_go(read)
        return value

    def _traced(self, loader: Loader, flight: Flight | None) -> Any:
        """What `loader` gives, called inside a span if one is wanted."""
        if not tracing.wanted("load"):
            return self._waits.call(loader)
        with tracing.Opened(self.core.details("load")) as span:
            if flight is not None:
                flight.place = span.place
            value = self._waits.call(loader)
            span.outcome = self.core.outcome_of(value)
            return value

    def _hold(self, read: Read) -> None:
        self.core.hold(read)
        if read.token is not None and self._remote is not None and self._tend is not None:
            self._remote.in_background(self._tend)

    def _give_up(self, read: Read, left: float) -> None:
        """End the lease of a load that stores nothing, so that no other process waits for it."""
        core, remote = self.core, self._remote
        core.let_go(read)
        if remote is not None and read.token is not None and core.policy.distributed_lock:
            lease = [(read.lease_key, read.token)]
            core.failed("set", remote.renew_leases(lease, 0, remote.deadline(left)))

    # Warming

    def fill(self, wanted: Sequence[str]) -> list[Filled]:
        """Take what L2 holds of the keys into L1, in one round trip; they are no look-ups."""
        core = self.core
        core.check_keys(*wanted)
        reads = core.begin_warming(wanted)
        try:
            self._fetch(reads, core.policy.l2_timeout)
            return core.filled(reads)
        finally:
            core.end_warming(reads)

    def warm(
        self, flight: Flight, loader: Loader, ttl: float | None, tags: Tags
    ) -> tracing.SpanOutcome:
        """Lead `flight`, of a key that is to be warm; it is no look-up. Says how it ended."""
        core = self.core
        reads = core.begin_warming((flight.key,), loads=True)
        try:
            return self._bring_home(flight, reads[0], loader, ttl, tags)
        finally:
            core.end_warming(reads)

    # Writes

    def set_many(
        self, mapping: Mapping[str, Any], ttl: float | None, tags: Iterable[str], /
    ) -> None:
        """Store every item in both tiers; raises before any is stored."""
        core = self.core
        began = core.timer()
        core.check_keys(*mapping)
        carried = core.check_tags(tags)
        core.check_write(ttl, carried)
        payloads = {}
        for key, value in mapping.items():
            try:
                payloads[key] = core.encode(value)
            except ValueTooLargeError:
                self._delete([key], core.policy.l2_timeout)
                raise
        writes = [
            core.begin_set(key, mapping[key], payload, ttl, carried)
            for key, payload in payloads.items()
        ]
        self._store(writes, core.policy.l2_timeout)
        core.spent(began)

    def _store(self, writes: Sequence[Write], left: float) -> None:
        core, remote = self.core, self._remote
        owes = False
        try:
            ready = core.to_store(writes)
            if remote is not None and ready:
                deadline = remote.deadline(left)
                failure = None if remote.server_times() else remote.connect(deadline)
                times = remote.server_times()
                if times is None:
                    core.unreached(ready, failure)
                else:
                    items = core.wire_items(ready, times)
                    core.stored(ready, remote.store_many(items, deadline))
                left = remote.left(deadline)
        finally:
            owes = core.end_writes(writes)
            self.owe()
        if owes:
            self._pay(left)

    def delete_many(self, keys: Sequence[str], reason: str = "invalidated") -> list[bool]:
        """Delete the keys from both tiers; whether any tier held each."""
        core = self.core
        began = core.timer()
        core.check_keys(*keys)
        if tracing.hook is None or not tracing.wanted("invalidation"):
            dropped = self._delete(keys, core.policy.l2_timeout, reason)
        else:
            with tracing.Opened(core.details("invalidation", "delete", len(keys))) as span:
                dropped = self._delete(keys, core.policy.l2_timeout, reason)
                span.outcome = "done"
        core.spent(began)
        return dropped

    def _delete(self, keys: Sequence[str], left: float, reason: str = "invalidated") -> list[bool]:
        core, remote = self.core, self._remote
        replies: Sequence[bool | RemoteError] | None = None
        wire_keys = core.begin_delete(keys, reason)
        try:
            if remote is not None and wire_keys:
                replies = remote.delete_many(wire_keys, remote.deadline(left))
        finally:
            dropped = core.end_delete(keys, replies, reason)
            self.owe()
        return dropped

    def _pay(self, left: float) -> None:
        """A write failed: have L2 forget the key, now if it answers at all, else when it does."""
        remote = self._remote
        if remote is not None and remote.available and left > 0:
            recovery = self.core.recovery
            self._recover(recovery.some(100, recovery.mark()), remote.deadline(left))

    def owe(self) -> None:
        """Have the core's debts to L2 paid in the background."""
        if self.core.recovery and self._remote is not None and self._tend is not None:
            self._remote.in_background(self._tend)

    def invalidate_tags(
        self, tags: Sequence[str], reason: str = "invalidated", others: Sequence["SyncTiers"] = ()
    ) -> None:
        """Make every entry that carries one of `tags` a miss, in both tiers.

        `others` are caches of the same endpoint for which the same happens in the same step.
        """
        if tracing.hook is None or not tracing.wanted("invalidation"):
            self._invalidate(tags, reason, others)
            return
        with tracing.Opened(self.core.details("invalidation", "tags", len(tags))) as span:
            self._invalidate(tags, reason, others)
            span.outcome = "done"

    def _invalidate(self, tags: Sequence[str], reason: str, others: Sequence["SyncTiers"]) -> None:
        remote = self._remote
        cores = [self.core, *(other.core for other in others)]
        began = self.core.timer()
        for core in cores:
            core.check_keys()
            core.check_tags(tags)
        for core in cores:
            core.drop_tags(tags, 0, reason)
        replies: Sequence[int | RemoteError] | None = None
        try:
            if remote is not None and tags:
                tag_keys = [key for core in cores for key in core.tag_keys(tags)]
                deadline = remote.deadline(self.core.policy.l2_timeout)
                replies = remote.invalidate_tags(tag_keys, int(TAG_TTL * 1000), deadline)
        finally:
            times = None if remote is None else remote.server_times()
            for i, core in enumerate(cores):
                said = None if replies is None else replies[i * len(tags) : (i + 1) * len(tags)]
                core.end_invalidate(tags, said, times, reason)
        for tiers in (self, *others):
            tiers.owe()
        self.core.spent(began)

    def clear(self) -> bool:
        """Remove all entries of this cache from both tiers; False if L2 failed at it."""
        if tracing.hook is None or not tracing.wanted("invalidation"):
            return self._clear()
        with tracing.Opened(self.core.details("invalidation", "clear")) as span:
            cleared = self._clear()
            span.outcome = "done" if cleared else "error"
        return cleared

    def _clear(self) -> bool:
        core, remote = self.core, self._remote
        core.check_keys()
        core.drop_all()
        cleared: int | RemoteError = 0
        try:
            if remote is not None:
                cleared = remote.clear(core.patterns())
        finally:
            core.drop_all()
        return not core.failed("clear", [cleared])

    def stop(self) -> None:
        """End the background loads and let go of L2; the core may live on."""
        self._waits.close()
        if self._remote is not None:
            self._remote.close()
