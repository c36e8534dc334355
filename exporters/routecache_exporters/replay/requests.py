"""What each row of a log asks the router: its context, provider, tool and arrival time."""

from collections.abc import Iterator, Mapping, Sequence

from routecache_exporters.replay import policy
from routecache_exporters.replay.context import BadValueError, ContextSpec
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.times import Times
from routecache_exporters.usage import UsageError

_TIMESTAMPS = (
    "timestamp", "time", "ts", "datetime", "date", "arrived_at", "arrival", "arrival_time",
    "created_at", "created", "start_time", "@timestamp",
)  # fmt: skip

_MAX_NAME = 200


def timestamp_column(
    columns: Sequence[str], wanted: str | None, *, needed: str | None
) -> str | None:
    """The column that holds arrival times: `wanted`, else one with a usual name.

    Raises:
        UsageError: `wanted` is not in the log, or none was found and what `needed` names needs one.
    """
    if wanted is not None:
        if wanted not in columns:
            raise UsageError(
                f"no column {wanted!r} for --timestamp: the log has {', '.join(columns)}"
            )
        return wanted
    by_name = {column.lower(): column for column in columns}
    found = next((by_name[name] for name in _TIMESTAMPS if name in by_name), None)
    if found is None and needed:
        raise UsageError(
            f"{needed} needs arrival times: name their column with --timestamp, one of "
            f"{', '.join(columns)}" + (", or use --speed max" if needed == "--speed" else "")
        )
    return found


def asked(
    log: Log, context: ContextSpec, timestamp: str | None, times: Times | None = None
) -> Iterator[policy.Asked]:
    """Turn the rows of `log` into questions; rows that cannot be turned are counted in `log.bad`.

    Args:
        log: the opened log.
        context: which columns make the context.
        timestamp: the column with arrival times, or None to leave them out.
        times: reads them; not to be used for another log.
    """
    times = Times() if times is None else times
    names = {column.lower(): column for column in reversed(log.columns)}
    # JSON rows may have them without the first row having them.
    provider, tool = names.get("provider", "provider"), names.get("tool", "tool")
    for row in log:
        try:
            yield policy.Asked(
                context.of(row.values),
                name_in(row.values, provider) or policy.derived_provider(row.text),
                name_in(row.values, tool) or policy.derived_tool(row.text),
                None if timestamp is None else _arrival(row.values, timestamp, times),
            )
        except BadValueError as error:
            log.bad.add(row.line, str(error))


def _arrival(values: Mapping[str, object], column: str, times: Times) -> float:
    if column not in values:
        raise BadValueError(f"no column {column!r}")
    try:
        return times.seconds(values[column])
    except BadValueError as error:
        raise BadValueError(f"{column}: {error}") from None


def name_in(values: Mapping[str, object], column: str) -> str:
    """The row's own provider or tool, or an empty string when it has none."""
    value = values.get(column)
    if not isinstance(value, str):
        return ""
    if len(value) > _MAX_NAME:
        raise BadValueError(f"{column}: a name of {len(value)} characters")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise BadValueError(f"{column}: half a surrogate pair is no text")
    return value.strip()
