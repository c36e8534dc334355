"""Processes that watch stand back behind those that are watched."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from routecache_exporters.demo.processes import Child, Processes

_LEAST: Final = "19"  # the nicest there is


class Watchers(Processes):
    """`Processes` that run only while nothing else wants the processor. Safe for threads.

    A Prometheus that scrapes each second and evaluates the rules of many fleets on the machine of
    its routers takes slices of milliseconds from them, which count against their objective of 5.
    Where Linux groups processes by session (sched_autogroup_enabled), their groups are made nice;
    without that they are idle ones, which whatever wakes up interrupts.
    """

    def start(self, name: str, argv: Sequence[str]) -> Child:
        """Start `argv` as `Processes.start` does, behind all others."""
        child = super().start(name, argv)
        _stand_back(child.pid)
        return child


def _stand_back(pid: int) -> None:
    """Have every thread of a process that has just begun run when the machine is idle."""
    process = Path("/proc", str(pid))
    with contextlib.suppress(OSError):  # not Linux, no groups, or it has ended already
        (process / "autogroup").write_text(_LEAST)
    done: set[int] = set()
    with contextlib.suppress(OSError):
        # Threads begin meanwhile: those of one that stands back do so, too.
        while left := {int(task.name) for task in (process / "task").iterdir()} - done:
            for thread in left:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            done |= left
