"""The `routecache` command as a process of its own, and who is left of it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def environment(changed: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would lead the command elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "REDIS_URL" and not name.startswith("ROUTING_CACHE_")
    }
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path), **(changed or {})}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "routecache_exporters.cli", *arguments]


def run(
    *arguments: str, timeout: float = 60.0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, at most `timeout` seconds."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment(env),
    )


def start(*arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """Start it; its output is on pipes."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
    )


def pids_naming(path: Path) -> list[int]:
    """The living processes with `path` in their command line or as their working directory."""
    found = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            line = (directory / "cmdline").read_bytes().decode(errors="replace")
            place = str((directory / "cwd").readlink())
        except OSError:  # it ended meanwhile, or is a kernel thread
            continue
        if line and str(path) in line + place:
            found.append(int(directory.name))
    return found
