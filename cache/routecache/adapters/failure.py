"""`Failure`: what an attempt at a provider says of the provider, if it says anything."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["rate_limit", "timeout", "error", "probe"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed because of the provider and not because of the request.

    kind: rate_limit, timeout, error (a status of 5xx, or no connection) or probe.
    retry_after: seconds that the provider asked to be left alone, if it said so.
    """

    kind: Kind
    retry_after: float | None = None


def failure_of(
    status: int | None, retry_after: str | None = None, *, now: Callable[[], float] = time.time
) -> Failure | None:
    """What an HTTP status says of the provider; None if it answered, or blames the request.

    401, 403 and 404 blame the request: they come from a caller's key or model as often as from
    the provider, and one caller's must not take a provider away from all.

    Args:
        status: the HTTP status, or None if there was no answer.
        retry_after: the header of that name, seconds or a date; what cannot be read counts as
            absent.
        now: the wall clock that a date is compared with.
    """
    if status is None:
        return Failure("error")
    if status == 429:
        return Failure("rate_limit", _seconds(retry_after, now))
    if status in (408, 504):
        return Failure("timeout")
    if status == 503:
        return Failure("error", _seconds(retry_after, now))
    return Failure("error") if status >= 500 else None


def _seconds(text: str | None, now: Callable[[], float]) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            # A number in it that no year or zone can be is an OverflowError.
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - datetime.fromtimestamp(now(), UTC)).total_seconds()
    return seconds if math.isfinite(seconds) and seconds > 0 else None
