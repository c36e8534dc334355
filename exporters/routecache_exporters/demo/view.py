"""How the demo shows its state: a live table on a terminal, plain lines elsewhere, a summary."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from routecache_exporters.demo.state import STOPPED, Outage, State
from routecache_exporters.demo.watch import UP
from routecache_exporters.demo.webhook import Notice
from routecache_exporters.replay.table import duration, percent
from routecache_exporters.usage import UsageError, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

PLAIN_INTERVAL = 5.0
"""Seconds between plain lines in the first minute; later they become rarer, down to one a minute,
since nobody watches a demo for hours, but its log grows."""

_WIDE = 110  # columns from which the live table has room for the hits of each tier


_CIRCUITS: Mapping[str, str] = {
    "open": "open (Redis is not asked)",
    "half_open": "half open (Redis is tried again)",
}


class View(Protocol):
    """Shows the demo while it runs."""

    def say(self, text: str) -> None:
        """Show one line that stays."""

    def show(self, state: State) -> None:
        """Show the state of now; called several times per second."""

    def close(self) -> None:
        """Leave the screen as it is."""


def make_view(stream: TextIO) -> View:
    """A live table where `stream` is a terminal and rich is installed, else plain lines."""
    if not stream.isatty():
        return PlainView(stream)
    try:
        return LiveView(stream)
    except UsageError as error:
        view = PlainView(stream)
        view.say(f"no live table: {error}")
        return view


class PlainView:
    """A line every few seconds, and one for each alert and each turn of Redis."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """Print `text`."""
        print(text, file=self._stream, flush=True)

    def show(self, state: State) -> None:
        """Print what is new, and from time to time the state."""
        for line in [*_events(state), *state.problems]:
            if line not in self._said:
                self._said.add(line)
                self.say(line)
        if state.elapsed < self._next:
            return
        self._next = state.elapsed + min(60.0, max(PLAIN_INTERVAL, state.elapsed / 12))
        ratios = ", ".join(f"{cache.name} {percent(cache.hit_ratio)}" for cache in state.caches)
        self.say(
            f"{state.elapsed:5.0f} s  {state.look_ups:,} look-ups, hit ratio "
            f"{percent(state.hit_ratio)} ({ratios}), Redis {state.redis}, circuit "
            f"{_circuits(state)}, {state.exceptions} exceptions"
        )

    def close(self) -> None:
        """Nothing to leave."""


class LiveView:
    """A table that is redrawn in place.

    Raises:
        UsageError: rich is not installed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = require("rich.console", "cli").Console(file=stream, highlight=False)
        self._table: Callable[..., Any] = require("rich.table", "cli").Table
        self._group: Callable[..., Any] = require("rich.console", "cli").Group
        self._text: Callable[..., Any] = require("rich.text", "cli").Text
        self._live = require("rich.live", "cli").Live(
            console=self._console, auto_refresh=False, redirect_stderr=False
        )
        self._live.start()

    def say(self, text: str) -> None:
        """Print `text` above the table."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, state: State) -> None:
        """Redraw."""
        self._live.update(self._render(state), refresh=True)

    def close(self) -> None:
        """Leave the last table on the screen."""
        self._live.stop()

    def _render(self, state: State) -> "RenderableType":
        wide = self._console.width >= _WIDE
        table = self._table(title=_title(state), title_justify="left")
        table.add_column("cache", no_wrap=True)
        for heading in ("look-ups", "hit ratio", *(("L1 hits", "L2 hits") if wide else ())):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("misses by reason")
        for heading in ("entries", "p99 L1", "p99 else"):
            table.add_column(heading, justify="right", no_wrap=True)
        for cache in state.caches:
            table.add_row(
                cache.name,
                f"{cache.look_ups:,}",
                percent(cache.hit_ratio),
                *((f"{cache.l1_hits:,}", f"{cache.l2_hits:,}") if wide else ()),
                ", ".join(f"{reason} {n:,}" for reason, n in sorted(cache.misses.items())),
                f"{cache.entries:,}",
                _or_dash(cache.p99_l1),
                _or_dash(cache.p99_rest),
            )
        lines = [
            _health(state),
            *_events(state),
            *state.problems,
            *(f"{name}: {url}" for name, url in state.urls.items()),
            "Ctrl-C stops everything.",
        ]
        group: RenderableType = self._group(table, *(self._text(line) for line in lines))
        return group


@contextmanager
def logged_to(view: View) -> Iterator[None]:
    """Show routecache's log lines in `view`, where on stderr they would tear the table."""
    logger, handler = logging.getLogger("routecache"), _ViewHandler(view)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


class _ViewHandler(logging.Handler):
    def __init__(self, view: View) -> None:
        super().__init__(logging.INFO)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        self._view.say(record.getMessage())


def summary(state: State) -> list[str]:
    """The lines that end a demo."""
    lines = [
        _totals(state),
        *_events(state),
        *state.problems,
    ]
    if state.redis not in (UP, STOPPED):
        lines.append(f"At the end Redis {state.redis}.")
    if state.outage.stopped is not None and not state.notices and "alertmanager" in state.urls:
        lines.append("No alert reached the inbox.")
    return lines


def _totals(state: State) -> str:
    return (
        f"{state.requests:,} requests, {state.look_ups:,} look-ups in {state.elapsed:.0f} s: "
        f"hit ratio {percent(state.hit_ratio)}, {state.exceptions} exceptions raised by calls, "
        f"{state.wrong_answers} wrong answers"
    )


def _health(state: State) -> str:
    return (
        f"Redis {state.redis}, circuit {_circuits(state)}, "
        f"{state.exceptions} exceptions, {state.wrong_answers} wrong answers"
    )


def _events(state: State) -> list[str]:
    begin = state.now - state.elapsed
    lines = []
    if state.outage.stopped is not None:
        lines.append(f"Redis was stopped {state.outage.stopped - begin:.0f} s into the demo.")
    if state.outage.started is not None and state.outage.stopped is not None:
        lines.append(
            f"Redis was started again on its data after "
            f"{state.outage.started - state.outage.stopped:.0f} s."
        )
    for notice in state.notices:
        about = f"{notice.name} {notice.subject}".rstrip()
        what = f"{about} ({notice.severity}, {notice.receiver})"
        lines.append(f"alert {what} fired {_when(notice.fired, begin, state.outage)}")
        if notice.resolved is not None:
            lines.append(f"alert {what} resolved {_resolved(notice, begin, state.outage)}")
    return lines


def _when(moment: float, begin: float, outage: Outage) -> str:
    if outage.stopped is None or moment < outage.stopped:
        return f"{moment - begin:.1f} s into the demo"
    return f"{moment - outage.stopped:.1f} s after Redis was stopped"


def _resolved(notice: Notice, begin: float, outage: Outage) -> str:
    assert notice.resolved is not None
    if outage.started is None or notice.resolved < outage.started:
        return f"{notice.resolved - begin:.1f} s into the demo"
    return f"{notice.resolved - outage.started:.1f} s after Redis was started again"


def _title(state: State) -> str:
    end = "" if state.seconds is None else f" of {state.seconds:.0f}"
    return f"routecache demo, {state.elapsed:.0f}{end} s, {state.requests:,} requests"


def _circuits(state: State) -> str:
    circuits = sorted(set(state.circuits.values()))
    return ", ".join(_CIRCUITS.get(circuit, circuit) for circuit in circuits) or "none"


def _or_dash(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)
