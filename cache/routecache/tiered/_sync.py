"""The sync driver: the I/O between the core's decisions, and nothing else."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from routecache.errors import LoadTimeoutError, RemoteError, ValueTooLargeError
from routecache.tiered._core import TAG_TTL, TieredCore
from routecache.tiered.flights import Flight, Landing
from routecache.tiered.operations import Read, Write
from routecache.typing import MISS, Remote

Loader: TypeAlias = Callable[[], object]
Tags: TypeAlias = Iterable[str] | Callable[[object], Iterable[str]]


class SyncTiers:
    """Drives `core` over `remote`, or over L1 alone if that is None. Safe for threads."""

    def __init__(self, core: TieredCore, remote: Remote | None) -> None:
        self._core = core
        self._remote = remote

    def get(self, key: str) -> object:
        """The value of a key that the hit path did not find, or MISS."""
        core = self._core
        core.check_keys(key)
        if self._remote is None:
            return core.missed(key)
        read = core.begin_read(key)
        try:
            self._fetch((read,))
            core.settle(read)
        except BaseException:
            core.broke(read)
            raise
        return core.end_read(read)

    def get_many(self, keys: Sequence[str]) -> dict[str, object]:
        """The keys that a tier holds, with their values; one round trip for all."""
        core = self._core
        core.check_keys(*keys)
        reads = [core.begin_read(key) for key in keys]
        try:
            self._fetch([read for read in reads if read.entry is None])
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
        return found

    def get_or_load(self, key: str, loader: Loader, ttl: float | None, tags: Tags) -> object:
        """The key's value, loaded once for all who ask meanwhile; MISS if there is none."""
        core = self._core
        core.check_keys(key)
        core.check_write(ttl, () if callable(tags) else tuple(tags))
        while True:
            started = core.timer()
            flight, leads = core.flights.join(key)
            if leads:
                return self._lead(flight, loader, ttl, tags)
            if flight.leader == threading.get_ident():
                landing = self._nested(flight, started, loader)
            else:
                landing = self._wait(flight, started)
            if landing.outcome != "abandoned":
                return landing.value

    def _nested(self, flight: Flight, started: float, loader: Loader) -> Landing:
        # A loader asks for its own key: waiting for itself would never end.
        landing: Landing | None = None
        try:
            landing = Landing("load", loader())
            return landing
        finally:
            self._core.end_wait(flight, started, landing)

    def _wait(self, flight: Flight, started: float) -> Landing:
        core = self._core
        landing: Landing | None = None
        try:
            landing = flight.future.result(core.policy.hard_timeout)
            return landing
        except TimeoutError as error:
            if flight.future.done():
                raise  # the loader's own
            raise LoadTimeoutError(
                f"waited {core.policy.hard_timeout} s for another caller's load"
            ) from error
        finally:
            if landing is None or landing.outcome != "abandoned":
                core.end_wait(flight, started, landing)

    def _lead(self, flight: Flight, loader: Loader, ttl: float | None, tags: Tags) -> object:
        core = self._core
        read = core.begin_read(flight.key)
        try:
            left = self._fetch((read,))
            flight.failure = read.failure
            if core.settle(read):
                landing = Landing("l2_hit" if read.entry is None else "l1_hit", read.value)
            else:
                landing = Landing("load", self._load(read, left, loader, ttl, tags))
        except Exception as error:
            core.broke(read)
            core.flights.fail(flight, error)
            raise
        except BaseException:
            core.broke(read)
            core.flights.land(flight, Landing("abandoned"))
            raise
        core.end_read(read, "load")
        core.flights.land(flight, landing)
        return landing.value

    def _load(
        self, read: Read, left: float, loader: Loader, ttl: float | None, tags: Tags
    ) -> object:
        core = self._core
        created = self._created(read, left)
        began = core.begin_load()
        try:
            value = loader()
        except BaseException as error:
            core.end_load(began, error)
            raise
        core.end_load(began)
        if value is MISS:
            return MISS
        carried = tuple(tags(value) if callable(tags) else tags)
        core.check_write(ttl, carried)
        try:
            payload = core.encode(value)
        except ValueTooLargeError:
            self.delete_many([read.key])
            return value  # counted; who asked for a load must not fail for its size
        write = core.begin_write(read.key, value, payload, ttl, carried, read)
        self._store([write], created, left if created is not None else 0.0)
        return value

    def _created(self, read: Read, left: float) -> int | None:
        # Taken before the load, so that what is invalidated during it is older than that.
        if self._remote is None or read.failure == "l2_unavailable":
            return None
        try:
            return self._remote.earliest_server_time(self._remote.deadline(left))
        except RemoteError as error:
            self._core.failed("connect", error)
            return None

    def set_many(
        self, mapping: Mapping[str, object], ttl: float | None, tags: Iterable[str]
    ) -> None:
        """Store every item in both tiers; raises before any is stored."""
        core = self._core
        carried = tuple(tags)
        core.check_keys(*mapping)
        core.check_write(ttl, carried)
        payloads = {}
        for key, value in mapping.items():
            try:
                payloads[key] = core.encode(value)
            except ValueTooLargeError:
                self.delete_many([key])
                raise
        writes = [
            core.begin_write(key, mapping[key], payload, ttl, carried)
            for key, payload in payloads.items()
        ]
        self._store(writes, None, core.policy.l2_timeout)

    def _store(self, writes: Sequence[Write], created: int | None, left: float) -> None:
        core, remote = self._core, self._remote
        doomed: list[str] = []
        try:
            ready = [write for write in writes if core.may_store(write)]
            if remote is not None and ready and left > 0:
                deadline = remote.deadline(left)
                server_now = remote.earliest_server_time(deadline)
                remote.set_many(core.wire_items(ready, created, server_now), deadline)
                core.written(ready)
        except RemoteError as error:
            core.failed("set", error)
        finally:
            doomed = [write.wire_key for write in writes if not core.end_write(write)]
        if doomed and remote is not None:
            self._unlink(doomed)

    def delete_many(self, keys: Sequence[str]) -> list[bool]:
        """Delete the keys from both tiers; whether any tier held each."""
        core = self._core
        core.check_keys(*keys)
        replies: list[bool] | None = None
        wire_keys = core.begin_delete(keys)
        try:
            replies = self._unlink(wire_keys)
        finally:
            dropped = core.end_delete(keys, replies)
        return dropped

    def _unlink(self, wire_keys: Sequence[str]) -> list[bool] | None:
        if self._remote is None or not wire_keys:
            return None
        try:
            deadline = self._remote.deadline(self._core.policy.l2_timeout)
            return self._remote.delete_many(wire_keys, deadline)
        except RemoteError as error:
            self._core.failed("delete", error)
            return None

    def invalidate_tags(self, tags: Sequence[str]) -> None:
        """Make every entry that carries one of `tags` a miss, in both tiers."""
        core, remote = self._core, self._remote
        core.check_keys(*tags)
        core.drop_tags(tags, 0)
        server_time = 0
        if remote is not None and tags:
            try:
                deadline = remote.deadline(core.policy.l2_timeout)
                remote.invalidate_tags(core.tag_keys(tags), int(TAG_TTL * 1000), deadline)
            except RemoteError as error:
                core.failed("tags", error)
                server_time = remote.latest_server_time()
        core.drop_tags(tags, server_time)

    def clear(self) -> bool:
        """Remove all entries of this cache from both tiers; False if L2 failed at it."""
        core = self._core
        core.check_keys()
        core.drop_all()
        cleared = True
        if self._remote is not None:
            try:
                self._remote.clear(core.patterns())
            except RemoteError as error:
                core.failed("clear", error)
                cleared = False
        core.drop_all()
        return cleared

    def ttl(self, key: str) -> float | None:
        """Seconds for which any tier will still answer for `key`; None if none does."""
        core = self._core
        core.check_keys(key)
        read = core.begin_peek(key)
        self._fetch((read,), peek=True)
        return core.seconds_left(read)

    def _fetch(self, reads: Sequence[Read], *, peek: bool = False) -> float:
        """Ask L2 for what L1 lacks; returns the seconds that are left of the one deadline."""
        core, remote = self._core, self._remote
        wanted = [read for read in reads if peek or read.entry is None]
        if remote is None or not wanted:
            return 0.0
        deadline = remote.deadline(core.policy.l2_timeout)
        try:
            if len(wanted) == 1:
                payloads = [remote.get(wanted[0].wire_key, deadline)]
            else:
                payloads = remote.get_many([read.wire_key for read in wanted], deadline)
            tag_keys = core.arrived(wanted, payloads, remote.latest_server_time())
            if tag_keys:
                core.tags_arrived(wanted, tag_keys, remote.get_many(tag_keys, deadline))
        except RemoteError as error:
            core.read_failed(wanted, error)
        return remote.left(deadline)

    def close(self) -> None:
        """Refuse further calls, empty L1 and let go of L2."""
        core = self._core
        if not core.closed:
            core.closed = True
            core.drop_all()
            if self._remote is not None:
                self._remote.close()
