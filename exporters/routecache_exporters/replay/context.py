"""Which columns of a log make a request's context, and how their values are bucketed.

`--context COL[:BUCKET],...`. Buckets make a cache key out of a number that hardly ever repeats:

    pow2    the next power of two: 1, 2, 4, ... (0 and below: 0)
    pow10   the next power of ten
    N       multiples of the number N, rounded down: 1000 turns 2345 into 2000
    auto    pow2 for numbers, anything else as it is

Without `--context`, every column that a router could know before it chooses a model is taken
with `auto`: not the time, not identifiers, nothing that is only known after the answer.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from routecache_exporters.usage import UsageError

Bucket: TypeAlias = Callable[[object], object]

# Values above this have no useful bucket, and keys of contexts hold 64-bit integers.
_MAX_NUMBER = 2.0**62

_NOT_IN_CONTEXT = re.compile(
    r"(^|[_.\-\s])(id|ids|uuid|guid|hash|trace|span|time|timestamp|ts|date|datetime|at"
    r"|generated|output|completion|response|latency|duration|elapsed|status|cost|error)"
    r"($|[_.\-\s])"
)


class BadValueError(ValueError):
    """A value that its column's bucket cannot take: a bad row."""


def _plain(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit():
        number = int(value) if len(value) < 19 else None
        return number if str(number) == value else value
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValueError(f"{value} is not a finite number")
    return value


def _number(value: object) -> float:
    try:
        # A bool is an int to Python, and a list would be a TypeError.
        number = float("" if isinstance(value, bool) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadValueError(f"{_short(value)} is not a number") from None
    if not abs(number) <= _MAX_NUMBER:
        raise BadValueError(f"{_short(value)} is too large a number")
    return number


def _pow2(value: object) -> int:
    number = _number(value)
    return 1 << (math.ceil(number) - 1).bit_length() if number > 0 else 0


def _pow10(value: object) -> int:
    number = _number(value)
    bound = 1 if number > 0 else 0
    while bound < number:
        bound *= 10
    return bound


def _auto(value: object) -> object:
    plain = _plain(value)
    if isinstance(plain, bool) or plain is None:
        return plain
    try:
        return _pow2(plain)
    except BadValueError:
        return plain


_BUCKETS: Mapping[str, Bucket] = {"pow2": _pow2, "pow10": _pow10, "auto": _auto}


def _width(width: float) -> Bucket:
    def bucket(value: object) -> object:
        try:
            low = math.floor(_number(value) / width) * width
        except OverflowError:
            raise BadValueError(f"{_short(value)} is too large a number for {width:g}") from None
        return int(low) if low.is_integer() else low

    return bucket


def _bucket(name: str) -> Bucket:
    if name in _BUCKETS:
        return _BUCKETS[name]
    try:
        width = float(name)
    except ValueError:
        width = 0.0
    if not 0 < width <= _MAX_NUMBER:
        raise UsageError(
            f"unknown bucket {name!r} in --context: use {', '.join(_BUCKETS)} or a positive number"
        )
    return _width(width)


@dataclass(frozen=True, slots=True)
class ContextSpec:
    """How to make the context of a request from a row. `text` is the spec in its written form."""

    text: str
    _columns: tuple[tuple[str, Bucket], ...]

    def of(self, values: Mapping[str, Any]) -> dict[str, object]:
        """The context of one row, by column.

        Raises:
            BadValueError: a column is missing from the row, or its bucket cannot take the value.
        """
        context: dict[str, object] = {}
        for column, bucket in self._columns:
            if column not in values:
                raise BadValueError(f"no column {column!r}")
            try:
                context[column] = bucket(values[column])
            except BadValueError as error:
                raise BadValueError(f"{column}: {error}") from None
        return context


def parse_context(text: str | None, columns: Sequence[str]) -> ContextSpec:
    """Read `--context`; None means the default described above.

    A column whose own name ends in `:pow2` or the like is found by its whole name first.

    Raises:
        UsageError: a column that the log does not have or that is named twice, an unknown bucket.
    """
    if text is None:
        return _default(columns)
    chosen: list[tuple[str, Bucket]] = []
    for part in (part.strip() for part in text.split(",")):
        name, colon, bucket = part.rpartition(":")
        if part in columns or not colon:
            name, bucket = part, ""
        if name not in columns:
            raise UsageError(f"no column {name!r} for --context: the log has {', '.join(columns)}")
        if any(name == column for column, _ in chosen):
            raise UsageError(f"column {name!r} is twice in --context: name it once")
        chosen.append((name, _plain if name == part else _bucket(bucket)))
    return ContextSpec(text, tuple(chosen))


def _default(columns: Sequence[str]) -> ContextSpec:
    chosen = [column for column in columns if not _NOT_IN_CONTEXT.search(_words(column))]
    chosen = chosen or list(columns)
    return ContextSpec(
        ",".join(f"{column}:auto" for column in chosen),
        tuple((column, _auto) for column in chosen),
    )


def _words(column: str) -> str:
    """`GeneratedTokens` as `generated_tokens`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
