"""Coherence: whether processes hear each other's writes, how soon, and what is stale or owed."""

from typing import Final

from grafana_foundation_sdk.builders import stat, timeseries

from dashboards import colors, panels, styles
from dashboards.limits import floor, threshold, wait, within
from dashboards.shared import CACHE, PROCESS, RATE

_LAG: Final = f"rate(routecache_invalidation_lag_seconds_bucket{{{PROCESS}}}[{RATE}])"
_STEPS_FROM_ANY: Final[styles.Steps] = [(None, "green"), (1e-9, "orange")]


def _rate(metric: str, *by: str, selector: str = CACHE) -> str:
    inner = f"rate(routecache_{metric}{{{selector}}}[{RATE}])"
    return f"sum by ({', '.join(by)}) ({inner})" if by else f"sum({inner})"


def lag_now() -> stat.Panel:
    """How soon the others know."""
    limit = within("freshness")
    return panels.stat(
        501,
        "Heard within, p99",
        "p99 of the time from writing a heartbeat to hearing its invalidation, over all listeners: "
        f"how soon one process's write is known in all. Red: beyond the {limit:ms} of the "
        "freshness objective.",
        "s",
        f"histogram_quantile(0.99, sum by (le) ({_LAG}))",
    ).thresholds(styles.thresholds([(None, "green"), (limit, "red")]))


def lost_now() -> stat.Panel:
    """Heartbeats without an echo."""
    probes = _rate("invalidation_probes_total", selector=PROCESS)
    lost = _rate("invalidation_probes_total", selector=f'{PROCESS}, result="lost"')
    limit = threshold("InvalidationStalled")
    return (
        panels.stat(
            502,
            "Heartbeats lost",
            "Share of the listeners' heartbeats that were not heard within ten seconds: writes of "
            f"others are not heard either. Above {limit:%} for {wait('InvalidationStalled')} it "
            "pages, unless a listener is known to be disconnected.",
            "percentunit",
            f"{lost}\n/\n({probes} > 0)",
        )
        .decimals(1)
        .thresholds(styles.thresholds([(None, "green"), (1e-9, "orange"), (limit, "red")]))
    )


def deaf_now() -> stat.Panel:
    """Listeners without a connection."""
    return (
        panels.stat(
            503,
            "Listeners disconnected",
            "Listeners that hear nothing now. While Redis answers and the listener does not, L1 "
            "serves an entry for at most blind_ttl. For "
            f"{wait('ListenerDisconnected')} it is a ticket.",
            "short",
            f'sum(routecache_listeners{{{PROCESS}, state="disconnected"}})',
        )
        .decimals(0)
        .thresholds(styles.thresholds(_STEPS_FROM_ANY))
    )


def owed_now() -> stat.Panel:
    """Deletes that L2 has still to take."""
    return (
        panels.stat(
            504,
            "Owed to Redis",
            "Keys and tags whose write or delete failed and that Redis has still to forget. It "
            "falls to 0 by itself when Redis is back; if not, that process does not reach Redis.",
            "short",
            f"sum(routecache_recovery_pending{{{CACHE}}})",
        )
        .decimals(0)
        .thresholds(styles.thresholds(_STEPS_FROM_ANY))
    )


def lag() -> timeseries.Panel:
    """How soon the others know, over time."""
    limit = within("freshness")
    panel = panels.timeseries(
        505,
        "Invalidation lag",
        "p50 and p99 of the time from writing a heartbeat to hearing its invalidation. Dashed: "
        f"{limit:ms}, the freshness objective. p99 alone: a busy process (see its CPU). Both: "
        "Redis is slow or the network is. Logarithmic.",
        "s",
        [(f"histogram_quantile({q}, sum by (le) ({_LAG}))", f"p{q * 100:g}") for q in (0.5, 0.99)],
    ).scale_distribution(panels.LOG10)
    styles.colored(panel, colors.QUANTILES)
    return styles.lines_at(panel, [(None, "transparent"), (limit, "red")])


def probes() -> timeseries.Panel:
    """Heartbeats by what became of them."""
    panel = panels.stacked(
        506,
        "Heartbeats",
        "Listeners' heartbeats per second, heard (ok) and lost. Red: invalidations get lost on a "
        "connection that looks well; restart that router, and look for a proxy between.",
        "ops",
        [(_rate("invalidation_probes_total", "result", selector=PROCESS), "{{result}}")],
    )
    return styles.colored(panel, colors.PROBES)


