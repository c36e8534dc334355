"""`HealthPolicy`: how long a health report counts, and how a flapping provider is damped."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from types import MappingProxyType

from routecache.errors import ConfigurationError
from routecache.policy import check_ttl
from routecache.typing import MISS

_SOURCE_TTLS = MappingProxyType({"alertmanager": 7200.0})


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How long a health report counts, and how a flapping provider is damped. Immutable.

    report_ttl: seconds for which what a source said of a provider counts. Reports have to be
        repeated within it; a source that falls silent holds no provider down for ever.
    source_ttls: seconds by source instead of `report_ttl`. A source `name:detail` has the seconds
        of `name`. Alertmanager repeats itself at its `repeat_interval` only, so it has two hours,
        unless it is given others here.
    half_life: seconds in which a provider's penalty halves. Each turn from healthy to unhealthy
        adds 1 to it.
    suppress_over: penalty above which a provider is held unhealthy, whatever is reported of it.
    reuse_under: penalty below which it is held no more.
    max_hold: seconds for which a provider that does not turn any more is held at most.
    unhealthy_status: what every process finds as the status of an unhealthy provider, for as long
        as it is unhealthy. MISS forgets the status, so that it is loaded.
    status_ttl: seconds for which that is stored at most. Reports that repeat themselves within
        half of it renew it. A process that ends before the provider is well leaves it behind.
    hook_timeout: seconds that a coroutine hook may take.

    The penalty is that of BGP's route flap damping (RFC 2439, section 4), with its exponential
    decay, its two thresholds and its ceiling, which is what bounds the time held. By default the
    third turn within half a minute holds a provider, for about two minutes after it.

    Raises ConfigurationError, a ValueError, naming the field that is out of range.
    """

    report_ttl: float = 300.0
    source_ttls: Mapping[str, float] = field(default_factory=dict, hash=False)
    half_life: float = 60.0
    suppress_over: float = 2.5
    reuse_under: float = 0.75
    max_hold: float = 300.0
    unhealthy_status: object = field(default=MISS, hash=False)
    hook_timeout: float = 5.0
    status_ttl: float = 900.0

    def __post_init__(self) -> None:
        for name in ("report_ttl", "half_life", "max_hold", "hook_timeout", "status_ttl"):
            check_ttl(getattr(self, name), name)
        for source, ttl in self.source_ttls.items():
            check_ttl(ttl, f"source_ttls[{source!r}]")
            if ":" in source:
                raise ConfigurationError(
                    f"source_ttls[{source!r}]: give the part before the colon, whose seconds all "
                    "of its parts share"
                )
        ttls = MappingProxyType({**_SOURCE_TTLS, **self.source_ttls})
        object.__setattr__(self, "source_ttls", ttls)
        for name in ("suppress_over", "reuse_under"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(f"{name}={value!r}: give a penalty greater than 0")
        if not self.reuse_under < self.suppress_over < self.ceiling:
            raise ConfigurationError(
                f"suppress_over={self.suppress_over} must lie above reuse_under="
                f"{self.reuse_under} and below {self.ceiling:.3g}, from which the penalty falls "
                "under reuse_under within max_hold"
            )

    def __reduce__(self) -> tuple[object, ...]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return partial(type(self), **{**values, "source_ttls": dict(self.source_ttls)}), ()

    @property
    def ceiling(self) -> float:
        """The largest penalty: it decays to `reuse_under` within `max_hold`."""
        # No penalty needs to be larger than this, and 2.0**1024 overflows.
        halvings = min(self.max_hold / self.half_life, 64.0)
        return float(self.reuse_under * 2.0**halvings)

    def ttl_of(self, source: str) -> float:
        """Seconds for which a report of `source` counts."""
        return self.source_ttls.get(source.partition(":")[0], self.report_ttl)
