"""The decisions of the tiered cache, without any I/O: shared by the sync and the asyncio driver.

A driver opens an operation (`begin_*`), does the I/O that it asks for, hands the replies back and
closes it (`end_*`). All state and every count is here, so the drivers cannot disagree. The hit
path does not come through here: managers read `entries`, `timer` and the thread's cell themselves.

L2 comes before L1 on every write and delete. What that needs beside concurrent readers is told in
fences.py, what it needs beside other processes in remote/lua/lease.lua. All times are seconds of
the injected timer, but for `created` and the envelope, which are microseconds of the Redis
server's clock.
"""

from routecache.tiered.explaining import Explaining
from routecache.tiered.spans import Spans
from routecache.tiered.state import LEASE_MS, TAG_TTL
from routecache.tiered.warming import Warming
from routecache.tiered.writing import Writing

__all__ = ["LEASE_MS", "TAG_TTL", "TieredCore"]


class TieredCore(Warming, Writing, Explaining, Spans):
    """State and decisions of one manager. Safe for threads and tasks: nothing here blocks."""
