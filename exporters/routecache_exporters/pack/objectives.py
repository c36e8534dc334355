"""The objectives: what is recorded over each window, and the alerts on how fast a budget goes.

Multi-window, multi-burn-rate (Google, "The Site Reliability Workbook", chapter 5): the long window
says that it matters, the short one that it still goes on.
"""

from typing import Final, NamedTuple

from routecache_exporters.pack.config import Burn, Config, Duration, Objective, seconds
from routecache_exporters.pack.promql import divided, in_parentheses, number, percent, rate, summed
from routecache_exporters.pack.rules import Alert, Group, Recording, Rule, Severity

# decode and connection trouble of L2; a load that a cold key needs is as designed.
DEGRADED: Final = 'reason=~"l2_unavailable|undecodable"'


class _Measure(NamedTuple):
    """What an objective counts.

    bad, all: recorded metrics without prefix; labels: of both, beside the aggregation labels.
    """

    bad: str
    all: str
    labels: tuple[str, ...]

    def ratio(self, config: Config, window: Duration) -> str:
        return config.recorded(f"{self.bad}_per_{self.all}", f"ratio_rate{window}", *self.labels)


_LOOKUP: Final = _Measure("degraded", "requests", ("cache",))
_LATENCY: Final = _Measure("slow_answers", "answers", ("cache",))
_FRESHNESS: Final = _Measure("late_probes", "probes", ("l2",))


def requests(config: Config) -> Group:
    """What many groups divide by."""
    jump = config.miss_ratio
    windows = {*config.windows, config.window, jump.window, jump.baseline}
    rules: list[Rule] = [
        Recording(
            config.recorded("requests", f"rate{window}", "cache"),
            rate(config, window, "requests_total", "cache"),
        )
        for window in sorted(windows, key=seconds)
    ]
    now = config.window
    rules += [
        Recording(
            config.recorded("hits", f"rate{now}", "cache", "tier"),
            rate(config, now, "hits_total", "cache", "tier"),
        ),
        Recording(
            config.recorded("misses", f"rate{now}", "cache", "reason"),
            rate(config, now, "misses_total", "cache", "reason"),
        ),
        Recording(
            config.recorded("misses", f"rate{now}", "cache"),
            rate(config, now, "misses_total", "cache"),
        ),
        Recording(
            config.recorded("misses_per_requests", f"ratio_rate{now}", "cache"),
            divided(
                config.recorded("misses", f"rate{now}", "cache"),
                config.recorded("requests", f"rate{now}", "cache"),
            ),
        ),
        Recording(
            config.recorded("loads", f"rate{now}", "cache"),
            rate(config, now, "loads_total", "cache"),
        ),
    ]
    note = f"""\
A recorded name reads level:metric:operation, the level being the labels that are left. Sums are by
the labels of a fleet: `without (instance)` would keep `pod` and start new series with every
roll-out. A numerator and its denominator are recorded apart; a ratio divides two rates over one
window and is never an average of ratios; `> 0` drops an idle denominator, so that an idle cache has
no ratio instead of NaN. Every range is at least four times the scrape interval of \
{config.scrape_interval}."""
    return Group("requests", note, rules)


def lookup(config: Config) -> Group:
    """The objective "served as designed"."""
    objective = config.objectives.lookup
    budget, days = percent(objective.budget), config.burns.budget_window
    rules: list[Rule] = []
    for window in config.windows:
        rules.append(
            Recording(
                config.recorded("degraded", f"rate{window}", "cache"),
                rate(config, window, "misses_total", "cache", where=DEGRADED),
            )
        )
        rules.append(_ratio(config, _LOOKUP, window))
    rules += _alerts(
        config, objective, "LookupBudgetBurn", _LOOKUP,
        "Cache <cache> of <job> burns its look-up budget",
        "<percent> of the look-ups in cache <cache> were not served as designed (Redis not "
        "reached, or an entry not readable).",
    )  # fmt: skip
    note = f"""\
Objective: {percent(objective.target)} of look-ups served as designed over {days}. Bad are those
that no tier answered because Redis was not reached or an entry there could not be read; a load
that a cold key needs is as designed. {number(objective.budget)} is the budget, {budget}."""
    return Group("lookup-slo", note, rules, needs=("requests",))


