"""What a cache owes L2 while nobody calls: recovery, and the leases of long loads."""

from routecache.errors import RemoteError
from routecache.tiered._core import LEASE_MS, TAG_TTL, TieredCore
from routecache.typing import Remote

_BATCH = 500


class Tending:
    """Pays what `core` owes over `remote`, also for an asyncio manager. Safe for threads."""

    def __init__(self, core: TieredCore, remote: Remote) -> None:
        self._core = core
        self._remote = remote

    def __call__(self) -> bool:
        """One round; True when nothing is left to do."""
        core, remote = self._core, self._remote
        if core.closed:
            return True
        old = core.old_leases()
        if old:
            remote.renew_leases(old, LEASE_MS, self._deadline())
        if core.recovery:
            self._recover()
        return not core.recovery and not core.holds_leases

    def _deadline(self) -> float:
        return self._remote.deadline(self._core.policy.l2_timeout)

    def _recover(self) -> None:
        core, remote = self._core, self._remote
        if core.recovery.overflowed:
            leases_and_values = core.patterns()[:2]
            cleared = remote.clear(leases_and_values)
            core.failed("clear", (cleared,))
            if isinstance(cleared, RemoteError):
                return
            core.recovery.cleared()
        mark = core.recovery.mark()
        while doomed := core.recovery.some(_BATCH, mark):
            replies = remote.delete_many(core.wire_keys(doomed), self._deadline())
            core.recovered(mark, doomed, replies)
            if any(isinstance(reply, RemoteError) for reply in replies):
                return
        tags = core.recovery.tags()
        if tags:
            times = remote.invalidate_tags(
                core.tag_keys(tags), int(TAG_TTL * 1000), self._deadline()
            )
            core.tags_recovered(mark, tags, times)
