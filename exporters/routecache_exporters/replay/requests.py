"""What each row of a log asks the router: its context, provider, tool and arrival time."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from routecache_exporters.replay import policy
from routecache_exporters.replay.context import BadValueError, ContextSpec
from routecache_exporters.replay.logs import Log
from routecache_exporters.usage import UsageError

_TIMESTAMPS = (
    "timestamp", "time", "ts", "datetime", "date", "arrived_at", "arrival", "arrival_time",
    "created_at", "created", "start_time", "@timestamp",
)  # fmt: skip

_MAX_NAME = 200

# Epoch numbers in s, ms, us or ns: what is above these bounds (the year 5138 in seconds) is in
# the next smaller unit.
_EPOCH_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))


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


def seconds(value: object) -> float:
    """An arrival time in seconds since the epoch, from ISO 8601 or from an epoch number.

    Without a time zone UTC is meant; only differences matter.

    Raises:
        BadValueError: it is neither.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            return _iso_8601(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadValueError(f"{value!r:.40} is no time")
    unit = next(unit for bound, unit in _EPOCH_UNITS if abs(value) < bound)
    return value / unit


def _iso_8601(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadValueError(f"{text[:40]!r} is no time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def asked(log: Log, context: ContextSpec, timestamp: str | None) -> Iterator[policy.Asked]:
    """Turn the rows of `log` into questions; rows that cannot be turned are counted in `log.bad`.

    Args:
        log: the opened log.
        context: which columns make the context.
        timestamp: the column with arrival times, or None to leave them out.
    """
    names = {column.lower(): column for column in reversed(log.columns)}
    # JSON rows may have them without the first row having them.
    provider, tool = names.get("provider", "provider"), names.get("tool", "tool")
    for row in log:
        try:
            yield policy.Asked(
                context.of(row.values),
                name_in(row.values, provider) or policy.derived_provider(row.text),
                name_in(row.values, tool) or policy.derived_tool(row.text),
                None if timestamp is None else _arrival(row.values, timestamp),
            )
        except BadValueError as error:
            log.bad.add(row.line, str(error))


def _arrival(values: Mapping[str, object], column: str) -> float:
    if column not in values:
        raise BadValueError(f"no column {column!r}")
    try:
        return seconds(values[column])
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
