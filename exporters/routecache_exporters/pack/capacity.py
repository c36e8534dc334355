"""What the caches hold, and whether they are worth it. A full L1 is normal; none of this pages."""

from routecache_exporters.pack.config import Config, Duration
from routecache_exporters.pack.promql import (
    aggregated,
    both,
    divided,
    in_parentheses,
    number,
    percent,
    rate,
    series,
)
from routecache_exporters.pack.rules import Alert, Group, Recording, Rule


def capacity(config: Config) -> Group:
    """Miss ratio, L1's size, costs against savings."""
    jump = config.miss_ratio
    rules: list[Rule] = []
    for window in (jump.window, jump.baseline):
        misses = config.recorded("misses", f"rate{window}", "cache")
        rules += [
            Recording(misses, rate(config, window, "misses_total", "cache")),
            Recording(
                _ratio(config, window),
                divided(misses, config.recorded("requests", f"rate{window}", "cache")),
            ),
        ]
    rules += [_jumped(config), _thrashing(config), _costs(config)]
    note = f"""\
A miss ratio that doubles means nothing at night, when there are few look-ups and any miss weighs
more, and nothing after a roll-out, which empties L1. So misses per second have to have risen, too,
against the {jump.baseline} before ({jump.offset} ago), and no process may be new: the newest one
must have been there {jump.settled} ago."""
    return Group("capacity", note, rules, needs=("requests",))


def _ratio(config: Config, window: Duration) -> str:
    return config.recorded("misses_per_requests", f"ratio_rate{window}", "cache")


def _jumped(config: Config) -> Alert:
    limit, jump = config.alerts["MissRatioJumped"], config.miss_ratio
    now, then = _ratio(config, jump.window), _ratio(config, jump.baseline)
    rate_now = config.recorded("misses", f"rate{jump.window}", "cache")
    rate_then = config.recorded("misses", f"rate{jump.baseline}", "cache")
    requests = config.recorded("requests", f"rate{jump.window}", "cache")
    start = "start_timestamp_seconds"
    before = aggregated("max", config, f"{series(start)} offset {jump.settled}", "cache")
    newest = aggregated("max", config, series(start), "cache")
    expr = both(
        f"{now} > {number(limit.threshold or 0)}",
        f"{now}\n> {number(jump.ratio_factor)} *\n{then} offset {jump.offset}",
        f"{rate_now}\n> {number(jump.rate_factor)} *\n{rate_then} offset {jump.offset}",
        f"{requests} > {number(limit.floor or 0)}",
        in_parentheses(f"{before}\n>=\n{newest}"),
    )
    return Alert(
        "MissRatioJumped", "warning", expr, limit.wait,
        "Cache <cache> of <job> misses far more than yesterday.",
        f"<percent> of the look-ups in cache <cache> missed over {jump.window}, more than "
        f"{number(jump.ratio_factor)} times as many as over the {jump.baseline} before, and more "
        f"than {number(jump.rate_factor)} times as many per second. Every miss is a loader call or "
        "no answer.",
        labels=("cache",), limit="share of look-ups; look-ups/s",
    )  # fmt: skip


def _thrashing(config: Config) -> Alert:
    limit = config.alerts["L1Thrashing"]
    evicted = rate(config, config.window, "l1_misses_total", "cache", where='reason="evicted"')
    requests = config.recorded("requests", f"rate{config.window}", "cache")
    return Alert(
        "L1Thrashing", "warning",
        both(
            f"{divided(evicted, requests)} > {number(limit.threshold or 0)}",
            f"{requests} > {number(limit.floor or 0)}",
        ),
        limit.wait,
        "L1 of cache <cache> of <job> is too small for what is asked.",
        f"<percent> of the look-ups in cache <cache> miss in L1 what it has evicted (limit "
        f"{percent(limit.threshold or 0)}). Each costs a round trip to Redis; whatif_misses_total "
        "says what a larger L1 would save.",
        labels=("cache",), limit="share of look-ups; look-ups/s",
    )  # fmt: skip


def _costs(config: Config) -> Alert:
    limit = config.alerts["CacheCostsMoreThanItSaves"]
    window = config.miss_ratio.offset
    spent = rate(config, window, "overhead_seconds_total", "cache")
    saved = rate(config, window, "load_seconds_avoided_total", "cache")
    loads = rate(config, window, "loads_total", "cache")
    requests = config.recorded("requests", f"rate{window}", "cache")
    expr = both(
        f"{spent}\n>\n{number(limit.threshold or 0)} * {saved}",
        # What was set and not loaded saves nothing that is known.
        f"{loads} > 0",
        f"{requests} > {number(limit.floor or 0)}",
    )
    return Alert(
        "CacheCostsMoreThanItSaves", "warning", expr, limit.wait,
        "Cache <cache> of <job> takes more time than it saves.",
        f"Over {window} callers spent <number> seconds per second in cache <cache>, more than "
        "loading the values of its hits would have taken. Its loader is faster than the cache, or "
        "hardly anything is asked twice.",
        labels=("cache",), limit="times what it saves; look-ups/s",
    )  # fmt: skip
