"""Whether processes hear each other, and what is served or lost where they do not."""

from routecache_exporters.pack.config import Config
from routecache_exporters.pack.promql import (
    aggregated,
    both,
    divided,
    number,
    percent,
    rate,
    series,
    summed,
)
from routecache_exporters.pack.rules import Alert, Group


def coherence(config: Config) -> Group:
    """Listeners, their probes, stale and unreadable entries, recovery."""
    alerts = [
        _stalled(config),
        _disconnected(config),
        _flapping(config),
        _stale(config),
        _undecodable(config),
        _overflow(config),
    ]
    note = """\
A listener writes a heartbeat each second and waits for its invalidation as for any other: what is
lost of these is lost of all. While a listener is disconnected it sends none, and
RouteCacheListenerDisconnected says so."""
    return Group("coherence", note, alerts, needs=("requests",))


def _disconnected_listeners(config: Config) -> str:
    disconnected = series("listeners", 'state="disconnected"')
    return f"{summed(config, disconnected, 'l2')} > 0"


def _stalled(config: Config) -> Alert:
    limit = config.alerts["InvalidationStalled"]
    lost = rate(config, config.window, "invalidation_probes_total", "l2", where='result="lost"')
    probes = rate(config, config.window, "invalidation_probes_total", "l2")
    return Alert(
        "InvalidationStalled", "critical",
        f"{divided(lost, probes)} > {number(limit.threshold or 0)}\n"
        f"unless on ({config.by('l2')})\n{_disconnected_listeners(config)}",
        limit.wait,
        "<job> no longer hears of invalidations by Redis (<l2>).",
        "<percent> of the heartbeats of <job> through L2 endpoint <l2> do not come back although "
        "every listener is connected. What one process changes, the others go on serving from "
        "memory until its TTL ends.",
        labels=("l2",), limit="share of heartbeats lost",
    )  # fmt: skip


def _disconnected(config: Config) -> Alert:
    limit = config.alerts["ListenerDisconnected"]
    return Alert(
        "ListenerDisconnected", "warning", _disconnected_listeners(config), limit.wait,
        "Listeners of <job> are not connected to Redis (<l2>).",
        "Listeners of <job> without a connection to L2 endpoint <l2>: <number>. These processes "
        "do not hear what others change, and serve an entry for at most blind_ttl seconds.",
        labels=("l2",),
    )  # fmt: skip


def _flapping(config: Config) -> Alert:
    limit = config.alerts["ListenerFlapping"]
    window = config.miss_ratio.window
    reconnects = summed(config, f"increase({series('listener_reconnects_total')}[{window}])", "l2")
    listeners = summed(config, series("listeners"), "l2")
    return Alert(
        "ListenerFlapping", "warning",
        f"{divided(reconnects, listeners)} > {number(limit.threshold or 0)}",
        limit.wait,
        "Listeners of <job> lose Redis (<l2>) again and again.",
        f"A listener of <job> to L2 endpoint <l2> was connected anew <number> times in {window}, "
        "on average. Each time L1 drops what may be stale.",
        labels=("l2",), limit=f"reconnects per listener in {window}",
    )  # fmt: skip


def _stale(config: Config) -> Alert:
    limit = config.alerts["StaleServing"]
    stale = rate(config, config.window, "stale_hits_total", "cache", where='reason="error"')
    requests = config.recorded("requests", f"rate{config.window}", "cache")
    return Alert(
        "StaleServing", "warning",
        both(
            f"{divided(stale, requests)} > {number(limit.threshold or 0)}",
            f"{requests} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Cache <cache> of <job> serves stale values because loads fail.",
        f"<percent> of the look-ups in cache <cache> got a value past its TTL because loading it "
        f"anew failed (limit {percent(limit.threshold or 0)}). When stale_if_error is over they "
        "get an error.",
        labels=("cache",), limit="share of look-ups; look-ups/s",
    )  # fmt: skip


def _undecodable(config: Config) -> Alert:
    limit = config.alerts["DecodeFailures"]
    where = 'tier="l2", error="decode"'
    failed = rate(config, config.window, "errors_total", "cache", where=where)
    requests = config.recorded("requests", f"rate{config.window}", "cache")
    return Alert(
        "DecodeFailures", "warning",
        both(
            f"{divided(failed, requests)} > {number(limit.threshold or 0)}",
            f"{requests} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "Cache <cache> of <job> cannot read entries in Redis.",
        f"<percent> of the look-ups in cache <cache> found an entry in Redis that could not be "
        f"read (limit {percent(limit.threshold or 0)}): another serializer or application writes "
        "under the same prefix, or the entries are damaged. Each is a loader call.",
        labels=("cache",), limit="share of look-ups; look-ups/s",
    )  # fmt: skip


def _overflow(config: Config) -> Alert:
    limit = config.alerts["RecoveryOverflow"]
    window = config.miss_ratio.window
    overflows = f"increase({series('recovery_overflows_total')}[{window}])"
    return Alert(
        "RecoveryOverflow", "warning",
        f"{summed(config, overflows, 'cache')} > 0",
        limit.wait,
        "Cache <cache> of <job> owes Redis more keys than it can remember.",
        f"Overflows of cache <cache> in {window}: <number>. More writes and deletes failed than "
        "could be remembered; to be safe the whole prefix is invalidated when Redis is back, and "
        "loaded again.",
        labels=("cache",),
    )  # fmt: skip


def providers(config: Config) -> Group:
    """For those who report their providers' health and want to be told here."""
    limit = config.alerts["ProviderUnhealthy"]
    alert = Alert(
        "ProviderUnhealthy", "warning",
        f"{aggregated('min', config, series('provider_healthy'), 'provider')} == 0",
        limit.wait,
        "Provider <provider> is reported unhealthy to <job>.",
        "At least one process of <job> was last told that provider <provider> is unhealthy. "
        "Entries that name it were dropped, and are chosen anew.",
        labels=("provider",),
    )  # fmt: skip
    note = """\
Optional: the health of providers is the router's own business, and may be alerted on elsewhere."""
    return Group("providers", note, [alert], optional=True)
