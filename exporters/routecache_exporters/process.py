"""The process that answers: its id, its age, and what runs in it."""

import os
import time
from functools import cache
from pathlib import Path

from routecache_exporters.build import build_info
from routecache_exporters.performance_shapes import ProcessMetrics


def process_metrics(now: float) -> ProcessMetrics:
    """What is to be told of this process at `now`, seconds since the epoch. Never raises."""
    pid = os.getpid()
    started = _started(pid)
    version, revision, python = _build()
    return {
        "pid": pid,
        "started": started,
        "uptime_seconds": None if started is None else max(0.0, now - started),
        "version": version,
        "revision": revision,
        "python": python,
    }


_build = cache(build_info)


@cache
def _started(pid: int) -> float | None:
    # By process, as a forked child has a time of its own. Source: proc(5), field 22 of stat,
    # counted from behind the command's name, which may hold spaces and parentheses.
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[19])
        since_boot = ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, IndexError, AttributeError):
        return None
