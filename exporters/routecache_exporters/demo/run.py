"""The demo itself: starts its parts, replays the sample, stages the outage, ends in order."""

import itertools
import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from routecache import PastRequest, RoutingCache, RoutingSettings, snapshot
from routecache_exporters.demo.embedded import EmbeddedRedis, configured_url
from routecache_exporters.demo.processes import Processes, StartError
from routecache_exporters.demo.router import Router
from routecache_exporters.demo.sample import endless
from routecache_exporters.demo.stack import Addresses, Monitoring, find_binaries, is_ready
from routecache_exporters.demo.state import STOPPED, Outage, State, cache_lines, circuits
from routecache_exporters.demo.switching import switching_often
from routecache_exporters.demo.uptime import process_uptime
from routecache_exporters.demo.view import View, logged_to, make_view, summary
from routecache_exporters.demo.watch import UP, RedisWatch, pinger
from routecache_exporters.demo.webhook import Inbox
from routecache_exporters.http import DEFAULT_PORT
from routecache_exporters.ports import LOOPBACK, choose_port
from routecache_exporters.replay.loaders import LOADERS
from routecache_exporters.replay.report import without_credentials
from routecache_exporters.signals import stop_on_signals
from routecache_exporters.usage import UsageError
from routecache_exporters.weboptions import LISTEN_FLAG, metrics_at, start_server

TICK = 0.25
"""Seconds between two looks at the state."""

WARMED = 40
"""Requests of the sample that the caches are warmed with: its first second."""

PREFIX = "routecache-demo:"
"""What its keys begin with in a Redis that it did not start: its answers are a made-up policy's,
and under a router's keys every router there would route by them."""

