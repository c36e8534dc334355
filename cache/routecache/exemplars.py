"""Exemplars: single observations that can be looked up elsewhere, such as a trace.

The cache knows no tracer. Whoever does (the exporters) sets a source that tells what the calling
thread or task is traced as. Without one an observation costs one comparison more.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

_log = logging.getLogger("routecache")

MAX_CHARACTERS: Final = 128
"""What OpenMetrics allows for the names and values of an exemplar's labels together."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Source: TypeAlias = Callable[[], Mapping[str, str] | None]


class Exemplar(NamedTuple):
    """One observation: `labels` to find it by, its `value`, and when (seconds since the epoch)."""

    labels: tuple[tuple[str, str], ...]
    value: float
    timestamp: float


_source: Source | None = None


def set_exemplar_source(source: Source | None) -> None:
    """Ask `source` from now on what slow observations are to be found by; None is nothing.

    source: called in the thread or task that observes, off the hit path; gives labels such as
        `trace_id`, or None. It must not block. Labels beyond 128 characters are left out. One that
        raises, or gives what no exposition can carry, is logged by the type of the error and not
        asked again: a single such label would make the whole page unreadable.

    For the whole process. Safe for threads.
    """
    global _source
    _source = source


def has_source() -> bool:
    """Whether a source is set."""
    return _source is not None


def exemplar_of(value: float) -> Exemplar | None:
    """The exemplar of an observation of `value` that is made now, if there is one."""
    source = _source
    return None if source is None else _ask(source, value)


def _ask(source: Source, value: float) -> Exemplar | None:
    try:
        labels = source()
        pairs = tuple(labels.items()) if labels else ()
        _check(pairs)
        fits = sum(len(name) + len(found) for name, found in pairs) <= MAX_CHARACTERS
    except Exception as error:  # noqa: BLE001  # a source may raise anything; a look-up goes on
        _log.warning("no exemplars any more: their source failed with %s", type(error).__name__)
        set_exemplar_source(None)
        return None
    return Exemplar(pairs, value, time.time()) if pairs and fits else None


def _check(pairs: tuple[tuple[str, str], ...]) -> None:
    for name, found in pairs:
        if not _NAME.fullmatch(name):
            raise ValueError
        found.encode()  # a lone surrogate has no bytes
