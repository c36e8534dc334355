"""A router to which everything happens that a dashboard shows; a program of its own.

    python -m tests.monitoring.busy REDIS_URL

It writes the port of its /metrics, and then does what it reads from stdin, one word a line, and
answers each with a line of JSON:

    known    look-ups whose answers are known beforehand; the answer counts them
    busy     all that can happen while Redis answers, and from then on a trickle of look-ups
    lose     look-ups and writes while Redis does not answer
    recover  until Redis is used again

It is no part of pytest's process, since that one has other tests' caches, too.
"""

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import redis
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from routecache import BaseCacheManager, Policy, RoutingCache, RoutingSettings
from routecache_exporters.http import start_http_server
from tests.helpers import eventually

COLD, WARM, DELETED, GARBLED = 400, 2000, 10, 5


class Span(NonRecordingSpan):
    """A span that is recorded, as an SDK's is."""

    def is_recording(self) -> bool:
        return True


SPAN = Span(SpanContext(0x5EED, 0xBEEF, is_remote=False, trace_flags=TraceFlags(1)))


class Busy:
    """The caches, and what happens to them."""

    def __init__(self, url: str, end: ExitStack) -> None:
        self._end = end
        self._redis = end.enter_context(redis.Redis.from_url(url))
        self._url = url
        settings = RoutingSettings(redis_url=url)
        self.routing = end.enter_context(RoutingCache(settings))
        self.model = self._cache("busy.model", 100, policy=Policy(early_refresh=1.0))
        policy = Policy(stale_ttl=60, stale_if_error=60, negative_ttl=1)
        self.stale = self._cache("busy.stale", 100, l1_ttl=1, l2_ttl=1, policy=policy)
        self.twin = self._cache("busy.twin", 100)
        self._other = self._cache("busy.other", 100, cache_prefix="busy.twin")
        narrow = f"{url}?max_connections=1"
        self.narrow = self._cache("busy.narrow", 10, redis_url=narrow)
        # Histograms are born with their first observation, which a rate cannot see.
        self.model.get_or_load("born", lambda: 1)
        self._stop = threading.Event()
        end.callback(self._stop.set)

    def _cache(self, name: str, maxsize: int, **options: Any) -> BaseCacheManager:
        given = {"cache_prefix": name, "redis_url": self._url, **options}
        return self._end.enter_context(BaseCacheManager(maxsize, name=name, **given))

    def known(self) -> dict[str, int]:
        """Look-ups of one thread in one cache."""
        model, loads = self.model, 0

        def load() -> str:
            nonlocal loads
            loads += 1
            time.sleep(0.001)
            return "x" * 100

        for i in range(COLD):
            model.get_or_load(f"k{i}", load)
        for i in range(WARM):
            model.get(f"k{COLD - 1 - i % 20}")
        deleted = [f"k{COLD - 1 - i}" for i in range(DELETED)]
        model.delete_many(deleted)
        for key in deleted:
            model.get(key)
        for i in range(GARBLED):
            self._redis.set(f"busy.model:v1:{{garbled{i}}}", b"no envelope", ex=600)
            model.get(f"garbled{i}")
        return {
            "lookups": COLD + WARM + DELETED + GARBLED,
            "loads": loads,
            "cold": COLD,
            "invalidated": DELETED,
            "undecodable": GARBLED,
        }

    def busy(self) -> dict[str, int]:
        self.model.warm(["k0", "w0", "w1"], loader=str.upper)
        self._redis.config_set("maxmemory", "64mb")
        self._redis.config_set("slowlog-log-slower-than", 0)
        eventually(lambda: self.model.core.hears)
        threading.Thread(target=self._trickle, daemon=True).start()
        self._outgrow()
        self._crowd()
        self._fail()
        self._serve_stale()
        self._load_twice()
        self._change()
        return {}

    def _outgrow(self) -> None:
        """Ask for more keys than L1 holds, and for each again."""
        with trace.use_span(SPAN):
            for i in range(6000):
                self.model.get_or_load(f"o{i * 7919 % 150}", lambda: "y" * 50)

    def _crowd(self) -> None:
        """Have callers wait for each other's loads, and for the only connection."""
        with ThreadPoolExecutor(8) as threads:
            for i in range(10):
                for _ in range(8):
                    threads.submit(self.model.get_or_load, f"crowd{i}", lambda: time.sleep(0.05))
            for _ in range(40):
                threads.submit(self.narrow.get_many, [f"n{i}" for i in range(200)])

    def _fail(self) -> None:
        for i in range(20):
            with suppress(LookupError):
                self.model.get_or_load(f"broken{i}", _raise)

    def _serve_stale(self) -> None:
        for key in ("a", "b"):
            self.stale.get_or_load(key, lambda: 1)
        eventually(lambda: self.stale.get("b") is None)  # its time is over
        for _ in range(5):
            self.stale.get_or_load("a", lambda: 2)  # refreshed behind its back
        for _ in range(5):
            self.stale.get_or_load("b", _raise)

    def _load_twice(self) -> None:
        """Store what another process has loaded meanwhile."""
        for i in range(5):
            other = lambda i=i: self._other.get_or_load(f"t{i}", lambda: 1)  # noqa: E731
            self.twin.get_or_load(f"t{i}", other)

    def _change(self) -> None:
        self.model.set_many({f"s{i}": "z" for i in range(50)}, tags=("t",))
        self.model.invalidate_tags("t")
        self.model.delete_many([f"s{i}" for i in range(20)])
        for provider, healthy in (("openai", False), ("anthropic", True)):
            self.routing.set_provider_status(provider, {"up": True})
            self.routing.report_provider_health(provider, healthy=healthy)

    def _trickle(self) -> None:
        """Look-ups, loads and writes without an end, so that rates have something to tell."""
        for i in itertools.count():
            if self._stop.wait(0.01):
                return
            context = {"task": i % 40}
            self.routing.get_model_selection(context, loader=lambda: _slowly({"model": "m"}))
            self.routing.get_provider_status(f"p{i % 5}", loader=lambda: _slowly({"up": True}))
            self.routing.get_normalized_tool(f"T{i % 9}", loader=lambda: "t")
            self.model.get_or_load(f"w{i % 160}", lambda: _slowly("w"))
            self.stale.get_or_load(f"w{i % 7}", lambda: _slowly("w"))
            self.narrow.get_many([f"n{n}" for n in range(20)])
            if i % 10 == 0:
                self.model.delete(f"w{i % 160}")
                self.twin.set(f"u{i % 160}", i)

    def lose(self) -> dict[str, int]:
        lost = 0
        until = time.monotonic() + 3
        while time.monotonic() < until:
            lost += 1
            self.model.set(f"lost{lost % 500}", lost)
            self.model.get(f"missing{lost}")
            self._stop.wait(0.005)
        return {"lost": lost}

    def recover(self) -> dict[str, int]:
        eventually(lambda: self.model.get("missing") is None and self.model.redis_available, 20)
        eventually(lambda: self.model.core.hears, 20)
        return {}


def _raise() -> None:
    time.sleep(0.002)
    raise LookupError


def _slowly(value: Any) -> Any:
    time.sleep(0.003)
    return value


def main() -> None:
    with ExitStack() as end:
        busy = Busy(sys.argv[1], end)
        server = end.enter_context(start_http_server(port=0))
        print(server.port, flush=True)
        does: dict[str, Callable[[], dict[str, int]]] = {
            "known": busy.known,
            "busy": busy.busy,
            "lose": busy.lose,
            "recover": busy.recover,
        }
        for line in sys.stdin:
            print(json.dumps(does[line.strip()]()), flush=True)


if __name__ == "__main__":
    main()