FULL_STACK = (
    "The full stack with Grafana: docker compose -f deploy/compose.yaml up. Alerts here: put "
    "prometheus and alertmanager on PATH (Debian: apt install prometheus prometheus-alertmanager)"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for. A port of None takes the default, or a free one.

    prefix: what its keys in Redis begin with. None is a router's in a Redis of the demo's own, and
        `PREFIX` in anybody else's.
    """

    seconds: float | None
    outage: bool
    router_only: bool
    prefix: str | None
    listen: Sequence[str] | None
    web_config: Path | None
    port: int | None
    prometheus_port: int | None
    alertmanager_port: int | None


def run_demo(options: Options, stream: TextIO) -> int:
    """Run until the time is up or a signal comes.

    Returns:
        0, or 1 when a look-up raised or answered wrong.

    Raises:
        UsageError: something that was asked for cannot be had.
    """
    with stop_on_signals() as stop, ExitStack() as parts:
        try:
            return _Demo(options, stream, stop, parts).run()
        except StartError as error:
            raise UsageError(str(error)) from error


class _Demo:
    def __init__(
        self, options: Options, stream: TextIO, stop: threading.Event, parts: ExitStack
    ) -> None:
        self._options = options
        self._stop = stop
        self._parts = parts
        self._urls: dict[str, str] = {}
        self._router_address = ""
        self._outage = Outage()
        self._monitoring: Monitoring | None = None
        self._inbox: Inbox | None = None
        url = configured_url(os.environ)
        if options.outage and url is not None:
            raise UsageError(
                "--outage stops Redis, and REDIS_URL names one that the demo did not start: "
                "unset REDIS_URL"
            )
        listen, note = options.listen, None
        if listen is None:
            port, note = choose_port(options.port, DEFAULT_PORT, "--port")
            listen = [f"{LOOPBACK}:{port}"]
        elif not options.router_only and all(text.startswith("unix:") for text in listen):
            raise UsageError(
                f"the demo's Prometheus cannot scrape a Unix socket: give {LISTEN_FLAG} once more "
                "with host:port, or --router-only"
            )
        self._view: View = make_view(stream)
        parts.callback(self._view.close)
        parts.enter_context(logged_to(self._view))
        if note:
            self._view.say(note)
        self._own: Processes | None = None
        self._redis: EmbeddedRedis | None = None
        if url is None:
            self._redis = EmbeddedRedis(self._processes(), stop)
            self._redis.start()
        settings = self._settings(url)
        self._cache = cache = parts.enter_context(RoutingCache(settings=settings))
        self._watch = parts.enter_context(RedisWatch(pinger(settings.redis_url)))
        self._view.say(self._about_redis(url))
        self._serve_metrics(listen)
        self._router = Router(cache)
        parts.callback(self._router.close)

    def _processes(self) -> Processes:
        """What starts processes, made when the first is needed."""
        if self._own is None:
            self._own = self._parts.enter_context(Processes())
        return self._own

    def _settings(self, url: str | None) -> RoutingSettings:
        settings = RoutingSettings.from_env()
        prefix = self._options.prefix or settings.prefix
        if self._redis is not None:
            url = self._redis.url
        elif self._options.prefix is None:
            prefix = PREFIX
        return replace(
            settings, enable_redis=True, redis_url=url or settings.redis_url, prefix=prefix
        )

    def _about_redis(self, url: str | None) -> str:
        """Which Redis it is, and the truth about it before the first look-up."""
        which = f"{without_credentials(url)} (REDIS_URL)" if url else ""
        if self._redis is not None:
            which = f"{self._redis.server}, of the demo's own"
        if self._watch.state == UP:
            return f"Redis: {which}"
        return (
            f"Redis: {which} {self._watch.state}. The caches go on with memory alone, and use "
            f"Redis as soon as it answers."
        )

    def _serve_metrics(self, listen: Sequence[str]) -> None:
        server = start_server(listen, self._options.web_config)
        self._parts.callback(server.close)
        for url in server.urls:
            served = ""
            if not url.startswith("unix:") and not self._router_address:
                self._router_address = url.partition("://")[2]
                self._urls["metrics"] = metrics_at(url)
                if self._options.web_config is None and is_ready(metrics_at(url)):
                    served = f" served {process_uptime():.2f} s after the start"
            self._view.say(f"metrics: {metrics_at(url)}{served}")

    def run(self) -> int:
        """Replay until the end, show it, sum it up."""
        if not self._options.router_only:
            self._start_monitoring()
        self._warm()
        begin = time.monotonic()
        self._router.start()
        while not self._stop.wait(TICK) and self._router.is_alive():
            elapsed = time.monotonic() - begin
            if self._options.seconds is not None and elapsed >= self._options.seconds:
                break
            if self._options.outage:
                self._stage_outage(elapsed)
            self._view.show(self._state(begin))
        self._router.close()
        state = self._state(begin)
        self._view.show(state)
        self._view.close()
        for line in summary(state):
            self._view.say(line)
        return 1 if state.exceptions or state.wrong_answers else 0

    def _warm(self) -> None:
        """Fill the caches with what the first second will ask for, as a router would."""
        asked = itertools.islice(endless(), WARMED)
        past = [PastRequest(each.context, each.provider, each.tool) for each in asked]
        result = self._cache.warm(past, loaders=LOADERS, deadline=5.0)
        self._view.say(
            f"warm: {result.warm} entries in {result.seconds:.2f} s before the first request"
        )

    def _start_monitoring(self) -> None:
        options = self._options
        try:
            binaries = find_binaries()
        except UsageError as error:
            self._view.say(f"No alerts here: {error}. {FULL_STACK}.")
            return
        self._parts.enter_context(switching_often())
        ports = []
        for wanted, default, flag in (
            (options.prometheus_port, 9090, "--prometheus-port"),
            (options.alertmanager_port, 9093, "--alertmanager-port"),
        ):
            port, note = choose_port(wanted, default, flag)
            ports.append(port)
            if note:
                self._view.say(note)
        # Only its own Redis: a scan of somebody's keys is not the demo's to order.
        redis = self._redis.url if self._redis is not None and binaries.redis_exporter else None
        beside, _ = choose_port(0, 0, "") if redis is not None else (0, "")
        self._inbox = self._parts.enter_context(Inbox())
        addresses = Addresses(
            self._router_address,
            f"{LOOPBACK}:{ports[0]}",
            f"{LOOPBACK}:{ports[1]}",
            self._inbox.url,
            f"{LOOPBACK}:{beside}" if redis is not None else None,
        )
        self._monitoring = Monitoring(self._processes(), binaries, addresses, redis, self._stop)
        self._urls["prometheus"] = self._monitoring.prometheus_url
        self._urls["alertmanager"] = self._monitoring.alertmanager_url
        for name in ("prometheus", "alertmanager"):
            self._view.say(f"{name}: {self._urls[name]}")
        self._view.say(
            "Waits are shortened here: rules see an hour in 20 s and a `for` of 2 min in 2 s, "
            "scrapes come every second. Deployed values: deploy/prometheus."
        )

    def _stage_outage(self, elapsed: float) -> None:
        assert self._redis is not None
        begin, end = outage_window(self._options.seconds)
        if elapsed >= begin and self._outage.stopped is None:
            self._outage = Outage(stopped=time.monotonic())
            self._redis.stop()
        elif elapsed >= end and self._outage.started is None:
            self._redis.start()
            self._watch.look()
            self._outage = replace(self._outage, started=time.monotonic())

    def _state(self, begin: float) -> State:
        now, books = time.monotonic(), snapshot()
        replayer = self._router.replayer
        problem = self._monitoring.ended() if self._monitoring else None
        stopped = self._redis is not None and not self._redis.running
        return State(
            now=now,
            elapsed=now - begin,
            seconds=self._options.seconds,
            requests=replayer.requests,
            exceptions=replayer.exceptions,
            wrong_answers=replayer.wrong_answers,
            caches=cache_lines(books),
            circuits=circuits(books),
            redis=STOPPED if stopped else self._watch.state,
            outage=self._outage,
            notices=self._inbox.notices() if self._inbox else (),
            urls=self._urls,
            problems=[text for text in (problem, replayer.first_exception) if text],
        )


def outage_window(seconds: float | None) -> tuple[float, float]:
    """From when to when Redis is stopped, in seconds after the replay's start."""
    return (30.0, 60.0) if seconds is None else (0.25 * seconds, 0.5 * seconds)
