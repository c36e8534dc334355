"""How long this process runs, the interpreter's own start included."""

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()


def process_uptime() -> float:
    """Seconds since the process was started; without /proc, since this module was imported."""
    try:
        # Field 22 of stat, counted after the command's name, which may hold blanks.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        booted = float(Path("/proc/uptime").read_text().split()[0])
        return booted - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.monotonic() - _IMPORTED
