"""What the drivers tell a tracer of a cache's loads, waits and invalidations."""

import sys

from routecache import tracing
from routecache.outcomes import is_none
from routecache.tiered.flights import ABANDONED, Flight, Landing
from routecache.tiered.operations import Read
from routecache.tiered.state import CoreState
from routecache.tracing import Details, SpanKind, SpanOutcome, failure_of


class Spans(CoreState):
    """Details of spans. Called only while there is a tracer."""

    def details(
        self, kind: SpanKind, operation: str = "", size: int = 1, link: object = None
    ) -> Details:
        """Those of a span that is about to be opened."""
        return Details(kind, self.books.stats.name, operation, size, link=link)

    def outcome(self, landing: Landing) -> SpanOutcome:
        """How a flight ended for its leader or for one who waited for it."""
        if landing.outcome == "load":
            return "none" if is_none(landing.value) else "load"
        return "error" if landing.outcome == "abandoned" else landing.outcome

    def outcome_of(self, value: object) -> SpanOutcome:
        """What a loader gave."""
        return "none" if is_none(value) else "value"

    def trace_wait(self, read: Read, flight: Flight, landing: Landing | None) -> None:
        """Tell of a wait for another caller's load; None if an exception is ending it now.

        An abandoned load is none that one could point to: its waiter looks for another.
        """
        if landing is ABANDONED or not tracing.wanted("wait"):
            return
        raised = sys.exception()
        outcome: SpanOutcome = "error" if landing is None else self.outcome(landing)
        details = Details(
            "wait", self.books.stats.name, link=flight.place, outcome=outcome,
            error=None if landing is not None or raised is None else failure_of(raised),
        )  # fmt: skip
        tracing.record(details, self.timer() - read.started)
