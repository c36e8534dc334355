"""The requests of a log as what `RoutingCache.warm` is warmed with."""

from collections.abc import Callable, Iterator

from routecache import PastRequest
from routecache_exporters.replay.context import BadValueError, parse_context
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.requests import name_in


def past_requests(
    path: str, context: str | None = None, *, limit: int | None = None, bad: BadRows | None = None
) -> Callable[[], Iterator[PastRequest]]:
    """A function that reads the log at `path` anew whenever it is called, for `warm`.

    Contexts have to be made as the router makes them, or nothing of what is warmed is ever asked
    for. A provider or a tool is taken from the column of that name, if there is one.

    Args:
        path: CSV with a header or JSON Lines, plain or gzip, as `routecache replay` reads it.
        context: columns and buckets as `--context` of `routecache replay`; None for its default.
        limit: read so many requests at most.
        bad: where rows that cannot be read are counted.

    What it returns raises UsageError for a log that cannot be used.
    """

    def read() -> Iterator[PastRequest]:
        with Log(path) as log:
            spec = parse_context(context, log.columns)
            names = {column.lower(): column for column in reversed(log.columns)}
            provider, tool = names.get("provider", "provider"), names.get("tool", "tool")
            read = 0
            try:
                for row in log:
                    if read == limit:
                        break
                    try:
                        yield PastRequest(
                            spec.of(row.values),
                            name_in(row.values, provider) or None,
                            name_in(row.values, tool) or None,
                        )
                        read += 1
                    except BadValueError as error:
                        log.bad.add(row.line, str(error))
            finally:  # also if the deadline ends the reading
                if bad is not None:
                    bad.count, bad.first = log.bad.count, log.bad.first

    return read