def latency(config: Config) -> Group:
    """The objective on how long an answer takes that needs no load."""
    objective = config.objectives.latency
    bound = number(objective.within)
    left = 'outcome=~"l2_hit|miss"'
    rules: list[Rule] = []
    for window in config.windows:
        all_ = rate(config, window, "request_duration_seconds_count", "cache", where=left)
        fast = rate(
            config,
            window,
            "request_duration_seconds_bucket",
            "cache",
            where=f'{left}, le="{bound}"',
        )
        answers = config.recorded("answers", f"rate{window}", "cache")
        rules += [
            Recording(answers, all_),
            Recording(
                config.recorded("slow_answers", f"rate{window}", "cache"), f"{answers}\n-\n{fast}"
            ),
            _ratio(config, _LATENCY, window),
        ]
    milliseconds = f"{objective.within * 1000:g} ms"
    rules += _alerts(
        config, objective, "LatencyBudgetBurn", _LATENCY,
        "Cache <cache> of <job> burns its latency budget",
        f"<percent> of the look-ups in cache <cache> that left L1 and needed no load took longer "
        f"than {milliseconds}.",
    )  # fmt: skip
    note = f"""\
Objective: {percent(objective.target)} of look-ups that left L1 and needed no load answered within
{milliseconds}, over {config.burns.budget_window}. Over all look-ups it could not page, since L1
hides it."""
    return Group("latency-slo", note, rules, needs=("requests",))


def freshness(config: Config) -> Group:
    """The objective on how soon an invalidation is heard."""
    objective = config.objectives.freshness
    bound = number(objective.within)
    rules: list[Rule] = []
    for window in config.windows:
        probes = config.recorded("probes", f"rate{window}", "l2")
        heard = rate(config, window, "invalidation_lag_seconds_bucket", "l2", where=f'le="{bound}"')
        rules += [
            Recording(probes, rate(config, window, "invalidation_probes_total", "l2")),
            Recording(
                config.recorded("late_probes", f"rate{window}", "l2"), f"{probes}\n-\n{heard}"
            ),
            _ratio(config, _FRESHNESS, window),
        ]
    rules += _alerts(
        config, objective, "FreshnessBudgetBurn", _FRESHNESS,
        "<job> burns the freshness budget of Redis (<l2>)",
        f"<percent> of the heartbeats through L2 endpoint <l2> were heard later than {bound} s or "
        "never: what one process changes, others may serve from memory meanwhile.",
    )  # fmt: skip
    note = f"""\
Objective: {percent(objective.target)} of the listeners' heartbeats heard within {bound} s, over
{config.burns.budget_window}. Against all heartbeats, not against those that were heard: the lag
alone is blind exactly when coherence is lost."""
    return Group("freshness-slo", note, rules, needs=("requests",))


def _ratio(config: Config, measure: _Measure, window: Duration) -> Recording:
    def part(name: str) -> str:
        return config.recorded(name, f"rate{window}", *measure.labels)

    return Recording(measure.ratio(config, window), divided(part(measure.bad), part(measure.all)))


def _alerts(
    config: Config, objective: Objective, name: str, measure: _Measure, summary: str, what: str
) -> list[Rule]:
    """The page and the ticket."""
    burns = config.burns
    budget = f"the {burns.budget_window} budget of {percent(objective.budget)}"
    kinds: tuple[tuple[Severity, tuple[Burn, Burn], Duration, str, str], ...] = (
        ("critical", burns.page, burns.page_for, " fast.", f"{budget} is spent within days."),
        ("warning", burns.ticket, burns.ticket_for, ".", f"{budget} does not last."),
    )
    return [
        Alert(
            name, severity,
            "\nor\n".join(_burning(config, objective, measure, pair) for pair in pairs),
            wait, summary + end, f"{what} At this rate {consequence}",
            labels=measure.labels,
            limit=f"times the budget of {percent(objective.budget)}",
        )
        for severity, pairs, wait, end, consequence in kinds
    ]  # fmt: skip


def _burning(config: Config, objective: Objective, measure: _Measure, burn: Burn) -> str:
    limit = f"{number(burn.factor)} * {number(objective.budget)}"
    requests_ = config.recorded("requests", f"rate{burn.long}", "cache")
    if "cache" in measure.labels:
        traffic = f"and\n{requests_} > {number(objective.floor)}"
    else:
        fleet = summed(config, requests_)
        traffic = f"and on ({config.by()})\n{fleet} > {number(objective.floor)}"
    return in_parentheses(
        f"{measure.ratio(config, burn.long)} > {limit}\nand\n"
        f"{measure.ratio(config, burn.short)} > {limit}\n{traffic}"
    )
