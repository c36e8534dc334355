"""Spans by OpenTelemetry: what `routecache.tracing` tells of, as spans with attributes.

Names are `load model`, `refresh model`, `wait model`, `get model` (a step of L2) and
`invalidate model`: an operation and a cache, never a key. Attributes follow the semantic
conventions where there is one (`db.system.name`, `db.operation.batch.size`, `error.type`) and are
`routecache.*` elsewhere. No exception is recorded, because its text may hold anything.
"""

import time
from collections.abc import Sequence
from contextvars import Token
from typing import Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from routecache import tracing
from routecache.tracing import Details, SpanError, SpanOutcome

_ROOTS: Final = frozenset({"load", "refresh", "invalidation"})
_STATUS_ERROR: Final = Status(StatusCode.ERROR)


class SpanTracer:
    """Makes OpenTelemetry spans inside of recorded ones, see `routecache.tracing.Tracer`.

    roots: also begin new traces with loads, refreshes and invalidations that no span is around.

    Safe for threads and tasks, and in forked children as far as the SDK is.
    """

    def __init__(self, tracer: trace.Tracer, *, roots: bool = False) -> None:
        self._tracer = tracer
        self._roots = roots

    def wants(self, kind: tracing.SpanKind) -> bool:
        """Whether the caller is in a recorded span, or may begin a trace here."""
        span = trace.get_current_span()
        if span.is_recording():
            return True
        return self._roots and kind in _ROOTS and not span.get_span_context().is_valid

    def here(self) -> SpanContext | None:
        """The context of the caller's span if that is recorded."""
        span = trace.get_current_span()
        return span.get_span_context() if span.is_recording() else None

    def begin(self, details: Details) -> "OpenSpan":
        """Open a span and make it the caller's."""
        parent = Context() if details.kind == "refresh" else None
        span = self._tracer.start_span(
            _name(details),
            parent,
            attributes=_attributes(details),
            links=_links(details),
            record_exception=False,
            set_status_on_exception=False,
        )
        return OpenSpan(span, context.attach(trace.set_span_in_context(span, parent)))

    def record(self, details: Details, seconds: float) -> None:
        """Make a span that ends now and took so many seconds."""
        now = time.time_ns()
        span = self._tracer.start_span(
            _name(details),
            kind=SpanKind.CLIENT if details.kind == "l2" else SpanKind.INTERNAL,
            attributes=_attributes(details),
            links=_links(details),
            start_time=now - int(seconds * 1e9),
        )
        if span.is_recording():
            _close(span, details.outcome, details.error)
        span.end(now)


class OpenSpan:
    """An open span that is the caller's; see `routecache.tracing.Span`."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span, token: Token[Context]) -> None:
        self._span = span
        self._token = token

    @property
    def place(self) -> SpanContext | None:
        """Its context, unless it is not recorded."""
        return self._span.get_span_context() if self._span.is_recording() else None

    def end(self, outcome: SpanOutcome | None, error: SpanError | None) -> None:
        """End it; the span around it is the caller's again."""
        context.detach(self._token)
        _close(self._span, outcome, error)
        self._span.end()


def _name(details: Details) -> str:
    if details.kind == "l2":
        return f"{details.operation} {details.cache}"
    verb = "invalidate" if details.kind == "invalidation" else details.kind
    return f"{verb} {details.cache}"


def _attributes(details: Details) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {"routecache.cache": details.cache}
    if details.operation:
        found["routecache.operation"] = details.operation
    if details.kind == "l2":
        found["routecache.tier"] = "l2"
        found["routecache.l2"] = details.l2
        found["db.system.name"] = "redis"
        if details.size > 1:  # the conventions call less no batch
            found["db.operation.batch.size"] = details.size
    elif details.size > 1:
        found["routecache.batch.size"] = details.size
    return found


def _links(details: Details) -> Sequence[Link]:
    return (Link(details.link),) if isinstance(details.link, SpanContext) else ()


def _close(span: trace.Span, outcome: SpanOutcome | None, error: SpanError | None) -> None:
    if outcome is not None:
        span.set_attribute("routecache.outcome", outcome)
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(_STATUS_ERROR)
