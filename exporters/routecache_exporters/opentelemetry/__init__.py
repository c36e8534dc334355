"""OpenTelemetry: metrics as observable instruments, and spans of what is slow. API only.

    from routecache_exporters.opentelemetry import instrument

    instrument()            # the providers that the program has set, or will set

Of the SDK this package knows nothing, but for `with_histograms`, which is for those who have it.
docs/opentelemetry.md lists the instruments and spans.
"""

import threading
import weakref
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from routecache import forking, tracing
from routecache.errors import ConfigurationError
from routecache_exporters.build import UNKNOWN, build_info
from routecache_exporters.opentelemetry.histograms import with_histograms
from routecache_exporters.opentelemetry.meter import Observed
from routecache_exporters.opentelemetry.naming import SCOPE
from routecache_exporters.opentelemetry.tracer import SpanTracer

__all__ = ["instrument", "is_instrumented", "uninstrument", "with_histograms"]

DEFAULT_MAX_CACHES = 64


@dataclass(frozen=True)
class _Settings:
    """What `instrument` was called with."""

    meter_provider: MeterProvider | None
    tracer_provider: TracerProvider | None
    meters: bool
    spans: bool
    roots: bool
    max_caches: int


class _State:
    """What is instrumented now, and which providers have our instruments already."""

    def __init__(self) -> None:
        self.settings: _Settings | None = None
        self.observed: Observed | None = None
        self.tracer: SpanTracer | None = None
        # Instruments stay with their provider for good, so they are kept to be switched on again.
        self.by_provider: weakref.WeakKeyDictionary[MeterProvider, Observed] = (
            weakref.WeakKeyDictionary()
        )
        self.globally: Observed | None = None
        self.reset_after_fork()
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Replace a lock that a thread may have held which does not exist here."""
        self.lock = threading.Lock()


_state = _State()


def instrument(
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    *,
    meters: bool = True,
    spans: bool = True,
    roots: bool = False,
    max_caches: int = DEFAULT_MAX_CACHES,
) -> None:
    """Export all caches of this process by OpenTelemetry, from now on, until `uninstrument`.

    Costs nothing on an L1 hit: metrics are read when a reader collects, and no hit has a span.

    Args:
        meter_provider, tracer_provider: None for the global ones, also if they are set later.
        meters: whether to create instruments.
        spans: whether to make spans of loads, refreshes, waits, steps of L2 and invalidations
            that happen inside of recorded spans.
        roots: also begin new traces with loads, refreshes and invalidations outside of any span.
        max_caches: how many cache names are told apart; further ones add up under `other`. A
            provider keeps the number of the first call.

    Raises:
        ConfigurationError: this process is instrumented already, and differently; or `max_caches`
            is below 1. A second call with the same arguments does nothing.

    Safe for threads. A forked child stays instrumented, counts from zero, and needs what its SDK
    needs after a fork.
    """
    if max_caches < 1:
        raise ConfigurationError(f"max_caches={max_caches!r}: give a number of at least 1")
    wanted = _Settings(meter_provider, tracer_provider, meters, spans, roots, max_caches)
    with _state.lock:
        if _state.settings is not None:
            if _state.settings != wanted:
                raise ConfigurationError(
                    "this process is instrumented already with other arguments: "
                    "call uninstrument() first"
                )
            return
        version = _version()
        if spans:
            provider = trace.get_tracer_provider() if tracer_provider is None else tracer_provider
            _state.tracer = SpanTracer(provider.get_tracer(SCOPE, version), roots=roots)
        if meters:
            _state.observed = _observed(meter_provider, version, max_caches)
            _state.observed.on = True
        if _state.tracer is not None:
            tracing.set_tracer(_state.tracer)
        _state.settings = wanted


def uninstrument() -> None:
    """Make no more spans and observe nothing. Does nothing if nothing is instrumented."""
    with _state.lock:
        if _state.observed is not None:
            _state.observed.on = False
        if _state.tracer is not None and tracing.hook is _state.tracer:
            tracing.set_tracer(None)
        _state.settings = _state.observed = _state.tracer = None


def is_instrumented() -> bool:
    """Whether `instrument` was called and `uninstrument` was not since."""
    return _state.settings is not None


def _observed(provider: MeterProvider | None, version: str | None, max_caches: int) -> Observed:
    # None is the global provider whatever object that is: before the program sets it, it is a
    # proxy whose instruments move on to the real one.
    found = metrics.get_meter_provider()
    if provider is None or provider is found:
        if _state.globally is None:
            _state.globally = Observed(max_caches)
            _state.globally.create(found.get_meter(SCOPE, version))
        return _state.globally
    known = _state.by_provider.get(provider)
    if known is None:
        known = Observed(max_caches)
        known.create(provider.get_meter(SCOPE, version))
        _state.by_provider[provider] = known
    return known


def _version() -> str | None:
    version = build_info()[0]
    return None if version == UNKNOWN else version
