"""Exemplars by OpenTelemetry: which trace an observation belongs to. Of the API only."""

from collections.abc import Mapping

from opentelemetry import trace


def trace_labels() -> Mapping[str, str] | None:
    """`trace_id` and `span_id` of the current span, if it is recorded and will be exported.

    A span that records without being sampled leads nowhere: nobody can look it up later. Safe for
    threads and tasks.
    """
    span = trace.get_current_span()
    if not span.is_recording():
        return None
    context = span.get_span_context()
    if not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
