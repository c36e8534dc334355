"""A bar by bytes of the log on stderr, while it is read."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from routecache_exporters.replay.logs import Log
from routecache_exporters.usage import UsageError, require


@contextmanager
def progress_of(log: Log, what: str = "replaying") -> Iterator[Callable[[], None] | None]:
    """A bar called `what` if stderr is a terminal and rich is there to draw it, else None.

    What it gives is to be called once per request.
    """
    if not sys.stderr.isatty():
        yield None
        return
    try:
        rich = require("rich.progress", "cli")
        console = require("rich.console", "cli").Console(stderr=True)
    except UsageError:
        yield None
        return
    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TextColumn("{task.fields[rows]:,} requests"),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=log.total_bytes, rows=0)
        rows = 0

        def progress() -> None:
            nonlocal rows
            rows += 1
            if rows % 100 == 0 or rows < 100:
                bar.update(task, completed=log.bytes_read, rows=rows)

        yield progress
