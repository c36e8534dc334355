"""Every fault: which alerts it is for, the lane that it is put into, how it begins and ends.

A fault is isolated: as far as may be, nothing but its own alert becomes true. What else may be told
is what the masks allow (`routecache_exporters/pack/masks.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from bench.faults import acts
from bench.faults.lane import Lane, Plan

Act = Callable[[Lane], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    what: happens, in words.
    alerts: that have to tell of it, named as `verdict.alert_name` does.
    inject, end: it begins, it ends.
    plan: of the lane.
    alone: whether it has the whole stack for itself, because its alert is not about one lane.
    """

    what: str
    alerts: tuple[str, ...]
    inject: Act
    end: Act
    plan: Plan = Plan()  # noqa: RUF009  # frozen
    alone: bool = False


def _told(*, begin: Mapping[str, object], end: Mapping[str, object]) -> tuple[Act, Act]:
    return partial(_tell, command=begin), partial(_tell, command=end)


def _tell(lane: Lane, command: Mapping[str, object]) -> None:
    lane.tell(**command)


def _habits(before: Mapping[str, object], during: Mapping[str, object]) -> tuple[Act, Act]:
    after = {name: before[name] for name in during if name in before}
    usual = {name: acts.USUAL[name] for name in during if name not in before}
    return _told(begin={"habits": during}, end={"habits": after | usual})


def _behind(mode: str, *, delay: float = 0.0, every: int = 1) -> tuple[Act, Act]:
    return (
        partial(_mode, mode=mode, delay=delay, every=every),
        partial(_mode, mode="pass", delay=0.0, every=1),
    )


def _mode(lane: Lane, mode: str, delay: float, every: int) -> None:
    lane.mode(mode, delay=delay, every=every)


