"""Spans of what is slow: loads, refreshes, waits, steps of L2 and invalidations; never an L1 hit.

The cache knows no tracer. Whoever does (the exporters) sets one, and is told what happens in
frozen `Details`, which hold no key, no value and no address. Without a tracer each place where a
span could be costs one comparison. A tracer that raises is logged by the type of its error and
not asked again; no call of the cache notices.

Loads, refreshes and invalidations are open while they last, so that what happens in them is found
inside. Steps of L2 and waits have no insides: they are told of when they are over.
"""

import logging
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

from routecache.errors import RemoteError
from routecache.typing import ERROR_KINDS, Leased, Operation, Seen

_log = logging.getLogger("routecache")

SpanKind: TypeAlias = Literal["load", "refresh", "wait", "l2", "invalidation"]
SpanError: TypeAlias = str
"""One of `typing.ERROR_KINDS`, or `cancelled` or `error`: never the text of an exception."""
SpanOutcome: TypeAlias = Literal[
    "hit", "miss", "partial", "done", "value", "none", "error",
    "l1_hit", "l2_hit", "stale", "load",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Details:
    """What a span is of.

    cache: the name of the cache.
    operation: of an L2 step or an invalidation (delete, tags, clear); of a refresh its kind.
    size: how many keys or tags it is about.
    l2: the alias of the endpoint, for L2 steps.
    link: the place of another span that this one belongs to without being inside it: of a wait
        the load that was waited for, of a refresh the call that asked for it.
    outcome, error: how it ended, for what is told of when it is over.
    """

    kind: SpanKind
    cache: str
    operation: str = ""
    size: int = 1
    l2: str = ""
    link: object = None
    outcome: SpanOutcome | None = None
    error: SpanError | None = None


class Span(Protocol):
    """An open span, in which what its thread or task does until its end is found."""

    @property
    def place(self) -> object:
        """What other spans can be linked to."""
        ...

    def end(self, outcome: SpanOutcome | None, error: SpanError | None) -> None:
        """Close it, in the thread or task that opened it."""
        ...


class Tracer(Protocol):
    """Makes spans. Called off the hit path by all threads and tasks; must not block."""

    def wants(self, kind: SpanKind) -> bool:
        """Whether a span of this kind would be recorded if it began here and now."""
        ...

    def here(self) -> object:
        """The place of the span in which the caller is, None unless that is recorded."""
        ...

    def begin(self, details: Details) -> Span:
        """Open a span in the calling thread or task, a refresh as the root of a new trace."""
        ...

    def record(self, details: Details, seconds: float) -> None:
        """Make a span of what has just ended and took so many seconds."""
        ...


hook: Tracer | None = None
"""The process's tracer. Read it to learn whether there is one; everything else is done below."""


def set_tracer(tracer: Tracer | None) -> None:
    """Have `tracer` make spans from now on; None is nobody. For the whole process.

    Safe for threads; what is open now is ended by the tracer that opened it.
    """
    global hook
    hook = tracer


def wanted(kind: SpanKind) -> bool:
    """Whether a span of this kind would be recorded here and now."""
    tracer = hook
    try:
        return tracer is not None and tracer.wants(kind)
    except Exception as error:  # noqa: BLE001  # a tracer may raise anything; the call goes on
        _broke(tracer, error)
        return False


def wanted_behind(origin: object) -> bool:
    """Whether a span of a refresh would be recorded that was asked for at `origin`."""
    return origin is not None or wanted("refresh")


def here() -> object:
    """The place of the span in which the caller is; None unless that is recorded."""
    tracer = hook
    try:
        return None if tracer is None else tracer.here()
    except Exception as error:  # noqa: BLE001
        _broke(tracer, error)
        return None


def record(details: Details, seconds: float) -> None:
    """Tell of a step that has just ended and took so many seconds."""
    tracer = hook
    try:
        if tracer is not None:
            tracer.record(details, seconds)
    except Exception as error:  # noqa: BLE001
        _broke(tracer, error)


class Opened:
    """A span for a `with` statement, ended by its end or by the exception that leaves it.

    `outcome` is what to say of it if nothing raised. For one thread or task.
    """

    __slots__ = ("_details", "_span", "_tracer", "outcome")

    def __init__(self, details: Details) -> None:
        self.outcome: SpanOutcome | None = None
        self._details = details
        self._span: Span | None = None
        self._tracer: Tracer | None = None

    @property
    def place(self) -> object:
        """What other spans can be linked to, None if there is no span."""
        try:
            return None if self._span is None else self._span.place
        except Exception as error:  # noqa: BLE001
            _broke(self._tracer, error)
            return None

    def __enter__(self) -> Self:
        self._tracer = tracer = hook
        try:
            self._span = None if tracer is None else tracer.begin(self._details)
        except Exception as error:  # noqa: BLE001
            _broke(tracer, error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._span is None:
            return
        failure = None if error is None else failure_of(error)
        try:
            self._span.end("error" if failure else self.outcome, failure)
        except Exception as broken:  # noqa: BLE001
            _broke(self._tracer, broken)


def failure_of(error: BaseException) -> Literal["timeout", "cancelled", "error"]:
    """How a loader failed: by a time-out, interrupted (a cancelled task), or otherwise."""
    if isinstance(error, TimeoutError):
        return "timeout"
    return "error" if isinstance(error, Exception) else "cancelled"


class L2Step:
    """A round trip to L2 for a `with` statement, told of when it is over.

    `results` are what it gave, one for each of `size` keys or tags. What an open circuit held back
    was no step. For one thread or task.
    """

    __slots__ = ("_began", "_cache", "_l2", "_operation", "_size", "results")

    def __init__(self, cache: str, l2: str, operation: Operation, size: int) -> None:
        self.results: list[Any] = []
        self._cache = cache
        self._l2 = l2
        self._operation: Operation = operation
        self._size = size

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.monotonic() - self._began
        failures = [result.kind for result in self.results if isinstance(result, RemoteError)]
        sent = [failure for failure in failures if failure != "circuit"]
        if failures and not sent and len(failures) == len(self.results):
            return
        failure: str | None = failure_of(error) if error is not None else None
        if sent:
            failure = sent[0] if sent[0] in ERROR_KINDS else "other"
        outcome: SpanOutcome = "error" if failure else self._outcome()
        details = Details(
            "l2", self._cache, self._operation, self._size, self._l2, None, outcome, failure
        )
        record(details, seconds)

    def _outcome(self) -> SpanOutcome:
        if self._operation != "get":
            return "done"
        found = sum(1 for result in self.results if _payload(result) is not None)
        return "miss" if not found else "hit" if found == len(self.results) else "partial"


def _payload(result: object) -> object:
    return result.payload if isinstance(result, (Leased, Seen)) else result


def _broke(tracer: Tracer | None, error: Exception) -> None:
    global hook
    if hook is tracer:
        hook = None
    _log.warning("no spans any more: the tracer raised %s", type(error).__name__)
