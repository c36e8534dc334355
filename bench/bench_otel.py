"""What OpenTelemetry costs: an L1 hit, an L2 hit and a load, instrumented and not.

    python bench/bench_otel.py [--quick] [--json] [--check] [--collect]

Each operation is timed without instrumentation, also in a recorded span of the program's own, and
with it: outside of any span, inside a span that is not sampled, and inside a recorded one. Spans
are made by the real SDK and thrown away when they end: what an exporter does with them is not in
the figures. Timed by the CPU time of the calling thread. A collection of all instruments of a
router's four caches is timed by itself, against a page for Prometheus.
"""

import itertools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final, TypeAlias

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry, generate_latest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.interleave import Contestant, compete
from bench.private_redis import private_redis
from routecache import BaseCacheManager, Policy, RoutingCache, RoutingSettings, tracing
from routecache_exporters import register
from routecache_exporters.opentelemetry import instrument, uninstrument

KEYS: Final = 50
LAPS: Final = 500  # of L1 hits, so that the span around them is nothing to them
PATIENT: Final = Policy(l2_timeout=1.0)
HIT_GOAL: Final = 1.03

PLAIN: Final = "not instrumented"
PLAIN_IN_SPAN: Final = "not instrumented, in a recorded span"
IN_SPAN: Final = "instrumented, in a recorded span"

Around: TypeAlias = Callable[[], AbstractContextManager[object]]


class _Bench:
    """The managers under test, and the four situations in which each operation is timed."""

    def __init__(self, url: str, options: report.Options, result: report.Report) -> None:
        self._options = options
        self._result = result
        self._tracers = TracerProvider(shutdown_on_exit=False)
        self._meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
        # What `instrument` does, without its once-for-all part: instruments wait for a reader, and
        # the tracer is set before each batch.
        instrument(self._meters, self._tracers)
        self._tracer = tracing.hook
        tracing.set_tracer(None)
        sampled = self._tracers.get_tracer("bench")
        unsampled = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("bench")
        self._situations: dict[str, tuple[bool, Around]] = {
            PLAIN: (False, nullcontext),
            PLAIN_IN_SPAN: (False, lambda: sampled.start_as_current_span("r")),
            "instrumented, in no span": (True, nullcontext),
            "instrumented, in a span not sampled": (
                True, lambda: unsampled.start_as_current_span("r"),
            ),
            IN_SPAN: (True, lambda: sampled.start_as_current_span("r")),
        }  # fmt: skip
        self._keys = [f"key:{i:04d}" for i in range(KEYS)]
        self._l1 = BaseCacheManager(KEYS, enable_redis=False, cache_prefix="otel:l1")
        self._l2 = BaseCacheManager(1, cache_prefix="otel:l2", redis_url=url, policy=PATIENT)
        self._loading = BaseCacheManager(KEYS, cache_prefix="otel:load", redis_url=url,
                                         policy=PATIENT)  # fmt: skip
        for manager in (self._l1, self._l2):
            manager.set_many({key: {"model": "large", "score": 0.8} for key in self._keys})

    def hits(self) -> None:
        """L1 hits."""
        get, keys = self._l1.get, self._keys * LAPS

        def batch() -> None:
            for key in keys:
                get(key)

        self._time("L1 hit", batch, "ns", 6.0, KEYS * LAPS)

    def l2_hits(self) -> None:
        """L2 hits: L1 holds one entry, and the keys alternate."""
        get, keys = self._l2.get, self._keys

        def batch() -> None:
            for key in keys:
                get(key)

        self._time("L2 hit", batch, "µs", 6.0)

    def loads(self) -> None:
        """Loads of keys that no tier holds: L2 is asked, a loader called, both tiers filled."""
        load, fresh = self._loading.get_or_load, itertools.count()

        def batch() -> None:
            for _ in range(KEYS):
                load(f"k{next(fresh)}", dict)

        self._time("load", batch, "µs", 6.0)

    def _time(
        self, what: str, batch: Callable[[], None], unit: str, share: float,
        operations: int = KEYS,
    ) -> None:  # fmt: skip
        contestants = [
            Contestant(name, self._in_situation(on, around, batch), operations)
            for name, (on, around) in self._situations.items()
        ]
        results = compete(
            contestants, PLAIN, self._options.seconds(share), collect=self._options.collect
        )
        self._result.results(f"{what}, relative to {PLAIN}", results, unit)
        if what == "L1 hit":
            took = {found.name: found.seconds.median for found in results}
            for name in took.keys() - {PLAIN, PLAIN_IN_SPAN}:
                base = PLAIN_IN_SPAN if name == IN_SPAN else PLAIN
                self._result.goal(
                    f"L1 hit, {name}, against {base}", took[name] / took[base], HIT_GOAL
                )

    def _in_situation(
        self, on: bool, around: Around, batch: Callable[[], None]
    ) -> Callable[[], None]:
        tracer = self._tracer if on else None

        def in_situation() -> None:
            tracing.set_tracer(tracer)
            with around():
                batch()
            tracing.set_tracer(None)

        return in_situation

    def collection(self) -> None:
        """All instruments of a router, collected into memory, and its page for Prometheus."""
        reader = InMemoryMetricReader()
        registry = CollectorRegistry()
        register(registry)
        uninstrument()
        instrument(MeterProvider([reader], shutdown_on_exit=False), spans=False)
        with RoutingCache(RoutingSettings(enable_redis=False)):
            contestants = [
                Contestant("a page for Prometheus", lambda: generate_latest(registry), 1),
                Contestant("a collection by the SDK", reader.get_metrics_data, 1),
            ]
            results = compete(contestants, contestants[0].name, self._options.seconds(3.0))
        uninstrument()
        self._result.results("all numbers of the process, once", results, "µs")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 with `--check` if a goal was missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("otel", options)
    with private_redis() as server:
        bench = _Bench(server.url, options, result)
        bench.hits()
        bench.l2_hits()
        bench.loads()
        bench.collection()
    return result.finish()


if __name__ == "__main__":
    raise SystemExit(main())