_PROXIED: Final = Plan(proxied=True)
_ENOUGH: Final[Act] = Lane.enough
_CROWDED: Final = {"fresh": 0.7, "threads": 4, "rate": 8.0, "load_seconds": 0.05}
_LEASED: Final = {"keys": 10, "threads": 8, "rate": 80.0, "load_seconds": 0.3}

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({
    "redis_stop": Fault(
        "Redis is stopped", ("L2Down",), acts.stop_redis, acts.start_redis,
    ),
    "redis_unreachable_from_some": Fault(
        "the way of one router in three to Redis is cut", ("L2UnreachableFromSome",),
        acts.cut_off_one, acts.let_all_in, Plan(routers=3, proxied=True),
    ),
    "redis_refuses_writes": Fault(
        "Redis is full and evicts nothing, so it refuses writes", ("L2ErrorRatioHigh",),
        acts.refuse_writes, acts.take_writes,
        Plan(cache={"l1_ttl": 1.0, "l2_ttl": 300.0}, habits={"writes": 0.15, "keys": 40}),
    ),
    "redis_evicts": Fault(
        "Redis is full and evicts live entries", ("RedisEvictingLiveEntries",),
        acts.fill_redis, acts.empty_redis,
        Plan(cache={"l1_ttl": 5.0, "l2_ttl": 15.0}, habits={"value_bytes": 20_000, "keys": 60}),
    ),
    "redis_slow": Fault(
        "Redis answers 27 ms late, and is given 250", ("L2LatencyHigh",),
        *_behind("slow", delay=0.027), plan=Plan(proxied=True, cache={"l2_timeout": 0.25}),
    ),
    "redis_sluggish": Fault(
        "Redis answers 10 ms late", ("LatencyBudgetBurn (critical)",),
        *_behind("slow", delay=0.010), plan=_PROXIED,
    ),
    "redis_sluggish_at_times": Fault(
        "Redis answers one call in 22 10 ms late", ("LatencyBudgetBurn (warning)",),
        *_behind("slow", delay=0.010, every=22), plan=_PROXIED,
    ),
    "pool_exhausted": Fault(
        "calls come all at once, Redis takes 2 ms for each, and there is one connection",
        ("PoolSaturated",), acts.crowd, acts.disperse,
        Plan(proxied=True, cache={"max_connections": 1}, habits={"keys": 300}),
    ),
    "corrupt_payloads": Fault(
        "another program overwrites entries in Redis",
        ("DecodeFailures", "LookupBudgetBurn (critical)"),
        lambda lane: lane.again(partial(acts.corrupt, lane, 6), 0.5), _ENOUGH,
    ),
    "corrupt_payloads_rarely": Fault(
        "another program overwrites an entry now and then",
        ("DecodeFailures", "LookupBudgetBurn (warning)"),
        lambda lane: lane.again(partial(acts.corrupt, lane, 1), 2.0), _ENOUGH,
        Plan(cache={"l1_ttl": 0.5}, habits={"rate": 50.0}),
    ),
    "pushes_swallowed": Fault(
        "what lies between takes CLIENT TRACKING and delivers nothing", ("InvalidationStalled",),
        *_behind("mute"), plan=Plan(routers=3, proxied=True),
    ),
    "pushes_late": Fault(
        "invalidations come a second late", ("FreshnessBudgetBurn (critical)",),
        *_behind("late", delay=1.0), plan=_PROXIED,
    ),
    "pushes_late_rarely": Fault(
        "one invalidation in hundreds comes late", ("FreshnessBudgetBurn (warning)",),
        *_behind("late", delay=0.56, every=400), plan=Plan(proxied=True, beats=0.05),
    ),
    "listener_cut": Fault(
        "Redis is reached, but nobody may subscribe", ("ListenerDisconnected",),
        *_behind("deaf"), plan=_PROXIED,
    ),
    "listener_flapping": Fault(
        "the listeners' connections are killed every two seconds", ("ListenerFlapping",),
        lambda lane: lane.again(partial(acts.kill_listeners, lane), 2.0), _ENOUGH,
    ),
    "loader_failing": Fault(
        "three loads in ten fail", ("LoadErrors",), *_habits({}, {"load_failures": 0.3}),
    ),
    "stale_serving": Fault(
        "loads fail, and expired values are served instead", ("StaleServing", "LoadErrors"),
        *_habits({}, {"load_failures": 0.5}), plan=Plan(cache={"stale_if_error": 120.0}),
    ),
    "loader_slow": Fault(
        "a load takes two seconds", ("LoadLatencyHigh",), *_habits({}, {"load_seconds": 2.0}),
    ),
    "loader_overload": Fault(
        "many loads run side by side", ("LoaderOverload",),
        *_habits(_CROWDED, {"rate": 90.0, "threads": 24, "load_seconds": 0.4}),
        plan=Plan(habits=_CROWDED),
    ),
    "stampede": Fault(
        "four routers load the same keys at once", ("Stampede",),
        *_told(
            begin={"cache": {"distributed_lock": False}},
            end={"cache": {"distributed_lock": True}},
        ),
        plan=Plan(
            routers=4, habits=_LEASED,
            cache={"distributed_lock": True, "l1_ttl": 1.0, "l2_ttl": 1.5},
        ),
    ),
    "warm_fails": Fault(
        "the routers warm their caches, and the loader never succeeds", ("WarmupFailed",),
        *_told(begin={"warm": "fails"}, end={"warm": "loads"}),
    ),
    "l1_shrunk": Fault(
        "L1 holds 5 of 60 keys", ("L1Thrashing",),
        *_told(begin={"cache": {"l1_maxsize": 5}}, end={"cache": {"l1_maxsize": 200}}),
        plan=Plan(cache={"l1_ttl": 8.0, "l2_ttl": 16.0}, habits={"keys": 60}),
    ),
    "miss_ratio_jump": Fault(
        "six look-ups in ten ask for what nobody has asked for", ("MissRatioJumped",),
        *_habits({}, {"fresh": 0.6}),
    ),
    "cache_costs": Fault(
        "a load takes 20 µs", ("CacheCostsMoreThanItSaves",),
        *_habits({}, {"load_seconds": 20e-6}), plan=Plan(cache={"l1_ttl": 0.2}),
    ),
    "recovery_overflow": Fault(
        "a router that is cut off from Redis writes more keys than can be remembered",
        ("RecoveryOverflow", "L2UnreachableFromSome"),
        acts.flood_one, acts.dry_one, Plan(routers=3, proxied=True),
    ),
    "exporter_stopped": Fault(
        "one router in two serves no /metrics", ("TargetDown",),
        partial(acts.exporter, state="off"), partial(acts.exporter, state="on"),
    ),
    "exporter_unmounted": Fault(
        "another program answers at a router's address", ("ExporterUnmounted",),
        partial(acts.exporter, state="unmounted"), partial(acts.exporter, state="on"),
    ),
    "collector_failing": Fault(
        "a cache cannot tell its state", ("CollectorFailing",),
        partial(_tell, command={"unreadable": True}), acts.restart,
    ),
    "label_explosion": Fault(
        "a router reports the health of 40 providers", ("CardinalityOverflow",),
        partial(_tell, command={"providers": {f"provider-{n}": True for n in range(40)}}),
        acts.restart,
    ),
    "provider_unhealthy": Fault(
        "a provider is reported unhealthy", ("ProviderUnhealthy",),
        *_told(begin={"providers": {"acme": False}}, end={"providers": {"acme": True}}),
    ),
    "metrics_absent": Fault(
        "Prometheus loses its targets", ("MetricsAbsent",), acts.lose_targets,
        acts.find_targets, alone=True,
    ),
})  # fmt: skip
"""By name."""

NOT_TOLD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RecentCause": "is never delivered: it holds causes for the inhibitions",
        "Watchdog": "always fires and is never delivered to a person",
    }
)
"""Alerts that no fault is for, and why."""