def listeners() -> timeseries.Panel:
    """Listeners by state."""
    panel = panels.stacked(
        507,
        "Listeners by state",
        "One listener for each process and primary. Red in full height is Redis; a red stripe is "
        "some process's way to it: Worst five instances, on the Overview, tells which.",
        "short",
        [(f"sum by (state) (routecache_listeners{{{PROCESS}}})", "{{state}}")],
    ).decimals(0)
    return styles.colored(panel, colors.LISTENERS)


def reconnects() -> timeseries.Panel:
    """Listeners that came back."""
    return panels.timeseries(
        508,
        "Listener reconnects",
        "Times per second that listeners came back after their connection was lost. Each drops "
        f"from L1 what may be stale. More than {threshold('ListenerFlapping')} in 15 minutes are a "
        "ticket: client-output-buffer-limit, a proxy's idle time-out, or failovers.",
        "ops",
        [(_rate("listener_reconnects_total", "l2", selector=PROCESS), "{{l2}}")],
    ).min(0)


def invalidations() -> timeseries.Panel:
    """What is told and heard."""
    panel = panels.timeseries(
        509,
        "Invalidations published and heard",
        "Changes of keys and tags per second that were told through Redis, and that listeners "
        "heard, own ones included. With n processes n times as many are heard; much fewer: "
        "somebody is deaf.",
        "ops",
        [
            (_rate("invalidations_published_total"), "published"),
            (_rate("invalidations_received_total"), "heard"),
        ],
    ).min(0)
    return styles.colored(panel, {"published": "blue", "heard": "green"})


def invalidations_by_cache() -> timeseries.Panel:
    """Which cache changes most."""
    return panels.stacked(
        510,
        "Invalidations heard, by cache",
        "Changes per second that listeners heard. A cache that is invalidated as often as it is "
        "asked cannot hit: give its entries a shorter TTL instead, or finer tags.",
        "ops",
        [(_rate("invalidations_received_total", "cache"), "{{cache}}")],
    )


def stale_hits() -> timeseries.Panel:
    """Values served although they may be out of date."""
    panel = panels.stacked(
        511,
        "Stale hits by reason",
        "Look-ups per second answered although the value may be out of date: refreshing "
        "(stale_ttl, meant), blind (the listener does not hear, at most blind_ttl), error (the "
        "load failed, stale_if_error). Red: see Loaders.",
        "ops",
        [(_rate("stale_hits_total", "reason"), "{{reason}}")],
    )
    return styles.colored(panel, colors.STALE)


def stale_share() -> timeseries.Panel:
    """How many answers are stale for want of a loader."""
    limit = threshold("StaleServing")
    stale = _rate("stale_hits_total", "cache", selector=f'{CACHE}, reason="error"')
    panel = panels.timeseries(
        512,
        "Stale after failed loads",
        "Share of look-ups answered with an old value because loading a new one failed. Above "
        f"{limit:%} (dashed) at more than {floor('StaleServing')} look-up/s it is a ticket: "
        "callers are served, for stale_if_error at most; mend the loader meanwhile.",
        "percentunit",
        [(f"{stale}\n/\n({_rate('requests_total', 'cache')} > 0)", "{{cache}}")],
    )
    panel = panel.min(0).axis_soft_max(0.02)
    return styles.lines_at(panel, [(None, "transparent"), (limit, "orange")])


def pending() -> timeseries.Panel:
    """What is owed to L2."""
    return panels.stacked(
        513,
        "Owed to Redis, by cache",
        "Keys and tags of failed writes and deletes that Redis has still to forget before it is "
        "read again. It grows in an outage and is paid at its end.",
        "short",
        [(f"sum by (cache) (routecache_recovery_pending{{{CACHE}}})", "{{cache}}")],
    ).decimals(0)


def recovery() -> timeseries.Panel:
    """What was paid, and what was too much."""
    panel = panels.timeseries(
        515,
        "Recovery: deletes and overflows",
        "Keys of failed writes deleted from Redis when it was back, per second, and (right) times "
        "that more were owed than can be remembered, so that the whole prefix was invalidated: "
        "expect misses until it is filled again.",
        "ops",
        [
            (_rate("recovery_deletes_total"), "deleted"),
            (_rate("recovery_overflows_total"), "overflows"),
        ],
    ).min(0)
    styles.colored(panel, {"deleted": "blue"})
    return styles.on_the_right(
        panel, "overflows", "ops", "red", custom__drawStyle="bars", custom__axisSoftMax=0.1
    )
