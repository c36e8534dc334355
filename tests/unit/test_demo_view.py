"""What the demo shows: lines, events, the summary, the live table."""

import io
import logging
import sys
from dataclasses import replace

import pytest

from routecache.registry import ProcessSnapshot
from routecache_exporters.demo.run import outage_window
from routecache_exporters.demo.state import STOPPED, CacheLine, Outage, State, cache_lines
from routecache_exporters.demo.view import (
    PLAIN_INTERVAL,
    LiveView,
    PlainView,
    logged_to,
    make_view,
    summary,
)
from routecache_exporters.demo.webhook import Notice
from routecache_exporters.replay.runner import CACHES

# The demo began at 1000 on its clock.
STATE = State(
    now=1010.0,
    elapsed=10.0,
    seconds=120.0,
    requests=100,
    exceptions=0,
    wrong_answers=0,
    caches=[CacheLine(name, 100, 0.9, 80, 10, {"cold": 10}, 5, 1e-6, 2e-3) for name in CACHES],
    circuits={"redis": "closed"},
    redis="up",
    outage=Outage(),
    notices=[],
    urls={"metrics": "http://127.0.0.1:9464/metrics"},
)
FIRED = Notice("RouteCacheL2Down", "redis", "critical", "Redis is down", "page", 1042.0)
AFTER = replace(
    STATE,
    now=1100.0,
    elapsed=100.0,
    outage=Outage(stopped=1030.0, started=1060.0),
    notices=[replace(FIRED, resolved=1064.5)],
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_come_now_and_then_and_events_once() -> None:
    stream = io.StringIO()
    view = make_view(stream)
    assert isinstance(view, PlainView)
    view.show(STATE)
    view.show(replace(STATE, elapsed=10.0 + PLAIN_INTERVAL / 2))
    assert stream.getvalue().count("look-ups") == 1
    outage = replace(STATE, now=1042.0, elapsed=42.0, outage=Outage(1030.0), notices=[FIRED])
    view.show(outage)
    view.show(outage)
    shown = stream.getvalue()
    assert shown.count("look-ups") == 2
    assert shown.count("Redis was stopped 30 s into the demo.") == 1
    assert (
        shown.count(
            "alert RouteCacheL2Down redis (critical, page) fired 12.0 s after Redis was stopped"
        )
        == 1
    )


def test_the_summary_tells_when_alerts_fired_and_resolved() -> None:
    first, *events = summary(AFTER)
    assert "100 requests, 400 look-ups in 100 s: hit ratio 90.00 %" in first
    assert "0 exceptions raised by calls, 0 wrong answers" in first
    assert events[1] == "Redis was started again on its data after 30 s."
    assert events[3].endswith("resolved 4.5 s after Redis was started again")


def test_an_outage_without_an_alert_is_told_where_one_was_to_be_expected() -> None:
    quiet = replace(AFTER, notices=[])
    assert "No alert reached the inbox." not in summary(quiet)
    watched = replace(quiet, urls={"alertmanager": "http://127.0.0.1:9093"})
    assert "No alert reached the inbox." in summary(watched)


@pytest.mark.parametrize(
    ("circuit", "shown"),
    [
        ("closed", "circuit closed, "),
        ("open", "circuit open (Redis is not asked), "),
        ("half_open", "circuit half open (Redis is tried again), "),
    ],
)
def test_the_circuit_is_explained(circuit: str, shown: str) -> None:
    stream = io.StringIO()
    PlainView(stream).show(replace(STATE, circuits={"redis": circuit}))
    assert shown in stream.getvalue()


def test_the_summary_tells_of_a_redis_that_does_not_answer() -> None:
    silent = replace(STATE, redis="does not answer in time")
    assert summary(silent)[-1] == "At the end Redis does not answer in time."
    assert "At the end" not in "".join(summary(STATE) + summary(replace(STATE, redis=STOPPED)))


def test_an_alert_outside_the_outage_is_dated_by_the_demo() -> None:
    early = replace(FIRED, fired=1012.0, resolved=1020.0)
    lines = summary(replace(AFTER, notices=[early]))
    assert lines[-2].endswith("fired 12.0 s into the demo")
    assert lines[-1].endswith("resolved 20.0 s into the demo")


@pytest.mark.parametrize("columns", ["80", "140"])
def test_the_live_table_shows_caches_events_and_urls(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    stream = Terminal()
    view = make_view(stream)
    assert isinstance(view, LiveView)
    view.say("[not markup]")
    view.show(AFTER)
    view.close()
    shown = stream.getvalue()
    for text in (*CACHES, "90.00 %", "[not markup]", "RouteCacheL2Down", "/metrics", "Ctrl-C"):
        assert text in shown


def test_a_terminal_without_rich_gets_lines_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = Terminal()
    assert isinstance(make_view(stream), PlainView)
    assert "pip install 'routecache[cli]'" in stream.getvalue()


def test_log_lines_of_the_cache_are_shown_in_the_view() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("routecache")
    before = logger.propagate
    with logged_to(PlainView(stream)):
        logger.warning("L2 %s does not answer", "redis")
    assert stream.getvalue() == "L2 redis does not answer\n"
    assert logger.propagate == before
    assert logger.handlers == []


def test_a_cache_that_was_never_asked_is_a_line_of_dashes() -> None:
    lines = cache_lines(ProcessSnapshot((), ()))
    assert [line.name for line in lines] == list(CACHES)
    assert all(line.hit_ratio is None and line.p99_rest is None for line in lines)


def test_the_outage_leaves_room_for_the_alert_and_its_end() -> None:
    assert outage_window(120.0) == (30.0, 60.0)
    assert outage_window(None) == (30.0, 60.0)
